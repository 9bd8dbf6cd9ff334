# The cordon command.
CLI_SRC := cli/ca.c cli/ca_renew.c cli/check.c cli/client.c cli/credentials.c cli/doctor.c cli/doctor_ca.c cli/doctor_dump.c cli/doctor_host.c \
	   cli/doctor_kernel.c cli/doctor_links.c cli/doctor_nft.c cli/doctor_packet.c cli/doctor_routes.c \
	   cli/doctor_rules.c cli/doctor_scan.c cli/doctor_walk.c cli/doctor_xt.c cli/env.c cli/event.c cli/event_files.c cli/exception.c cli/explain.c cli/firewall.c cli/log.c cli/mirror.c cli/mirror_client.c \
	   cli/options.c cli/rotate.c cli/run.c cli/run_files.c cli/run_jail.c cli/run_mounts.c cli/run_net.c \
	   cli/run_seccomp.c cli/run_user.c cli/run_wait.c cli/sandbox.c cli/say.c cli/scan.c cli/scan_check.c cli/slot.c cli/status.c \
	   cli/supervise.c cli/table.c cli/units.c cli/up.c cli/verify.c
PROGS += cordon
cordon_SRC := cli/main.c $(CLI_SRC) $(SCAN_EXCEPTIONS) gitproxy/scan/fingerprint.c $(BASE_ALL) $(NFT_SRC) $(POLICY_SRC)
cordon_LIB := $(NFT_LIB) $(POLICY_LIB) $(BASE_LIB) -ljansson

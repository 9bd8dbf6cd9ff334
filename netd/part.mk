# cordon-netd: registry, names, policy, refused packets.
PROGS += cordon-netd
NETD_SRC := netd/registry.c netd/profiles.c netd/names.c netd/names_plan.c netd/names_restore.c \
	    netd/names_write.c netd/silence.c netd/flows_to.c netd/liveness.c netd/pin.c \
	    netd/parts.c netd/snapshot.c netd/publish.c netd/sandboxes.c netd/sandbox_elements.c \
	    netd/sandbox_links.c netd/backstops.c netd/sandbox_restore.c netd/host_addresses.c \
	    netd/reload.c netd/flows.c netd/ranges.c netd/inspector.c netd/rotate.c netd/renewal.c \
	    netd/spawner.c netd/packet.c netd/nflog.c netd/refusals.c netd/recent.c netd/scopes.c \
	    netd/guard.c netd/control.c
cordon-netd_SRC := netd/main.c netd/confine.c $(NETD_SRC) $(NFT_SRC) $(POLICY_SRC) $(BASE_ALL)
cordon-netd_LIB := $(NFT_LIB) -lnetfilter_log -lnetfilter_conntrack -ljansson $(POLICY_LIB) $(BASE_LIB)

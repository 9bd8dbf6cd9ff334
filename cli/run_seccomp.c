/*
 * run_seccomp.c - system calls that a command in `cordon run` has no business with
 *
 * Theory of operation: a deny list (EPERM), since any program may run here; namespaces,
 * capabilities and no_new_privs are the wall, this takes away ways around and large kernel surfaces
 * that a sandboxed command does not need. Another architecture's calls (32-bit, x32) end the
 * process: a table by number says nothing about them. New user namespaces are forbidden by
 * bubblewrap (--disable-userns), ptrace is confined by the pid namespace.
 *
 * A UNIX socket of the host is a file like any other: it can be bound, renamed and linked at any
 * time, wherever the command can read, and connecting to it asks no mount's leave. No rule about
 * paths covers that, and a filter does not see the address that connect(2) and sendto(2) are given.
 * So what would need an address is not made: no socket(2) of that family, and of socketpair(2) only
 * streams and SOCK_SEQPACKET, which are connected for good (a datagram socket may send anywhere).
 */
#include "cli/run_seccomp.h"

#include <errno.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/proc.h"

#ifndef TIOCLINUX
#define TIOCLINUX 0x541c
#endif

static const struct proc_syscall denied[] = {
	{ SCMP_SYS(io_uring_setup), "would make system calls that this filter never sees" },
	{ SCMP_SYS(io_uring_enter), "the same" },
	{ SCMP_SYS(io_uring_register), "the same" },
	{ SCMP_SYS(add_key), "keyrings of the user are shared with the host" },
	{ SCMP_SYS(request_key), "the same; also starts a program of the host" },
	{ SCMP_SYS(keyctl), "the same" },
	{ SCMP_SYS(bpf), "kernel surface" },
	{ SCMP_SYS(perf_event_open), "kernel surface; measures the host" },
	{ SCMP_SYS(userfaultfd), "kernel surface; makes races reliable" },
	{ SCMP_SYS(open_by_handle_at), "opens files by number, past what is mounted" },
	{ SCMP_SYS(name_to_handle_at), "its other half" },
	{ SCMP_SYS(fanotify_init), "watches files outside the working directory" },
	{ SCMP_SYS(kexec_load), "no business here" },
	{ SCMP_SYS(kexec_file_load), "no business here" },
	{ SCMP_SYS(init_module), "no business here" },
	{ SCMP_SYS(finit_module), "no business here" },
	{ SCMP_SYS(delete_module), "no business here" },
	{ SCMP_SYS(syslog), "the host's kernel log" },
	{ SCMP_SYS(acct), "no business here" },
	{ SCMP_SYS(swapon), "no business here" },
	{ SCMP_SYS(swapoff), "no business here" },
	{ SCMP_SYS(quotactl), "the host's quotas" },
};

/* Of the socket families only INET, INET6 and NETLINK (getaddrinfo asks it) remain. */
static const int denied_families[] = { AF_UNIX,	   AF_AX25,	AF_IPX, AF_APPLETALK, AF_NETROM,
				       AF_BRIDGE,  AF_ATMPVC,	AF_X25, AF_ROSE,      AF_DECnet,
				       AF_NETBEUI, AF_SECURITY, AF_KEY };
enum { FAMILY_LAST = AF_NETLINK }; /* above: packet, alg, vsock, xdp, bluetooth, can, tipc, ... */

static int deny(scmp_filter_ctx ctx, int nr)
{
	int r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), nr, 0);

	return r == -EDOM || r == -EEXIST ? 0 : r; /* this architecture has no such call */
}

static int deny_families(scmp_filter_ctx ctx)
{
	const uint32_t act = SCMP_ACT_ERRNO(EAFNOSUPPORT);
	int r = seccomp_rule_add(ctx, act, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_GT, FAMILY_LAST));

	for (size_t i = 0; !r && i < ARRAY_SIZE(denied_families); i++)
		r = seccomp_rule_add(ctx, act, SCMP_SYS(socket), 1,
				     SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)denied_families[i]));
	return r;
}

/* The kernel looks at the low 4 bits (above: flags); SOCK_RAW is another word for datagrams. */
static int deny_pairs(scmp_filter_ctx ctx)
{
	enum { TYPE_MASK = 0xf };
	int r = 0;

	for (scmp_datum_t type = 0; !r && type <= TYPE_MASK; type++)
		if (type != SOCK_STREAM && type != SOCK_SEQPACKET)
			r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT),
					     SCMP_SYS(socketpair), 1,
					     SCMP_A1(SCMP_CMP_MASKED_EQ, TYPE_MASK, type));
	return r;
}

/* Typing into the terminal that outlives the command (CVE-2017-5226); the request is a 32-bit
 * number. */
static int deny_typing(scmp_filter_ctx ctx)
{
	static const scmp_datum_t requests[] = { TIOCSTI, TIOCLINUX };
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_SIZE(requests); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
				     SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, requests[i]));
	return r;
}

static int fill(scmp_filter_ctx ctx)
{
	int r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

	for (size_t i = 0; !r && i < ARRAY_SIZE(denied); i++)
		r = deny(ctx, denied[i].nr);
	if (!r)
		r = deny_families(ctx);
	if (!r)
		r = deny_pairs(ctx);
	return r < 0 ? r : deny_typing(ctx);
}

int run_seccomp_filter(void)
{
	AUTO(fd) int fd = memfd_create("seccomp", MFD_CLOEXEC);
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r = fd < 0 ? -errno : ctx ? fill(ctx) : -ENOMEM;

	if (!r)
		r = seccomp_export_bpf(ctx, fd);
	if (ctx)
		seccomp_release(ctx);
	if (!r && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	return r < 0 ? r : STEAL_FD(fd);
}

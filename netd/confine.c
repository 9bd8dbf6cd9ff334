/*
 * confine.c - what netd may still do once it has started
 *
 * Theory of operation: netd keeps CAP_NET_ADMIN, so what is left to confine is everything else. It
 * reads its configuration again at reload, writes the settings of sandbox interfaces, and lets
 * libnftables load the ruleset again after other software has removed it; Landlock names those
 * files. Programs it cannot start (the spawner, forked before, starts the one that there is), nor
 * processes, nor can it signal any. A first filter lets sockets be netlink (the kernel) or UNIX
 * (the service manager; interface names) alone, so the capability cannot be used on the wire.
 */
#include "netd/confine.h"

#include <errno.h>
#include <limits.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/landlock.h"
#include "base/proc.h"

static const struct proc_syscall table[] = {
	{ SCMP_SYS(epoll_wait), "the loop" },
	{ SCMP_SYS(epoll_pwait), "the loop, as newer C libraries do it" },
	{ SCMP_SYS(epoll_ctl), "the loop's descriptors" },
	{ SCMP_SYS(poll), "libmnl, libnftables" },
	{ SCMP_SYS(ppoll), "the same on other machines" },
	{ SCMP_SYS(select), "libnftables" },
	{ SCMP_SYS(pselect6), "libnftables" },
	{ SCMP_SYS(accept4), "parts, the command line" },
	{ SCMP_SYS(recvmsg), "messages, netlink" },
	{ SCMP_SYS(recvfrom), "netlink" },
	{ SCMP_SYS(sendmsg), "messages, netlink" },
	{ SCMP_SYS(sendto), "netlink, readiness" },
	{ SCMP_SYS(socket), "netlink (the other filter: nothing that leaves the host)" },
	{ SCMP_SYS(socketpair), "the inspector's pair" },
	{ SCMP_SYS(bind), "netlink" },
	{ SCMP_SYS(connect), "readiness" },
	{ SCMP_SYS(getsockname), "netlink: our port" },
	{ SCMP_SYS(getsockopt), "who connects; netlink buffers" },
	{ SCMP_SYS(setsockopt), "netlink: groups, acknowledgements, buffers" },
	{ SCMP_SYS(shutdown), "the spawner, at the end" },
	{ SCMP_SYS(ioctl), "interface names" },
	{ SCMP_SYS(fcntl), "non-blocking, seals" },
	{ SCMP_SYS(openat), "configuration, profiles, interface settings (Landlock)" },
	{ SCMP_SYS(open), "the same, as older C libraries do it" },
	{ SCMP_SYS(read), "these; signals" },
	{ SCMP_SYS(pread64), "these" },
	{ SCMP_SYS(lseek), "these" },
	{ SCMP_SYS(fstat), "these" },
	{ SCMP_SYS(stat), "these" },
	{ SCMP_SYS(newfstatat), "these" },
	{ SCMP_SYS(access), "is IPv6 on at this interface" },
	{ SCMP_SYS(faccessat), "the same" },
	{ SCMP_SYS(faccessat2), "the same" },
	{ SCMP_SYS(readlink), "the same" },
	{ SCMP_SYS(getdents64), "the profiles there are" },
	{ SCMP_SYS(memfd_create), "profiles and replies on their way" },
	{ SCMP_SYS(write), "audit and log lines, interface settings, memory files" },
	{ SCMP_SYS(writev), "C library streams" },
	{ SCMP_SYS(ftruncate), "a torn audit line" },
	{ SCMP_SYS(close), "all of these" },
	{ SCMP_SYS(brk), "memory" },
	{ SCMP_SYS(mmap), "memory" },
	{ SCMP_SYS(munmap), "memory" },
	{ SCMP_SYS(mremap), "memory" },
	{ SCMP_SYS(mprotect), "memory" },
	{ SCMP_SYS(madvise), "memory" },
	{ SCMP_SYS(futex), "locks of libraries" },
	{ SCMP_SYS(sysinfo), "the C library: qsort asks how much memory there is" },
	{ SCMP_SYS(getrandom), "hash seeds" },
	{ SCMP_SYS(clock_gettime), "where the vDSO does not do it" },
	{ SCMP_SYS(gettimeofday), "where the vDSO does not do it" },
	{ SCMP_SYS(time), "libmnl: sequence numbers, where the vDSO does not do it" },
	{ SCMP_SYS(getpid), "audit; netlink" },
	{ SCMP_SYS(geteuid), "libnftables" },
	{ SCMP_SYS(uname), "libnftables" },
	{ SCMP_SYS(rt_sigprocmask), "abort" },
	{ SCMP_SYS(rt_sigreturn), "signals" },
	{ SCMP_SYS(gettid), "abort" },
	{ SCMP_SYS(tgkill), "abort" },
	{ SCMP_SYS(restart_syscall), "after SIGSTOP" },
	{ SCMP_SYS(exit_group), "the end" },
	{ -1, NULL },
};

/* The first rows are filled in: where the configuration and the profiles are. */
static const struct landlock_path paths[] = {
	{ "", LANDLOCK_READ | LANDLOCK_LIST, "the configuration; a directory, for it is replaced" },
	{ "", LANDLOCK_READ | LANDLOCK_LIST, "profiles" },
	{ "/proc/sys/net", LANDLOCK_READ | LANDLOCK_WRITE, "settings of sandbox interfaces" },
	{ "/etc/iproute2", LANDLOCK_READ, "libnftables: names of marks" },
	{ "/usr/share/iproute2", LANDLOCK_READ, "the same, newer systems" },
	{ "/etc/protocols", LANDLOCK_READ, "libnftables: names of protocols" },
	{ "/etc/services", LANDLOCK_READ, "libnftables: names of ports" },
	{ "/etc/nsswitch.conf", LANDLOCK_READ, "the C library: where these are" },
	{ "/dev/urandom", LANDLOCK_READ, "jansson: the seed of its tables" },
	{ NULL, 0, NULL },
};

/* A filter compares an argument once a rule, so every other family below is named. */
static int sockets_of_the_host_only(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r;

	if (!ctx)
		return -ENOMEM;
	r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
			     SCMP_A0(SCMP_CMP_GT, AF_NETLINK));
	for (int family = 0; !r && family < AF_NETLINK; family++)
		if (family != AF_UNIX)
			r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
					     SCMP_A0(SCMP_CMP_EQ, (unsigned)family));
	if (!r)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}

static int confine_files(const struct host_config *c)
{
	struct landlock_path all[ARRAY_SIZE(paths)];
	const struct landlock_spec files = { .paths = all };
	char dir[PATH_MAX];
	char *slash;

	memcpy(all, paths, sizeof(all));
	if (snprintf(dir, sizeof(dir), "%s", c->file) >= (int)sizeof(dir))
		return -ENAMETOOLONG;
	slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir] = '\0';
	all[0].path = slash ? dir : ".";
	all[1].path = c->profiles_dir;
	return landlock_confine(&files);
}

int netd_confine(const struct host_config *c)
{
	int r;

	tzset(); /* the C library reads the time zone's file once */
	r = confine_files(c);
	if (!r)
		r = sockets_of_the_host_only();
	return r < 0 ? r : proc_seccomp(table);
}

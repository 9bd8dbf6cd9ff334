/*
 * confine.c - the system calls, files and ports that the keeper may use
 *
 * Theory of operation: an allow list. The keeper dials upstreams, so sockets of the internet
 * families are its business; openat(2) stays, since c-ares reads resolv.conf for each channel and
 * OpenSSL may read trusted certificates by their hash (as an account that owns nothing but the CA's
 * own folder; Landlock names what it may read). TCP connections are made to the ports of upstreams
 * and to those of resolvers. It starts no program, changes no file and signals no process.
 */
#include "gitproxy/keeper/confine.h"

#include <arpa/nameser.h>
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>

#include "base/landlock.h"
#include "base/proc.h"
#include "gitproxy/keeper/dial.h"

static const struct proc_syscall table[] = {
	{ SCMP_SYS(socket), "upstreams, resolvers, netd again" },
	{ SCMP_SYS(connect), "upstreams, resolvers, netd again" },
	{ SCMP_SYS(bind), "c-ares" },
	{ SCMP_SYS(socketpair), "libcurl's wake-up" },
	{ SCMP_SYS(pipe2), "libcurl's wake-up, newer versions" },
	{ SCMP_SYS(eventfd2), "libcurl's wake-up, newer versions" },
	{ SCMP_SYS(getpeername), "who a client is" },
	{ SCMP_SYS(getsockname), "libcurl: addresses of a connection" },
	{ SCMP_SYS(getsockopt), "result of connect" },
	{ SCMP_SYS(setsockopt), "no delay, keep-alive" },
	{ SCMP_SYS(shutdown), "connections" },
	{ SCMP_SYS(recvfrom), "upstreams, resolvers" },
	{ SCMP_SYS(sendto), "upstreams, resolvers" },
	{ SCMP_SYS(recvmsg), "netd, the front" },
	{ SCMP_SYS(sendmsg), "netd, the front" },
	{ SCMP_SYS(poll), "deadlines" },
	{ SCMP_SYS(ppoll), "deadlines" },
	{ SCMP_SYS(read), "TLS records, files" },
	{ SCMP_SYS(readv), "C library streams" },
	{ SCMP_SYS(pread64), "bodies, credentials" },
	{ SCMP_SYS(lseek), "memory files, C library streams" },
	{ SCMP_SYS(write), "TLS records, audit and log lines, keys of leaves" },
	{ SCMP_SYS(ftruncate), "a torn audit line" },
	{ SCMP_SYS(fallocate), "room for the audit line of a push" },
	{ SCMP_SYS(writev), "libcurl, newer versions" },
	{ SCMP_SYS(close), "all of these" },
	{ SCMP_SYS(fcntl), "non-blocking, seals" },
	{ SCMP_SYS(ioctl), "non-blocking (c-ares), C library streams" },
	{ SCMP_SYS(memfd_create), "keys of leaves" },
	{ SCMP_SYS(openat), "resolv.conf, trusted certificates, credentials, the CA" },
	{ SCMP_SYS(fstat), "files" },
	{ SCMP_SYS(stat), "trusted certificates" },
	{ SCMP_SYS(newfstatat), "files" },
	{ SCMP_SYS(uname), "c-ares: the host's domain" },
	{ SCMP_SYS(mmap), "memory, thread stacks" },
	{ SCMP_SYS(munmap), "memory" },
	{ SCMP_SYS(mprotect), "thread stacks" },
	{ SCMP_SYS(mremap), "memory" },
	{ SCMP_SYS(madvise), "stacks of ended threads" },
	{ SCMP_SYS(brk), "memory" },
	{ SCMP_SYS(clone), "threads" },
	{ SCMP_SYS(clone3), "threads" },
	{ SCMP_SYS(set_robust_list), "threads" },
	{ SCMP_SYS(rseq), "threads" },
	{ SCMP_SYS(futex), "locks" },
	{ SCMP_SYS(sched_yield), "locks" },
	{ SCMP_SYS(sysinfo), "the C library: qsort asks how much memory there is" },
	{ SCMP_SYS(sched_getaffinity), "malloc: how many arenas" },
	{ SCMP_SYS(rt_sigaction), "libcurl: SIGPIPE" },
	{ SCMP_SYS(rt_sigprocmask), "threads start with signals blocked" },
	{ SCMP_SYS(rt_sigreturn), "signals" },
	{ SCMP_SYS(restart_syscall), "after SIGSTOP" },
	{ SCMP_SYS(clock_gettime), "where the vDSO does not do it" },
	{ SCMP_SYS(gettimeofday), "where the vDSO does not do it" },
	{ SCMP_SYS(clock_nanosleep), "pause before netd is tried again" },
	{ SCMP_SYS(getrandom), "TLS, keys" },
	{ SCMP_SYS(getpid), "TLS: has the process forked" },
	{ SCMP_SYS(gettid), "log, abort" },
	{ SCMP_SYS(tgkill), "abort" },
	{ SCMP_SYS(exit), "threads" },
	{ SCMP_SYS(exit_group), "the end" },
	{ -1, NULL },
};

/* Files are replaced by renaming, so it is their directory that is named. */
static const struct landlock_path paths[] = {
	{ "/etc", LANDLOCK_READ, "resolv.conf, nsswitch.conf, hosts, openssl.cnf, certificates" },
	{ "/etc/ssl", LANDLOCK_READ | LANDLOCK_LIST, "trusted certificates" },
	{ "/usr/share/ca-certificates", LANDLOCK_READ, "where those links lead" },
	{ "/usr/local/share/ca-certificates", LANDLOCK_READ, "the host's own" },
	{ "/usr/lib/ssl", LANDLOCK_READ, "OpenSSL's own folder" },
	{ "/run/systemd/resolve", LANDLOCK_READ, "where resolv.conf may lead" },
	{ "/run/resolvconf", LANDLOCK_READ, "the same" },
	{ "/run/NetworkManager", LANDLOCK_READ, "the same" },
	{ NULL, 0, NULL },
};

/* A secret's directory: the file is replaced there by renaming. */
static bool path_add(struct landlock_path *to, const char *file, const char *why)
{
	const char *slash = strrchr(file, '/');

	*to = (struct landlock_path){ strndup(file, slash == file ? 1 : (size_t)(slash - file)),
				      LANDLOCK_READ, why };
	return to->path;
}

int keeper_confine(const struct host_config *c)
{
	uint16_t ports[] = { KEEPER_UPSTREAM_PORT, KEEPER_PLAIN_PORT, NS_DEFAULTPORT,
			     c->dns_upstream_port, c->proxy.port,     0 };
	AUTO(mem)
	struct landlock_path *all = calloc(ARRAY_SIZE(paths) + c->n_credentials + 2, sizeof(*all));
	AUTO(mem) char *key = NULL;
	size_t n = 0;
	int r = all && asprintf(&key, "%s/ca/ca.key", c->state_dir) > 0 ? 0 : -ENOMEM;

	if (!r)
		r = path_add(&all[n++], key, "the CA, when it is renewed") ? 0 : -ENOMEM;
	if (!r && c->scan_exceptions)
		r = path_add(&all[n++], c->scan_exceptions, "findings that are accepted, for the judge of pushes") ? 0 : -ENOMEM;
	for (size_t i = 0; !r && i < c->n_credentials; i++)
		r = path_add(&all[n++], c->credentials[i].file, "credentials") ? 0 : -ENOMEM;
	if (!r) {
		memcpy(all + n, paths, sizeof(paths));
		r = landlock_confine(&(struct landlock_spec){ .paths = all, .tcp_ports = ports });
	}
	while (n)
		free((char *)(uintptr_t)all[--n].path);
	return r < 0 ? r : proc_seccomp(table);
}

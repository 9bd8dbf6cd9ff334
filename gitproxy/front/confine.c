/*
 * confine.c - the system calls that the front may make
 *
 * Theory of operation: two filters, of which the kernel takes the stricter answer. The first allows
 * socket(2) for AF_UNIX alone, so that connect(2) reaches netd and nothing else; the second is the
 * allow list of base/proc.h. Landlock says the same in its own terms: no file, no TCP connection
 * made, no process signalled. No file can be opened: everything was opened before, and what the C
 * library would like to open for many threads (malloc: how many processors) it does without.
 */
#include "gitproxy/front/confine.h"

#include <errno.h>
#include <seccomp.h>
#include <sys/socket.h>
#include <time.h>

#include "base/landlock.h"
#include "base/proc.h"

static const struct proc_syscall table[] = {
	{ SCMP_SYS(accept4), "clients" },
	{ SCMP_SYS(getpeername), "who a client is" },
	{ SCMP_SYS(getsockname), "where it meant to go" },
	{ SCMP_SYS(getsockopt), "credentials of netd's socket" },
	{ SCMP_SYS(setsockopt), "reset instead of end" },
	{ SCMP_SYS(shutdown), "revocation, and the end of an answer" },
	{ SCMP_SYS(recvfrom), "clients, frames of the keeper" },
	{ SCMP_SYS(sendto), "clients, readiness" },
	{ SCMP_SYS(recvmsg), "netd, answers with descriptors" },
	{ SCMP_SYS(sendmsg), "netd, requests with descriptors" },
	{ SCMP_SYS(socketpair), "an answer's own socket" },
	{ SCMP_SYS(socket), "netd again (AF_UNIX alone, by the other filter)" },
	{ SCMP_SYS(connect), "netd again" },
	{ SCMP_SYS(poll), "deadlines" },
	{ SCMP_SYS(ppoll), "deadlines" },
	{ SCMP_SYS(read), "TLS records, profiles in memory files" },
	{ SCMP_SYS(pread64), "memory files, answers of mirrors" },
	{ SCMP_SYS(sendfile), "answers of mirrors" },
	{ SCMP_SYS(lseek), "memory files" },
	{ SCMP_SYS(write), "TLS records, audit and log lines, bodies" },
	{ SCMP_SYS(ftruncate), "a torn audit line" },
	{ SCMP_SYS(close), "all of these" },
	{ SCMP_SYS(fcntl), "seals of memory files" },
	{ SCMP_SYS(memfd_create), "bodies" },
	{ SCMP_SYS(fstat), "memory files" },
	{ SCMP_SYS(newfstatat), "fstat, as newer C libraries call it" },
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
	{ SCMP_SYS(sched_getaffinity), "malloc: how many arenas, where /sys is refused" },
	{ SCMP_SYS(rt_sigaction), "the C library, before the first thread" },
	{ SCMP_SYS(rt_sigprocmask), "threads start with signals blocked" },
	{ SCMP_SYS(rt_sigreturn), "signals" },
	{ SCMP_SYS(restart_syscall), "after SIGSTOP" },
	{ SCMP_SYS(clock_gettime), "where the vDSO does not do it" },
	{ SCMP_SYS(gettimeofday), "where the vDSO does not do it" },
	{ SCMP_SYS(clock_nanosleep), "pause before netd is tried again" },
	{ SCMP_SYS(getrandom), "TLS" },
	{ SCMP_SYS(getpid), "TLS: has the process forked" },
	{ SCMP_SYS(gettid), "log, abort" },
	{ SCMP_SYS(tgkill), "abort" },
	{ SCMP_SYS(exit), "threads" },
	{ SCMP_SYS(exit_group), "the end" },
	{ -1, NULL },
};

static int unix_sockets_only(void)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r;

	if (!ctx)
		return -ENOMEM;
	r = seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, SCMP_SYS(socket), 1,
			     SCMP_A0(SCMP_CMP_NE, AF_UNIX));
	if (!r)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r;
}

int front_confine(void)
{
	const struct landlock_spec nothing = { 0 };
	int r;

	tzset();		/* the C library reads the time zone's file once, even for UTC */
	r = landlock_confine(&nothing);
	if (!r)
		r = unix_sockets_only();
	return r < 0 ? r : proc_seccomp(table);
}

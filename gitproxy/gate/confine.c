/*
 * confine.c - what the process that judges one push may use
 *
 * Theory of operation: it reads what a client made, so it is the one that may be taken over. It has no
 * socket but the one it answers on, and whatever cordon-mirror has given up already; here it gives up all
 * files but the mirror of this one repository, to read, and this one quarantine. Memory, time
 * and the length of files are limited by the kernel: what exceeds them is killed, which is no verdict.
 */
#include "gitproxy/gate/confine.h"

#include <errno.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/landlock.h"
#include "base/proc.h"
#include "base/bytes.h"

static const struct proc_syscall table[] = {
	{ SCMP_SYS(sendmsg), "answers" },
	{ SCMP_SYS(read), "files" },
	{ SCMP_SYS(pread64), "what was asked" },
	{ SCMP_SYS(write), "the files of a pack, log lines" },
	{ SCMP_SYS(writev), "C library streams" },
	{ SCMP_SYS(lseek), "memory files" },
	{ SCMP_SYS(openat), "packs, files of the quarantine" },
	{ SCMP_SYS(open), "the same, older C libraries" },
	{ SCMP_SYS(close), "all of these" },
	{ SCMP_SYS(fstat), "their length" },
	{ SCMP_SYS(newfstatat), "their length" },
	{ SCMP_SYS(statx), "their length" },
	{ SCMP_SYS(access), "loose objects" },
	{ SCMP_SYS(faccessat), "loose objects" },
	{ SCMP_SYS(faccessat2), "loose objects" },
	{ SCMP_SYS(getdents64), "which packs there are" },
	{ SCMP_SYS(fcntl), "seals; reading folders" },
	{ SCMP_SYS(renameat), "a pack that is complete" },
	{ SCMP_SYS(renameat2), "a pack that is complete" },
	{ SCMP_SYS(mmap), "memory, packs" },
	{ SCMP_SYS(munmap), "memory" },
	{ SCMP_SYS(mprotect), "memory of threads" },
	{ SCMP_SYS(mremap), "memory" },
	{ SCMP_SYS(madvise), "memory" },
	{ SCMP_SYS(mlock), "what is scanned" },
	{ SCMP_SYS(brk), "memory" },
	{ PROC_THREADS, "a pack's objects are read by several; no process" },
	{ SCMP_SYS(set_robust_list), "threads" },
	{ SCMP_SYS(rseq), "threads" },
	{ SCMP_SYS(futex), "locks" },
	{ SCMP_SYS(sched_yield), "locks" },
	{ SCMP_SYS(sched_getaffinity), "C library: threads" },
	{ SCMP_SYS(prlimit64), "C library: threads" },
	{ SCMP_SYS(sysinfo), "C library: how much room there is to sort in" },
	{ SCMP_SYS(prctl), "C library: names of memory" },
	{ SCMP_SYS(rt_sigprocmask), "threads" },
	{ SCMP_SYS(rt_sigaction), "abort" },
	{ SCMP_SYS(rt_sigreturn), "signals" },
	{ SCMP_SYS(sigaltstack), "C library" },
	{ SCMP_SYS(getpid), "log, abort" },
	{ SCMP_SYS(gettid), "abort" },
	{ SCMP_SYS(tgkill), "abort" },
	{ SCMP_SYS(clock_gettime), "where the vDSO does not do it" },
	{ SCMP_SYS(gettimeofday), "where the vDSO does not do it" },
	{ SCMP_SYS(time), "where the vDSO does not do it" },
	{ SCMP_SYS(getrandom), "tables that nobody can foresee" },
	{ SCMP_SYS(restart_syscall), "after SIGSTOP" },
	{ SCMP_SYS(exit), "threads" },
	{ SCMP_SYS(exit_group), "the end" },
	{ -1, NULL },
};

#ifdef __SANITIZE_ADDRESS__
enum { BOUNDED = 0 };			/* in sanitized test builds shadow is memory too */
#else
enum { BOUNDED = 1 };
#endif
enum { CPU_S = 3600, PACK_HEAD = 12, OBJECT_BYTES = 1024 };
static const uint64_t memory = (uint64_t)2 << 30, more_files = (uint64_t)4 << 30;

/* How many objects the pack says it has; what it takes to know each of them is not for others. */
static uint64_t objects_of(const struct gate_judge *q, int pack)
{
	uint8_t head[PACK_HEAD];
	struct rd in = rd_of(head, sizeof(head));
	uint32_t n = 0;

	if (pack < 0 || pread(pack, head, sizeof(head), 0) != sizeof(head) || !rd_skip(&in, 8) || !rd_u32(&in, &n))
		return 0;
	return n < q->max_objects ? n : q->max_objects;
}

static int limit(const struct gate_judge *q, int pack)
{
	struct stat st = { 0 };
	int r = 0;

	if (pack >= 0 && fstat(pack, &st) < 0)
		return -errno;
	const struct { __rlimit_resource_t what; rlim_t max; } limits[] = {
		{ RLIMIT_CORE, 0 }, { RLIMIT_CPU, CPU_S }, { RLIMIT_FSIZE, (rlim_t)st.st_size + more_files },
		{ RLIMIT_DATA, BOUNDED ? memory + objects_of(q, pack) * OBJECT_BYTES : RLIM_INFINITY },
	};
	for (size_t i = 0; i < ARRAY_SIZE(limits) && !r; i++)
		if (setrlimit(limits[i].what, &(struct rlimit){ limits[i].max, limits[i].max }) < 0)
			r = -errno;
	return r;
}

int gate_confine(const struct gate_judge *q, int quarantine, int pack)
{
	const struct landlock_path paths[] = {
		{ q && *q->repository ? q->repository : ".", LANDLOCK_READ | LANDLOCK_LIST, "what the mirror has" },
		{ ".", LANDLOCK_READ | LANDLOCK_WRITE | LANDLOCK_LIST | LANDLOCK_MAKE, "the quarantine" },
		{ NULL, 0, NULL },
	};
	int r = 0;

	if (q && fchdir(quarantine) < 0)
		r = -errno;
	if (!r)
		r = limit(q, pack);
	if (!r)
		r = landlock_confine(&(struct landlock_spec){ .paths = q ? paths : NULL });
	return r ? r : proc_seccomp(table);
}

/*
 * proc.h - roles, privilege drop, and starting other programs
 *
 * Theory of operation: every daemon starts as root, opens what needs it, calls proc_drop() and only
 * then reads a byte from outside. A role's uid is that of the account cordon-ROLE (group cordon)
 * when it exists (deploy/sysusers.d), else a fixed number (PROC_UID_BASE + role), so that a
 * checkout runs without touching /etc/passwd: to the kernel a number is a user.
 */
#ifndef BASE_PROC_H
#define BASE_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/mem.h"

enum proc_role { ROLE_NONE = 0, ROLE_NETD, ROLE_INSPECT, ROLE_DNS, ROLE_GITPROXY, ROLE_KEEPER,
		 ROLE_MIRROR, ROLE_COUNT };
enum { PROC_UID_BASE = 63960 };	/* group cordon is PROC_UID_BASE itself when not in /etc/group */

const char *proc_role_name(enum proc_role r);	/* "netd" ... */
uid_t proc_role_uid(enum proc_role r);
gid_t proc_group(void);

/*
 * Become the role: groups {cordon}, uid, only the capabilities in `caps` (bit per CAP_* number)
 * kept in permitted and effective and nothing in the bounding set, no_new_privs, not dumpable, core
 * 0, umask 077. A parent-death signal stays set (the kernel forgets it at a change of uid). 0 or
 * -errno: exit then. Must be root.
 */
int proc_drop(enum proc_role r, uint64_t caps);
#define CAP_BIT(c) (1ull << (c))
/*
 * Stay root, but with these capabilities at most, here and in every program started from here, and
 * with no_new_privs. 0 or -errno.
 */
int proc_bound(uint64_t caps);
/*
 * For a program that was started with its user and capabilities already (proc_spec.ambient): keep
 * exactly these, hand none down, and close what exec opened again (dumpable). 0 or -errno. Refused
 * to root.
 */
int proc_keep(uint64_t caps);
/* Added to `caps` of proc_drop(): children may be given these capabilities by proc_spec.ambient. */
#define PROC_HANDS_DOWN (1ull << 63)

/* One row of a seccomp allow list; `why` is documentation that the reviewer reads. */
struct proc_syscall { int nr; const char *why; };
/*
 * As a number: clone(2), for a thread of this process and in its namespaces. Any other kills; clone3(2), whose
 * flags no filter can see, fails with ENOSYS, and the C library takes clone then.
 */
enum { PROC_THREADS = -2 };
/*
 * Allow exactly these. Ends with nr -1. What is not listed kills the process; open(2) and openat(2)
 * fail with EACCES instead, for the C library opens files of its own when there are many threads or
 * much to free (malloc: /sys/devices/system/cpu/online, /proc/sys/vm/overcommit_memory), and copes
 * without them. A kill would let whoever causes that end the daemon.
 */
int proc_seccomp(const struct proc_syscall *table);

struct proc_fd { int from, to; };	/* descriptor `from` here becomes `to` in the child */
struct proc_spec {
	const char *path;		/* absolute */
	const char *const *argv;	/* NULL-terminated */
	const char *const *envp;	/* NULL: an empty environment with PATH only */
	const struct proc_fd *fds;	/* if not named: 0 /dev/null, 1 and 2 stay, others close */
	size_t nfds;
	bool die_with_parent;		/* SIGKILL when the calling thread ends and may kill it */
	bool own_group;			/* new process group, so that it can be killed whole */
	uint64_t ambient;		/* capabilities kept over exec; see PROC_HANDS_DOWN */
};
/* Start it. 0 or -errno (exec failures included). ret_pidfd is close-on-exec. */
int proc_spawn(const struct proc_spec *spec, pid_t *ret_pid, int *ret_pidfd);

/* Let this process have as many files open as it may, at the most `most`. */
void proc_raise_files(uint64_t most);
/* Path of another of Cordon's programs: beside this executable, else in libexec. 0 or -errno. */
int proc_program(const char *name, char *ret_path, size_t cap);
/* Tell whoever started us (--ready-fd N, NOTIFY_SOCKET) that we serve. fd -1: only the latter. */
void proc_ready(int fd);
/*
 * Create a directory and set owner and mode. Refused: a symlink, somebody else's, one that others
 * could write into, or that lies where everybody can replace it. 0 or -errno (-EPERM, -ENOTDIR).
 */
int proc_mkdir(const char *path, mode_t mode, uid_t uid, gid_t gid);

#endif

/*
 * landlock.c - the files, ports and processes that a daemon may still reach after its start
 *
 * Theory of operation: see landlock.h. Three raw system calls, since the C library has no names for
 * them; the structs and bits are the kernel's (Documentation/userspace-api/landlock.rst), spelled
 * out here because the floor's headers know the first ones only. A ruleset first says what is
 * handled, which is refused from then on, then what is allowed in spite of that. What a kernel does
 * not know must not be asked of it, so everything is cut to its version.
 */
#include "base/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "base/mem.h"

enum {
	FS_EXECUTE = 1 << 0,
	FS_WRITE_FILE = 1 << 1,
	FS_READ_FILE = 1 << 2,
	FS_READ_DIR = 1 << 3,
	FS_REMOVE_DIR = 1 << 4,
	FS_REMOVE_FILE = 1 << 5,
	FS_MAKE_DIR = 1 << 7,
	FS_MAKE_REG = 1 << 8,
	FS_MAKE_SYM = 1 << 12,
	FS_ALL_V1 = (1 << 13) - 1, /* the above; making and removing of everything */
	FS_REFER = 1 << 13,	   /* version 2 */
	FS_TRUNCATE = 1 << 14,	   /* version 3 */
	FS_IOCTL_DEV = 1 << 15,	   /* version 5 */
	FS_OF_FILES = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE,
	NET_BIND_TCP = 1 << 0, /* version 4 */
	NET_CONNECT_TCP = 1 << 1,
	SCOPE_ABSTRACT_UNIX = 1 << 0, /* version 6 */
	SCOPE_SIGNAL = 1 << 1,
	RULE_PATH_BENEATH = 1,
	RULE_NET_PORT = 2,
	CREATE_VERSION = 1
};

struct ruleset_attr {
	uint64_t fs, net, scoped;
};
struct path_attr {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));
struct port_attr {
	uint64_t allowed, port;
};

int landlock_version(void)
{
	long v = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);

	return v < 0 ? 0 : (int)v;
}

static struct ruleset_attr handled(int version, const struct landlock_spec *s)
{
	struct ruleset_attr a = { .fs = FS_ALL_V1 };

	if (version >= 2)
		a.fs |= FS_REFER;
	if (version >= 3)
		a.fs |= FS_TRUNCATE;
	if (version >= 4)
		a.net = NET_BIND_TCP | NET_CONNECT_TCP;
	if (version >= 5)
		a.fs |= FS_IOCTL_DEV;
	if (version >= 6)
		a.scoped = SCOPE_ABSTRACT_UNIX | (s->signals ? 0 : SCOPE_SIGNAL);
	return a;
}

static uint64_t fs_bits(unsigned access)
{
	uint64_t bits = 0;

	if (access & LANDLOCK_READ)
		bits |= FS_READ_FILE;
	if (access & LANDLOCK_WRITE)
		bits |= FS_WRITE_FILE | FS_TRUNCATE;
	if (access & LANDLOCK_LIST)
		bits |= FS_READ_DIR;
	if (access & LANDLOCK_RUN)
		bits |= FS_READ_FILE | FS_EXECUTE;
	if (access & LANDLOCK_MAKE)
		bits |= FS_MAKE_REG | FS_MAKE_DIR | FS_MAKE_SYM | FS_REMOVE_FILE | FS_REMOVE_DIR | FS_REFER;
	return bits;
}

static int allow_fd(int ruleset, int fd, uint64_t bits, uint64_t known)
{
	struct path_attr a = { .allowed = bits & known, .fd = fd };
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		a.allowed &= FS_OF_FILES;
	return syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &a, 0) < 0 ? -errno : 0;
}

static int allow_path(int ruleset, const struct landlock_path *p, uint64_t known)
{
	AUTO(fd) int fd = open(p->path, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -errno;
	return allow_fd(ruleset, fd, fs_bits(p->access), known);
}

static int allow_paths(int ruleset, const struct landlock_spec *s, uint64_t known)
{
	int r = 0;

	for (const struct landlock_path *p = s->paths; p && p->path && !r; p++)
		r = allow_path(ruleset, p, known);
#if defined(__SANITIZE_ADDRESS__)
	/* Sanitized test builds only: the run-time reads its own maps and symbols to report. */
	if (!r)
		r = allow_path(ruleset, &(struct landlock_path){ "/", LANDLOCK_READ | LANDLOCK_LIST, "" },
			       known);
#endif
	return r || s->fd_run <= 0 ? r : allow_fd(ruleset, s->fd_run, FS_EXECUTE | FS_READ_FILE, known);
}

static int allow_ports(int ruleset, const uint16_t *ports)
{
	for (; ports && *ports; ports++) {
		struct port_attr a = { NET_CONNECT_TCP, *ports };

		if (syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &a, 0) < 0)
			return -errno;
	}
	return 0;
}

int landlock_confine(const struct landlock_spec *s)
{
	int version = landlock_version(), r;
	struct ruleset_attr a = handled(version, s);
	AUTO(fd) int ruleset = -1;

	if (!version) {
		log_line(LOG_WARN, "event=landlock_missing fix=\"Linux 5.13 or later with "
				   "CONFIG_SECURITY_LANDLOCK and landlock among lsm=; users, "
				   "capabilities and seccomp hold meanwhile\"");
		return 0;
	}
	/* The kernel takes a longer struct than it knows when the rest is zero. */
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &a, sizeof(a), 0);
	if (ruleset < 0)
		return -errno;
	r = allow_paths(ruleset, s, a.fs);
	if (!r && a.net)
		r = allow_ports(ruleset, s->tcp_ports);
	if (!r && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = -errno;
	if (!r && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		r = -errno;
	return r;
}

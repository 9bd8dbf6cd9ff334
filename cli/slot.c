/*
 * slot.c - which link numbers are taken by runs of this host
 *
 * Theory of operation: RUN/runs/NUMBER is locked (flock) by the run that has it, so a run that was
 * killed frees its number without anybody's help. The file is removed at the end of the run.
 * Everything happens under RUN/up.lock, which makes removing a lock file safe. A number whose
 * interface still exists (the kernel removes a killed run's namespace a little later) is passed
 * over.
 */
#include "cli/slot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/file.h>

#include "base/proc.h"

static int slot_path(const struct host_config *c, unsigned n, char *out, size_t cap)
{
	return snprintf(out, cap, "%s/runs/%u", c->run_dir, n) < (int)cap ? 0 : -ENAMETOOLONG;
}

/* A descriptor with the lock, -EWOULDBLOCK when another has it. */
static int slot_lock(const char *path, int flags)
{
	AUTO(fd) int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	return STEAL_FD(fd);
}

int slot_take(const struct host_config *c, struct slot *ret)
{
	char path[512];
	int r = snprintf(path, sizeof(path), "%s/runs", c->run_dir) < (int)sizeof(path)
			? proc_mkdir(path, 0700, 0, 0)
			: -ENAMETOOLONG;

	for (unsigned n = 0; !r; n++) {
		struct slot s = { .fd = -1, .n = n };

		if (!run_link_of(&c->run4, &c->run6, n, &s.link))
			return -EADDRNOTAVAIL;
		if (if_nametoindex(s.link.name))
			continue;
		r = slot_path(c, n, path, sizeof(path));
		s.fd = r ? r : slot_lock(path, O_CREAT);
		if (s.fd >= 0) {
			*ret = s;
			return 0;
		}
		r = s.fd == -EWOULDBLOCK ? 0 : s.fd;
	}
	return r;
}

void slot_release(const struct host_config *c, struct slot *s)
{
	char path[512];

	if (s->fd < 0)
		return;
	if (!slot_path(c, s->n, path, sizeof(path)))
		unlink(path);
	close(STEAL_FD(s->fd));
}

/* A file that can be locked belongs to nobody: a killed run left it. */
static bool slot_held(const char *path)
{
	AUTO(fd) int fd = slot_lock(path, 0);

	if (fd >= 0)
		unlink(path);
	return fd == -EWOULDBLOCK;
}

bool slot_any(const struct host_config *c)
{
	char path[512];
	bool any = false;
	struct dirent *e;
	DIR *d;

	if (snprintf(path, sizeof(path), "%s/runs", c->run_dir) >= (int)sizeof(path))
		return true;
	d = opendir(path);
	while (d && (e = readdir(d))) {
		if (e->d_name[0] < '0' || e->d_name[0] > '9')
			continue;
		if (slot_path(c, (unsigned)strtoul(e->d_name, NULL, 10), path, sizeof(path)) ||
		    slot_held(path))
			any = true;
	}
	if (d)
		closedir(d);
	return any;
}

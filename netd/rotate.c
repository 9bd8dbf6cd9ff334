/*
 * rotate.c - every part's audit log goes on in a new file
 *
 * Theory of operation: no daemon can make or rename a file, or open one where it logs: they gave
 * that up with root. So the command, which is root, renames the old files, makes the new ones, and
 * hands them over here as descriptors; each part gets its own and acknowledges. When the command
 * has its reply nobody writes to an old file any more: it may be compressed or shipped. A part that
 * is not connected opens the new file when it starts.
 */
#include "netd/rotate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netd/parts.h"

struct rotation {
	struct publish publish;
	uint64_t who;
	rotate_fn *fn;
};

#define ROTATED (TO_VIEWS | BIT_ROLE(ROLE_NETD))

/* One regular file per bit, and nothing else. */
static bool well_formed(const struct msg_rotate *m, const struct ipc_in *in)
{
	size_t n = 0;
	struct stat st;

	for (unsigned bits = m->roles; bits; bits &= bits - 1)
		n++;
	if (!m->roles || m->roles & ~ROTATED || n > IPC_FDS_MAX)
		return false;
	for (size_t i = 0; i < IPC_FDS_MAX; i++) {
		if ((in->fd[i] >= 0) != (i < n))
			return false;
		if (i < n && (fstat(in->fd[i], &st) < 0 || !S_ISREG(st.st_mode)))
			return false;
	}
	return true;
}

static void changed_over(struct netd *n, struct publish *publish)
{
	struct rotation *r = container_of(publish, struct rotation, publish);
	bool late = publish->late;

	r->fn(n, r->who, late ? -ETIMEDOUT : 0,
	      late ? "a part did not change over in time; it is cut off, and starts anew in the "
		     "new file"
		   : "");
	free(r);
}

static int reopen_own(struct netd *n, int fd)
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return own < 0 ? -errno : audit_reopen(n->audit, own);
}

void rotate_start(struct netd *n, const struct ipc_in *in, uint64_t who, rotate_fn *fn)
{
	const struct msg_rotate *m = msg_body(in, MSG_ROTATE);
	struct rotation *r = well_formed(m, in) ? calloc(1, sizeof(*r)) : NULL;
	size_t i = 0;

	if (!r) {
		fn(n, who, -EPROTO, "not one new file for each part");
		return;
	}
	r->who = who;
	r->fn = fn;
	publish_begin(n, &r->publish, changed_over);
	for (int role = ROLE_NETD; role < ROLE_COUNT; role++) {
		if (!(m->roles & BIT_ROLE(role)))
			continue;
		if (role == ROLE_NETD)
			reopen_own(n, in->fd[i]);
		else
			publish_send_fd(&r->publish, BIT_ROLE(role), MSG_AUDIT, in->fd[i]);
		i++;
	}
	publish_end(&r->publish);
}

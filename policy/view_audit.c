/*
 * view_audit.c - a part's audit log goes on in a new file
 *
 * Theory of operation: netd passes the descriptor on (netd/rotate.c); a part cannot open one. The
 * answer goes out when the last line of the old file is written. A new file that cannot be written
 * to is the audit's own trouble: it is told of there, and counts what is lost.
 */
#include "policy/view_audit.h"

#include <errno.h>
#include <fcntl.h>

#include "base/log.h"

int view_audit(struct view *v, const struct ipc_in *in, struct audit *a)
{
	struct msg_done done = { 0 };
	int fd, r;

	if (!msg_body(in, MSG_AUDIT) || in->fd[0] < 0 || in->fd[1] >= 0)
		return -EPROTO;
	fd = fcntl(in->fd[0], F_DUPFD_CLOEXEC, 0); /* `in` closes its own */
	if (fd < 0)
		return -errno;
	r = audit_reopen(a, fd);
	if (r < 0)
		log_line(LOG_ERR, "event=audit_not_written errno=%d", -r);
	return view_send(v, MSG_DONE, in->head.sequence, &done);
}

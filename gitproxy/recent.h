/*
 * recent.h - what a sandbox was refused last: telling netd, which keeps it, and asking
 */
#ifndef GITPROXY_RECENT_H
#define GITPROXY_RECENT_H

#include "base/ipc.h"
#include "base/msg.h"
#include "policy/reason.h"
#include "policy/view.h"

struct recent;
int recent_new(struct recent **ret);	/* 0 or -ENOMEM; kept for good */

/* `what` is made plain and cut. Lost when netd is away. */
void recent_tell(struct view *v, uint16_t sandbox, enum reason reason, const char *what);
/* 0, -ETIMEDOUT, -EBUSY (too many ask), -ENOTCONN or -errno. Any thread. */
int recent_ask(struct recent *r, struct view *v, uint16_t sandbox, struct msg_recent *ret);
/* netd's answer, in the view's thread. 0, or -EPROTO. */
int recent_answered(struct recent *r, const struct ipc_in *in);

#endif

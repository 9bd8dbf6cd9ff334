/*
 * ask.h - questions to netd, and what it is told
 */
#ifndef GITPROXY_FRONT_ASK_H
#define GITPROXY_FRONT_ASK_H

#include "base/ipc.h"
#include "base/msg.h"
#include "policy/reason.h"
#include "policy/view.h"

struct ask;
int ask_new(struct ask **ret);		/* 0 or -ENOMEM; kept for good */
/* netd's answer, in the view's thread. 0, or -EPROTO. */
int ask_answered(struct ask *a, const struct ipc_in *in);

/* Any thread. 0, -ETIMEDOUT, -EBUSY (too many ask), -ENOTCONN or -errno. */
int ask_recent(struct ask *a, struct view *v, uint16_t sandbox, struct msg_recent *ret);
/* Whether it is one of the sandbox's scopes, in time: 1, 0, or as above. */
int ask_scope(struct ask *a, struct view *v, uint16_t sandbox, const uint8_t hash[MSG_HASH]);

/* A sandbox was refused something. `what` is made plain and cut. Lost when netd is away. */
void ask_tell(struct view *v, uint16_t sandbox, enum reason reason, const char *what);

#endif

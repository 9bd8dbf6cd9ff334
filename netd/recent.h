/*
 * recent.h - what each sandbox was refused last, for cordon.internal
 */
#ifndef NETD_RECENT_H
#define NETD_RECENT_H

#include <stdint.h>

#include "base/mem.h"
#include "base/msg.h"
#include "netd/netd.h"
#include "policy/reason.h"

struct recent;
int recent_new(struct netd *n, struct recent **ret);	/* 0 or -ENOMEM */
void recent_free(struct recent *r);
DEFINE_AUTO(recent, struct recent *, recent_free)

/* `what` is made plain and cut. An id that no open sandbox has is let be. */
void recent_note(struct recent *r, uint16_t sandbox, enum reason reason, const char *what);
/* What a part tells: 0, or -EPROTO when it is no honest message. */
int recent_told(struct recent *r, const struct msg_refused *m);
void recent_get(const struct recent *r, uint16_t sandbox, struct msg_recent *ret);
void recent_forget(struct recent *r, uint16_t sandbox);

#endif

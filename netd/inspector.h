/*
 * inspector.h - cordon-inspect: started, restarted, listened to
 */
#ifndef NETD_INSPECTOR_H
#define NETD_INSPECTOR_H

#include <jansson.h>
#include <stdbool.h>

#include "base/msg.h"
#include "netd/netd.h"

/*
 * Open the program, as root: where it lies may be readable for root alone (a checkout in /root),
 * and it is started long after the rights are gone. A descriptor or -errno.
 */
int inspector_program(void);
/* Start it. 0 or -errno (a failed start is tried again by itself). */
int inspector_new(struct netd *n, struct inspector **ret);
void inspector_free(struct inspector *i);
DEFINE_AUTO(inspector, struct inspector *, inspector_free)
/* Called by parts.c: its queue is bound and it has every name; its pair is closed. */
void inspector_ready(struct netd *n);
void inspector_lost(struct netd *n);
/* A verdict for the audit. 0, or -EPROTO: not something it may send. */
int inspector_verdict(struct netd *n, const struct msg_verdict *m);
/* Make sure that the queue rule is there (once an inspector was ready). 0 or -errno. */
int inspector_queue_rule(struct netd *n);
bool inspector_serving(const struct inspector *i);
json_t *inspector_json(const struct inspector *i);

#endif

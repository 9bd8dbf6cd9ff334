/*
 * ssh_refuse.h - tell an SSH client that this is not the way
 *
 * Spec: RFC 4253 s4.2 (identification), s6 (binary packets, before keys are exchanged), s11.1
 * (disconnect).
 */
#ifndef GITPROXY_FRONT_SSH_REFUSE_H
#define GITPROXY_FRONT_SSH_REFUSE_H

#include "gitproxy/front/tls.h"

/* Say so, and name the https URLs of this host. 0 or -errno; the caller closes cleanly. */
int ssh_refuse(struct stream *s, const char *host);

#endif

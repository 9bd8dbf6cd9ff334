/*
 * control.h - RUN/control.sock: what the `cordon` command asks
 *
 * Replies carry one line for people and, where there is data, a memfd of JSON:
 *   LS      [{name, id, profile, interface, mac, ipv4, ipv6, up, run}]
 *   STATUS  {policy, generation, pid, since_ms, ruleset, reloading, audit, sandboxes, names,
 *            profiles: [{name, id, sha256}], parts: [{role, pid, state, queued}],
 *            inspect: {pid, serving, starts, queue}}
 *   ADD RUN {id}
 *   TOKEN   {token, interface, port, hosts}
 *   RELOAD  {policy, generation, diagnostics}
 */
#ifndef NETD_CONTROL_H
#define NETD_CONTROL_H

#include "base/mem.h"
#include "netd/netd.h"

/* Takes the listening socket. 0 or -errno. */
int control_new(struct netd *n, int listener /* takes */, struct control **ret);
void control_free(struct control *c);
DEFINE_AUTO(control, struct control *, control_free)

#endif

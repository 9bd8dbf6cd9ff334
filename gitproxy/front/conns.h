/*
 * conns.h - the connections there are: limits, and revocation
 */
#ifndef GITPROXY_FRONT_CONNS_H
#define GITPROXY_FRONT_CONNS_H

#include <stdbool.h>
#include <stdint.h>

enum { CONNS_MAX = 2048 };

struct conns;
int conns_new(struct conns **ret);				/* 0 or -ENOMEM; kept for good */

/*
 * Register a connection of a sandbox, at most `limit` of it and CONNS_MAX in all, of which each sandbox has
 * a share (shares.h). A ticket >= 0, or -EMFILE. The descriptor stays the caller's, who leaves before closing it.
 */
int conns_enter(struct conns *c, uint16_t sandbox, int fd, uint32_t limit);
void conns_leave(struct conns *c, int ticket);
/* shutdown() every connection of the sandbox, whose threads then end. Returns how many. */
unsigned conns_close(struct conns *c, uint16_t sandbox);

/* One of the sandbox's `limit` transfers; waits up to wait_ms for one to end. False: none free. */
bool conns_transfer_begin(struct conns *c, uint16_t sandbox, uint32_t limit, unsigned wait_ms);
void conns_transfer_end(struct conns *c, uint16_t sandbox);

/* One of the sandbox's `limit` tunnels. False: none free. */
bool conns_tunnel_begin(struct conns *c, uint16_t sandbox, uint32_t limit);
void conns_tunnel_end(struct conns *c, uint16_t sandbox);

#endif

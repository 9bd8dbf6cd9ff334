/*
 * listen.h - the sockets on which sandboxes' questions arrive
 */
#ifndef DNS_LISTEN_H
#define DNS_LISTEN_H

#include "base/addr.h"

/*
 * A socket of `type` (SOCK_DGRAM or SOCK_STREAM) bound to a service address of the synthetic pool,
 * which no interface has: TPROXY delivers to it and nothing else can. Needs CAP_NET_ADMIN. Returns
 * a non-blocking descriptor or -errno.
 */
int listen_transparent(const struct addr *a, int type);

#endif

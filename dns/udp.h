/*
 * udp.h - questions over UDP
 */
#ifndef DNS_UDP_H
#define DNS_UDP_H

#include "base/loop.h"
#include "base/mem.h"
#include "dns/service.h"

struct udp;
/* fd from listen_transparent(); kind CLIENT_UDP4 or CLIENT_UDP6. 0 or -errno. */
int udp_new(struct loop *l, struct service *s, enum client_kind kind, int fd /* takes */,
	    struct udp **ret);
void udp_free(struct udp *u);
DEFINE_AUTO(udp, struct udp *, udp_free)

#endif

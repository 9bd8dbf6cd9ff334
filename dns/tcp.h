/*
 * tcp.h - questions over TCP (RFC 7766: several on one connection, answered as they become ready)
 */
#ifndef DNS_TCP_H
#define DNS_TCP_H

#include "base/loop.h"
#include "base/mem.h"
#include "dns/service.h"

struct tcp;
int tcp_new(struct loop *l, struct service *s, struct tcp **ret);	/* 0 or -errno */
int tcp_listen(struct tcp *t, int fd /* takes; from listen_transparent() */);
void tcp_free(struct tcp *t);
DEFINE_AUTO(tcp, struct tcp *, tcp_free)

#endif

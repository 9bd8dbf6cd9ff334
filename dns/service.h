/*
 * service.h - one question in, one answer out, whatever it came over
 */
#ifndef DNS_SERVICE_H
#define DNS_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/audit.h"
#include "base/bytes.h"
#include "base/loop.h"
#include "dns/message.h"
#include "dns/resolver.h"
#include "policy/view.h"

enum client_kind { CLIENT_UDP4 = 0, CLIENT_UDP6, CLIENT_TCP, CLIENT_KINDS };
struct client {
	enum client_kind kind;
	struct addr guest, asked;	/* who asks, and the resolver they think they ask */
	uint16_t port;			/* guest's, UDP */
	uint32_t slot, serial;		/* TCP: the connection */
};

enum { SERVICE_CONNECTIONS_MAX = 16 };	/* TCP connections of one sandbox */

struct service;
int service_new(struct loop *l, struct view *v, struct resolver *r, struct audit *a,
		struct service **ret);
void service_free(struct service *s);
DEFINE_AUTO(service, struct service *, service_free)

/* Where answers go that had to wait. n 0: there is none; the question is over all the same. */
typedef void service_late_fn(void *owner, const struct client *c, const uint8_t *p, size_t n);
void service_set_late(struct service *s, enum client_kind kind, service_late_fn *fn, void *owner);

enum service_result {
	SERVICE_SILENT = 0,		/* no answer, ever */
	SERVICE_ANSWER,			/* ret_n bytes in out */
	SERVICE_LATER			/* the late function is called once; perhaps it has been */
};
enum service_result service_query(struct service *s, const struct client *c, struct rd in,
				  uint8_t out[DNS_REPLY_MAX], size_t *ret_n);

/* The view has become ready: questions that were parked meanwhile are answered. */
void service_view_ready(struct service *s);

/* TCP: may this guest have one more connection; audited when not. Each true needs one _closed(). */
bool service_connection_opened(struct service *s, const struct client *c, uint16_t *ret_sandbox);
void service_connection_closed(struct service *s, uint16_t sandbox);
/* What a transport refused before there was a question; `what` is a constant. */
void service_refused(struct service *s, const struct client *c, enum reason reason,
		     const char *what);

#endif

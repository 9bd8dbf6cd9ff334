/*
 * refresh.h - names in use are asked for again at their TTL, though no client asks
 */
#ifndef DNS_REFRESH_H
#define DNS_REFRESH_H

#include "base/ipc.h"
#include "base/loop.h"
#include "base/mem.h"
#include "dns/resolver.h"
#include "policy/view.h"

struct refresh;
/* All borrowed for ever. 0 or -errno. */
int refresh_new(struct loop *l, struct resolver *r, struct view *v, struct refresh **ret);
void refresh_free(struct refresh *f);	/* before the resolver */
DEFINE_AUTO(refresh, struct refresh *, refresh_free)

/* From the view: IN_USE. 0 or -EPROTO. */
int refresh_in_use(struct refresh *f, const struct ipc_in *in);

#endif

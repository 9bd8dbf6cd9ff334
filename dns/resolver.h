/*
 * resolver.h - granted names and their pins: nothing is answered before netd has acknowledged
 *
 * A pin belongs to a profile (by id and by the very policy object that was in force) and to one
 * connection to netd. When either changes, it is forgotten and made anew by the next question.
 */
#ifndef DNS_RESOLVER_H
#define DNS_RESOLVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ipc.h"
#include "base/loop.h"
#include "dns/answer.h"
#include "dns/message.h"
#include "dns/upstream.h"
#include "policy/host_config.h"
#include "policy/view.h"

struct resolver;
struct resolver_wait;
/*
 * The name is settled: outcome_answer() makes the answer. outcome_policy() is the policy that it
 * holds for; a waiter whose sandbox has another one by now must not get it, nor one that the
 * outcome says nothing of. A waiter must not ask again from its callback.
 */
struct outcome;
typedef void resolver_fn(struct resolver_wait *w, const struct outcome *o);
struct resolver_wait {
	resolver_fn *fn;
	struct resolver_wait *prev, *next;	/* private */
};

/* cordon.internal's address of a family (4, 6), the same for everybody. */
struct addr resolver_internal(const struct resolver *r, uint8_t family);

/* All borrowed for ever. 0 or -errno. */
int resolver_new(struct loop *l, const struct host_config *c, struct upstream *u, struct view *v,
		 struct resolver **ret);
void resolver_free(struct resolver *r);
DEFINE_AUTO(resolver, struct resolver *, resolver_free)

/* The hot path: true when a landed pin of this profile answers (name, qtype) at once. */
bool resolver_lookup(struct resolver *r, const struct view_sandbox *s, const char *name,
		     uint16_t qtype, struct answer *ret);
/*
 * Wait for the pin of a name that policy `s->policy` allows by decision d. w->fn is called once,
 * perhaps before this returns. False: no room (nothing is called).
 */
bool resolver_wait(struct resolver *r, const struct view_sandbox *s, const char *name,
		   const struct name_decision *d, struct resolver_wait *w);
void resolver_cancel(struct resolver_wait *w);

const struct policy *outcome_policy(const struct outcome *o);
/* A refusal for the limit of another sandbox, which asked first, or of a refresh (sandbox 0), which may get
 * less than a sandbox: it says nothing of this one. */
bool outcome_is_anothers(const struct outcome *o, uint16_t sandbox);
void outcome_answer(const struct outcome *o, uint16_t qtype, uint64_t now_ms, struct answer *ret);

bool outcome_pinned(const struct outcome *o);
uint64_t outcome_expires(const struct outcome *o);	/* of loop_now() */
/* Until when resolver_lookup() answers of this name; false: it does not. */
bool resolver_fresh(struct resolver *r, const struct view_sandbox *s, const char *name,
		    uint64_t *ret_until_ms);

/* The name of a synthetic address, if this profile has it pinned; it lives until the next call. */
const char *resolver_name_of(struct resolver *r, const struct view_sandbox *s,
			     const struct addr *synthetic);

/* From the view: PINNED. 0 or -EPROTO. */
int resolver_pinned(struct resolver *r, const struct ipc_in *in);
/* From the view: NAME_GONE. The next question for the name begins anew. */
int resolver_name_gone(struct resolver *r, const struct ipc_in *in);
/* The connection to netd is lost: every pin is void, who waits is told so. */
void resolver_lost(struct resolver *r);

#endif

/*
 * answer.h - the decision table: what a question of this sandbox gets
 */
#ifndef DNS_ANSWER_H
#define DNS_ANSWER_H

#include <stdint.h>

#include "base/addr.h"
#include "dns/message.h"
#include "policy/policy.h"

enum { ANSWER_TTL_MAX = 60,		/* of addresses: what a client caches stays short */
       ANSWER_TTL_NEGATIVE = 10 };	/* of refusals: a policy may be reloaded */

/* Zero: the answer is complete. */
enum answer_next {
	ANSWER_NOW = 0,
	ANSWER_RESOLVE, /* a granted name's A or AAAA: pin, then answer */
	ANSWER_REVERSE, /* PTR of `addr`: its name if it has one, else answer_refuse() */
	ANSWER_INTERNAL /* A or AAAA of cordon.internal, which every sandbox may reach */
};
struct answer {
	struct reply reply;
	enum reason reason;		/* for the audit; REASON_NONE: nothing was refused */
	const char *rule;		/* lives as long as the policy */
	struct addr addr;		/* ANSWER_REVERSE */
};

/* q must be QUERY_OK. `ret_d` is filled for ANSWER_RESOLVE. Pure. */
enum answer_next answer_decide(const struct policy *p, const struct query *q,
			       struct name_decision *ret_d, struct answer *ret);

/*
 * The answer for a reason: refusals by policy are NXDOMAIN (or, for a record type, no data) with
 * SOA and EDE 15, since REFUSED makes stub resolvers try the next server and stall; what could not
 * be found out is SERVFAIL with the EDE that fits. The text of the EDE is the reason's.
 */
void answer_refuse(enum reason reason, const char *rule, struct answer *ret);
/* No policy yet, or netd is away: SERVFAIL, EDE 14. */
void answer_not_ready(struct answer *ret);
void answer_nodata(uint32_t ttl, struct answer *ret);
void answer_nxdomain(uint32_t ttl, struct answer *ret);
void answer_address(const struct addr *a, uint32_t ttl, struct answer *ret);
void answer_ptr(const char *name, uint32_t ttl, struct answer *ret);

/* "4.3.2.1.in-addr.arpa" or the 32 nibbles of ip6.arpa. False: neither, or not a whole address. */
bool answer_reverse_addr(const char *name, struct addr *ret);

#endif

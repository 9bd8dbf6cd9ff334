/*
 * element_expr.c - what an element keeps besides key and value: its limit, its counter, its age
 *
 * Theory of operation: an element of a set may carry expressions, which the kernel evaluates whenever a
 * rule finds the element, and which can say no. So one rule for all sandboxes enforces each one's own
 * limit: a rate of new flows or queries (`limit`), flows at a time (`ct count`). Counters are such
 * expressions too, and an element that expires tells by what is left how long ago it was touched.
 */
#include "nft/element_expr.h"

#include <errno.h>
#include <string.h>
#include <linux/netfilter/nf_tables.h>
#include <libnftnl/expr.h>

enum { UNIT_SECOND = 1 };

static struct nftnl_expr *expr_rate(uint32_t a_second)
{
	struct nftnl_expr *x = nftnl_expr_alloc("limit");

	if (!x)
		return NULL;
	nftnl_expr_set_u64(x, NFTNL_EXPR_LIMIT_RATE, a_second);
	nftnl_expr_set_u64(x, NFTNL_EXPR_LIMIT_UNIT, UNIT_SECOND);
	nftnl_expr_set_u32(x, NFTNL_EXPR_LIMIT_BURST, a_second);	/* a second's worth at once */
	nftnl_expr_set_u32(x, NFTNL_EXPR_LIMIT_TYPE, NFT_LIMIT_PKTS);
	nftnl_expr_set_u32(x, NFTNL_EXPR_LIMIT_FLAGS, 0);		/* matches below the rate */
	return x;
}

static struct nftnl_expr *expr_flows(uint32_t at_once)
{
	struct nftnl_expr *x = nftnl_expr_alloc("connlimit");

	if (!x)
		return NULL;
	nftnl_expr_set_u32(x, NFTNL_EXPR_CONNLIMIT_COUNT, at_once);
	nftnl_expr_set_u32(x, NFTNL_EXPR_CONNLIMIT_FLAGS, 0);		/* matches up to the number */
	return x;
}

static bool is_limit(enum ruleset_map map)
{
	return map == MAP_NEW_FLOWS || map == MAP_FLOWS || map == MAP_DNS_QUERIES;
}

int element_expr_put(const struct ruleset_elem *e, struct nftnl_set_elem *el)
{
	struct nftnl_expr *x;

	if (!is_limit(e->map))
		return 0;
	if (!e->limit)
		return -EINVAL;
	x = e->map == MAP_FLOWS ? expr_flows(e->limit) : expr_rate(e->limit);
	if (!x)
		return -ENOMEM;
	nftnl_set_elem_add_expr(el, x);					/* el owns x */
	return 0;
}

static int get_expr(struct nftnl_expr *x, void *owner)
{
	struct ruleset_elem *e = owner;
	const char *name = nftnl_expr_get_str(x, NFTNL_EXPR_NAME);

	if (!strcmp(name, "limit"))
		e->limit = (uint32_t)nftnl_expr_get_u64(x, NFTNL_EXPR_LIMIT_RATE);
	else if (!strcmp(name, "connlimit"))
		e->limit = nftnl_expr_get_u32(x, NFTNL_EXPR_CONNLIMIT_COUNT);
	else if (!strcmp(name, "counter"))
		e->packets = nftnl_expr_get_u64(x, NFTNL_EXPR_CTR_PACKETS);
	return 0;
}

static uint32_t age(const struct nftnl_set_elem *el, uint32_t life_s)
{
	uint64_t left = nftnl_set_elem_get_u64((struct nftnl_set_elem *)el, NFTNL_SET_ELEM_EXPIRATION);

	return left < life_s * 1000ull ? (uint32_t)(life_s * 1000ull - left) : 0;
}

void element_expr_get(const struct nftnl_set_elem *el, struct ruleset_elem *e)
{
	nftnl_set_elem_expr_foreach((struct nftnl_set_elem *)el, get_expr, e);
	if (e->map == MAP_UNANSWERED)
		e->age_ms = age(el, RULESET_UNANSWERED_S);
	else if (e->map == MAP_USED)
		e->age_ms = age(el, RULESET_USED_S);
}

static int count_expr(struct nftnl_expr *x, void *owner)
{
	struct element_count *c = owner;

	if (strcmp(nftnl_expr_get_str(x, NFTNL_EXPR_NAME), "counter"))
		return 0;
	c->packets = nftnl_expr_get_u64(x, NFTNL_EXPR_CTR_PACKETS);
	c->bytes = nftnl_expr_get_u64(x, NFTNL_EXPR_CTR_BYTES);
	return 0;
}

struct element_count element_count(const struct nftnl_set_elem *el)
{
	struct element_count c = { 0 };

	nftnl_set_elem_expr_foreach((struct nftnl_set_elem *)el, count_expr, &c);
	return c;
}

/*
 * doctor_rules.c - every chain, rule, set and flowtable of the host but Cordon's own, read once
 *
 * Theory of operation: plain dumps over netlink, parsed by libnftnl, kept as its objects: what a
 * rule means is doctor_packet.c's. Rules of iptables-nft are rules like others, with xt matches and
 * targets in them. Sets are read when a rule asks for one.
 */
#include "cli/doctor_rules.h"

#include <errno.h>
#include <string.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <libnftnl/common.h>
#include <libnftnl/flowtable.h>
#include <libnftnl/set.h>

#define OURS "cordon"

static const struct {
	uint32_t family;
	const char *name;
} families[] = {
	{ NFPROTO_INET, "inet" }, { NFPROTO_IPV4, "ip" },	{ NFPROTO_IPV6, "ip6" },
	{ NFPROTO_ARP, "arp" },	  { NFPROTO_BRIDGE, "bridge" }, { NFPROTO_NETDEV, "netdev" },
};

const char *rules_family_name(uint32_t family)
{
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		if (families[i].family == family)
			return families[i].name;
	return "?";
}

static int chain_add(const struct nlmsghdr *h, void *owner)
{
	struct nftnl_chain *c = nftnl_chain_alloc();
	struct rules_chain *all, *at;
	struct rules *r = owner;

	if (!c || nftnl_chain_nlmsg_parse(h, c) < 0 || !nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE) ||
	    !strcmp(nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE), OURS)) {
		if (c)
			nftnl_chain_free(c);
		return MNL_CB_OK;
	}
	all = reallocarray(r->chain, r->n + 1, sizeof(*all));
	if (!all) {
		nftnl_chain_free(c);
		return MNL_CB_ERROR;
	}
	r->chain = all;
	at = &all[r->n++];
	*at = (struct rules_chain){ .c = c,
				    .family = nftnl_chain_get_u32(c, NFTNL_CHAIN_FAMILY),
				    .table = nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE),
				    .name = nftnl_chain_get_str(c, NFTNL_CHAIN_NAME),
				    .hook = -1,
				    .policy = NF_ACCEPT };
	if (!nftnl_chain_is_set(c, NFTNL_CHAIN_HOOKNUM))
		return MNL_CB_OK;
	at->hook = (int)nftnl_chain_get_u32(c, NFTNL_CHAIN_HOOKNUM);
	at->priority = nftnl_chain_get_s32(c, NFTNL_CHAIN_PRIO);
	if (nftnl_chain_is_set(c, NFTNL_CHAIN_POLICY))
		at->policy = nftnl_chain_get_u32(c, NFTNL_CHAIN_POLICY);
	return MNL_CB_OK;
}

static struct rules_chain *chain_find(const struct rules *r, uint32_t family, const char *table,
				      const char *name)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->chain[i].family == family && !strcmp(r->chain[i].table, table) &&
		    !strcmp(r->chain[i].name, name))
			return &r->chain[i];
	return NULL;
}

const struct rules_chain *rules_chain_named(const struct rules *r, uint32_t family,
					    const char *table, const char *name)
{
	return chain_find(r, family, table, name);
}

static int rule_add(const struct nlmsghdr *h, void *owner)
{
	struct nftnl_rule *rule = nftnl_rule_alloc(), **all;
	struct rules_chain *c = NULL;

	if (rule && nftnl_rule_nlmsg_parse(h, rule) >= 0)
		c = chain_find(owner, nftnl_rule_get_u32(rule, NFTNL_RULE_FAMILY),
			       nftnl_rule_get_str(rule, NFTNL_RULE_TABLE),
			       nftnl_rule_get_str(rule, NFTNL_RULE_CHAIN));
	all = c ? reallocarray(c->rule, c->n + 1, sizeof(struct nftnl_rule *)) : NULL;
	if (!all) {
		if (rule)
			nftnl_rule_free(rule);
		return c ? MNL_CB_ERROR : MNL_CB_OK;
	}
	c->rule = all;
	c->rule[c->n++] = rule;
	return MNL_CB_OK;
}

static int dump(struct rules *r, uint16_t type, mnl_cb_t fn, void *owner)
{
	char buf[BATCH_MESSAGE_MAX] __attribute__((aligned(8)));

	return batch_dump(&r->batch,
			  nftnl_nlmsg_build_hdr(buf, type, NFPROTO_UNSPEC, NLM_F_DUMP, 0), fn,
			  owner);
}

int rules_read(struct rules **ret)
{
	AUTO(rules) struct rules *r = calloc(1, sizeof(*r));
	int e = r ? batch_init(&r->batch) : -ENOMEM;

	if (e < 0) {
		free(STEAL(r));
		return e;
	}
	e = dump(r, NFT_MSG_GETCHAIN, chain_add, r);
	if (!e)
		e = dump(r, NFT_MSG_GETRULE, rule_add, r);
	if (e < 0)
		return e;
	*ret = STEAL(r);
	return 0;
}

void rules_free(struct rules *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n; i++) {
		for (size_t k = 0; k < r->chain[i].n; k++)
			nftnl_rule_free(r->chain[i].rule[k]);
		free(r->chain[i].rule);
		nftnl_chain_free(r->chain[i].c);
	}
	free(r->chain);
	batch_done(&r->batch);
	free(r);
}

/* ---- sets ---- */

static bool elem_add(struct rules_set *s, struct nftnl_set_elem *el)
{
	struct rules_elem *all = reallocarray(s->elem, s->n + 1, sizeof(*all)), *e;
	const void *key = nftnl_set_elem_get(el, NFTNL_SET_ELEM_KEY, &(uint32_t){ 0 });
	const char *chain = nftnl_set_elem_get_str(el, NFTNL_SET_ELEM_CHAIN);

	if (!all)
		return false;
	s->elem = all;
	e = &all[s->n++];
	*e = (struct rules_elem){ .chain = chain ? strdup(chain) : NULL };
	if (key) {
		key = nftnl_set_elem_get(el, NFTNL_SET_ELEM_KEY, &e->key_n);
		e->key_n = e->key_n < sizeof(e->key) ? e->key_n : sizeof(e->key);
		memcpy(e->key, key, e->key_n);
	}
	e->has_verdict = nftnl_set_elem_is_set(el, NFTNL_SET_ELEM_VERDICT);
	if (e->has_verdict)
		e->verdict = nftnl_set_elem_get_u32(el, NFTNL_SET_ELEM_VERDICT);
	return true;
}

static int elems_add(const struct nlmsghdr *h, void *owner)
{
	struct nftnl_set *s = nftnl_set_alloc();
	struct nftnl_set_elems_iter *it = NULL;
	struct nftnl_set_elem *el;
	bool ok = s && nftnl_set_elems_nlmsg_parse(h, s) >= 0 &&
		  (it = nftnl_set_elems_iter_create(s));

	while (ok && (el = nftnl_set_elems_iter_next(it)))
		ok = elem_add(owner, el);
	if (it)
		nftnl_set_elems_iter_destroy(it);
	if (s)
		nftnl_set_free(s);
	return ok ? MNL_CB_OK : MNL_CB_ERROR;
}

static int set_flags(const struct nlmsghdr *h, void *owner)
{
	struct nftnl_set *s = nftnl_set_alloc();

	if (s && nftnl_set_nlmsg_parse(h, s) >= 0)
		*(uint32_t *)owner = nftnl_set_get_u32(s, NFTNL_SET_FLAGS);
	if (s)
		nftnl_set_free(s);
	return MNL_CB_OK;
}

static int set_ask(struct rules *r, const struct rules_chain *at, const char *name, uint16_t type,
		   uint16_t flags, mnl_cb_t fn, void *owner)
{
	char buf[BATCH_MESSAGE_MAX] __attribute__((aligned(8)));
	struct nftnl_set *s = nftnl_set_alloc();
	struct nlmsghdr *h;

	if (!s)
		return -ENOMEM;
	nftnl_set_set_str(s, NFTNL_SET_TABLE, at->table);
	nftnl_set_set_str(s, NFTNL_SET_NAME, name);
	h = nftnl_nlmsg_build_hdr(buf, type, (uint16_t)at->family, flags, 0);
	nftnl_set_nlmsg_build_payload(h, s);
	nftnl_set_free(s);
	return batch_dump(&r->batch, h, fn, owner);
}

int rules_set_read(struct rules *r, const struct rules_chain *at, const char *name,
		   struct rules_set *ret)
{
	struct rules_set s = { 0 };
	int e = set_ask(r, at, name, NFT_MSG_GETSET, NLM_F_ACK, set_flags, &s.flags);

	if (!e)
		e = set_ask(r, at, name, NFT_MSG_GETSETELEM, NLM_F_DUMP, elems_add, &s);
	*ret = s;
	return e;
}

void rules_set_done(struct rules_set *s)
{
	for (size_t i = 0; i < s->n; i++)
		free((char *)(uintptr_t)s->elem[i].chain);
	free(s->elem);
	*s = (struct rules_set){ 0 };
}

/* ---- flowtables ---- */

struct flowtable_to {
	void (*fn)(void *owner, const char *table, const char *name, const char *dev);
	void *owner;
};

static int flowtable_each(const struct nlmsghdr *h, void *owner)
{
	struct nftnl_flowtable *f = nftnl_flowtable_alloc();
	const struct flowtable_to *to = owner;
	const char *const *dev = NULL;

	if (f && nftnl_flowtable_nlmsg_parse(h, f) >= 0)
		dev = nftnl_flowtable_get_array(f, NFTNL_FLOWTABLE_DEVICES);
	for (; dev && *dev; dev++)
		to->fn(to->owner, nftnl_flowtable_get_str(f, NFTNL_FLOWTABLE_TABLE),
		       nftnl_flowtable_get_str(f, NFTNL_FLOWTABLE_NAME), *dev);
	if (f)
		nftnl_flowtable_free(f);
	return MNL_CB_OK;
}

int rules_flowtables(struct rules *r,
		     void (*fn)(void *owner, const char *table, const char *name, const char *dev),
		     void *owner)
{
	struct flowtable_to to = { fn, owner };

	return dump(r, NFT_MSG_GETFLOWTABLE, flowtable_each, &to);
}

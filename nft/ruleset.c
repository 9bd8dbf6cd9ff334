/*
 * ruleset.c - the elements of table inet cordon, written and read back through libnftnl
 *
 * Theory of operation: nft/element.c knows the bytes, nft/batch.c the transaction; here they meet the
 * netlink objects of libnftnl. One message per element keeps every message small and bounded. What is
 * added again unchanged is no error to the kernel, what is added with another value is (-EEXIST), so
 * that two parts of netd cannot disagree unnoticed.
 */
#include "nft/ruleset.h"

#include <errno.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>

#include "nft/batch.h"
#include "nft/element.h"
#include "nft/element_expr.h"
#include "nft/queue_rule.h"
#include "nft/refused.h"
#include "nft/set_dump.h"

struct ruleset {
	struct batch batch;
};

DEFINE_AUTO(nftnl_set, struct nftnl_set *, nftnl_set_free)
DEFINE_AUTO(nftnl_elem, struct nftnl_set_elem *, nftnl_set_elem_free)
DEFINE_AUTO(nftnl_udata, struct nftnl_udata_buf *, nftnl_udata_buf_free)

int ruleset_open(struct ruleset **ret)
{
	AUTO(ruleset) struct ruleset *r = calloc(1, sizeof(*r));
	int e;

	if (!r)
		return -ENOMEM;
	e = batch_init(&r->batch);
	if (e < 0)
		return e;
	*ret = STEAL(r);
	return 0;
}

void ruleset_close(struct ruleset *r)
{
	if (!r)
		return;
	batch_done(&r->batch);
	free(r);
}

int ruleset_begin(struct ruleset *r)
{
	return batch_begin(&r->batch);
}

void ruleset_abort(struct ruleset *r)
{
	batch_abort(&r->batch);
}

int ruleset_commit(struct ruleset *r)
{
	return batch_commit(&r->batch);
}

static int elem_set_note(struct nftnl_set_elem *el, const char *note)
{
	AUTO(nftnl_udata) struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);

	if (!u)
		return -ENOMEM;
	if (!nftnl_udata_put_strz(u, NFTNL_UDATA_SET_ELEM_COMMENT, note))
		return -ENAMETOOLONG;
	if (nftnl_set_elem_set(el, NFTNL_SET_ELEM_USERDATA, nftnl_udata_buf_data(u),
			       nftnl_udata_buf_len(u)) < 0)
		return -ENOMEM;
	return 0;
}

/* Maps without a value in the element would let the packet through to nowhere. */
static bool needs_value(enum ruleset_map map)
{
	return map == MAP_IDENTITY || map == MAP_GRANTS || map == MAP_RANGES || map == MAP_REAL;
}

static int elem_set_value(struct nftnl_set_elem *el, const struct ruleset_elem *e, const struct element_wire *w)
{
	int r = element_expr_put(e, el);

	if (r < 0 || (needs_value(e->map) && !w->data_n))
		return r < 0 ? r : -EINVAL;
	if (w->data_n && nftnl_set_elem_set(el, NFTNL_SET_ELEM_DATA, w->data, w->data_n) < 0)
		return -ENOMEM;
	return e->note[0] ? elem_set_note(el, e->note) : 0;
}

/* The value is left out for a deletion: the key alone finds the element. */
static int elem_new(const struct ruleset_elem *e, bool with_value, struct nftnl_set_elem **ret)
{
	AUTO(nftnl_elem) struct nftnl_set_elem *el = nftnl_set_elem_alloc();
	struct element_wire w;
	int r = 0;

	if (!el)
		return -ENOMEM;
	if (!element_encode(e, &w) || nftnl_set_elem_set(el, NFTNL_SET_ELEM_KEY, w.key, w.key_n) < 0)
		return -EINVAL;
	if (w.end_n && nftnl_set_elem_set(el, NFTNL_SET_ELEM_KEY_END, w.end, w.end_n) < 0)
		return -EINVAL;
	if (with_value)
		r = elem_set_value(el, e, &w);
	if (r < 0)
		return r;
	*ret = STEAL(el);
	return 0;
}

static uint8_t table_family(enum ruleset_map map)
{
	return map == MAP_NEIGHBOURS ? NFPROTO_ARP : NFPROTO_INET;
}

static int elem_message(struct ruleset *r, const struct ruleset_elem *e, uint16_t type, uint16_t flags)
{
	AUTO(nftnl_set) struct nftnl_set *s = nftnl_set_alloc();
	const char *name = element_set_name(e->map, e->addr.family);
	struct nftnl_set_elem *el;
	struct nlmsghdr *h;
	int error = s && name ? elem_new(e, type == NFT_MSG_NEWSETELEM, &el) : -EINVAL;

	if (error < 0) {
		r->batch.failed = true;
		return error;
	}
	nftnl_set_elem_add(s, el);					/* s owns el */
	nftnl_set_set_str(s, NFTNL_SET_TABLE, RULESET_TABLE);
	nftnl_set_set_str(s, NFTNL_SET_NAME, name);
	h = batch_message(&r->batch, table_family(e->map), type, flags);
	if (!h)
		return -ENOMEM;
	nftnl_set_elems_nlmsg_build_payload(h, s);
	batch_add(&r->batch, h);
	return 0;
}

int ruleset_put(struct ruleset *r, const struct ruleset_elem *e)
{
	return elem_message(r, e, NFT_MSG_NEWSETELEM, NLM_F_CREATE);
}

int ruleset_del(struct ruleset *r, const struct ruleset_elem *e)
{
	return elem_message(r, e, NFT_MSG_DELSETELEM, 0);
}

struct each {
	enum ruleset_map map;
	uint8_t family;
	ruleset_each_fn *fn;
	void *owner;
};

struct note_to {
	char *out;
	size_t cap;
};

static int note_attr(const struct nftnl_udata *attr, void *owner)
{
	struct note_to *to = owner;
	size_t n = nftnl_udata_len(attr);

	if (nftnl_udata_type(attr) == NFTNL_UDATA_SET_ELEM_COMMENT && n && n <= to->cap) {
		memcpy(to->out, nftnl_udata_get(attr), n);
		to->out[n - 1] = '\0';
	}
	return 0;
}

static struct rd attr_of(const struct nftnl_set_elem *el, uint16_t attr)
{
	uint32_t n = 0;
	const void *p = nftnl_set_elem_get((struct nftnl_set_elem *)el, attr, &n);

	return rd_of(p, p ? n : 0);
}

static int each_elem(void *owner, struct nftnl_set_elem *el)
{
	const struct each *ea = owner;
	struct element_raw raw = { attr_of(el, NFTNL_SET_ELEM_KEY), attr_of(el, NFTNL_SET_ELEM_KEY_END),
				   attr_of(el, NFTNL_SET_ELEM_DATA) };
	struct rd note = attr_of(el, NFTNL_SET_ELEM_USERDATA);
	struct ruleset_elem e;

	if (!element_decode(ea->map, ea->family, &raw, &e))
		return 0;						/* not one of ours */
	element_expr_get(el, &e);
	if (rd_left(&note))
		nftnl_udata_parse(note.p, rd_left(&note), note_attr,
				  &(struct note_to){ e.note, sizeof(e.note) });
	return ea->fn(ea->owner, &e);
}

int ruleset_each(struct ruleset *r, enum ruleset_map map, uint8_t family, ruleset_each_fn *fn, void *owner)
{
	struct each ea = { map, family, fn, owner };

	return set_dump(&r->batch, table_family(map), element_set_name(map, family), each_elem, &ea);
}

int ruleset_refused_each(struct ruleset *r, ruleset_refused_fn *fn, void *owner)
{
	return refused_each(&r->batch, fn, owner);
}

int ruleset_refused_of(struct ruleset *r, uint16_t sandbox, const char *interface, ruleset_refused_fn *fn,
		       void *owner)
{
	return refused_of(&r->batch, sandbox, interface, fn, owner);
}

int ruleset_refused_forget(struct ruleset *r, uint16_t sandbox, const char *interface)
{
	return refused_forget(&r->batch, sandbox, interface);
}

static int ignore_message(const struct nlmsghdr *h, void *owner)
{
	(void)h;
	(void)owner;
	return MNL_CB_OK;
}

/* The last chain of each table: a table of that name alone is not the ruleset. */
static const struct table {
	uint8_t family;
	const char *last;
} tables[] = { { NFPROTO_INET, "drop_unheard" }, { NFPROTO_ARP, "drop_source" } };

static bool chain_present(struct ruleset *r, const struct table *t)
{
	char buf[BATCH_MESSAGE_MAX] __attribute__((aligned(8)));
	struct nftnl_chain *c = nftnl_chain_alloc();
	struct nlmsghdr *h;

	if (!c)
		return false;
	nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, RULESET_TABLE);
	nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, t->last);
	h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETCHAIN, t->family, NLM_F_ACK, 0);
	nftnl_chain_nlmsg_build_payload(h, c);
	nftnl_chain_free(c);
	return batch_dump(&r->batch, h, ignore_message, NULL) == 0;
}

bool ruleset_present(struct ruleset *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		if (!chain_present(r, &tables[i]))
			return false;
	return true;
}

/* Handles are given once and never again, so their sequence tells; counters in the rules do not matter. */
static int rule_mix(const struct nlmsghdr *h, void *owner)
{
	struct nftnl_rule *rule = nftnl_rule_alloc();
	uint64_t *print = owner;

	if (rule && nftnl_rule_nlmsg_parse(h, rule) >= 0)
		*print = (*print ^ nftnl_rule_get_u64(rule, NFTNL_RULE_HANDLE)) * 0x100000001b3u;
	nftnl_rule_free(rule);
	return rule ? MNL_CB_OK : MNL_CB_ERROR;
}

static int table_mix(struct ruleset *r, const struct table *t, uint64_t *print)
{
	char buf[BATCH_MESSAGE_MAX] __attribute__((aligned(8)));
	struct nftnl_rule *filter = nftnl_rule_alloc();
	struct nlmsghdr *h;

	if (!filter)
		return -ENOMEM;
	nftnl_rule_set_str(filter, NFTNL_RULE_TABLE, RULESET_TABLE);
	h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETRULE, t->family, NLM_F_DUMP, 0);
	nftnl_rule_nlmsg_build_payload(h, filter);
	nftnl_rule_free(filter);
	return batch_dump(&r->batch, h, rule_mix, print);
}

int ruleset_fingerprint(struct ruleset *r, uint64_t *ret)
{
	int e = 0;

	*ret = 0xcbf29ce484222325u;
	for (size_t i = 0; e >= 0 && i < ARRAY_SIZE(tables); i++)
		e = table_mix(r, &tables[i], ret);
	return e;
}

int ruleset_queue_rule(struct ruleset *r, uint16_t queue, bool *ret_native)
{
	return queue_rule_ensure(&r->batch, queue, ret_native);
}

int ruleset_flows_close(struct ruleset *r, uint32_t mark, uint32_t mask)
{
	char buf[BATCH_MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *g;

	h->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE;
	h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	g = mnl_nlmsg_put_extra_header(h, sizeof(*g));
	g->nfgen_family = AF_UNSPEC;
	g->version = NFNETLINK_V0;
	mnl_attr_put_u32(h, CTA_MARK, htonl(mark));
	mnl_attr_put_u32(h, CTA_MARK_MASK, htonl(mask));
	return batch_dump(&r->batch, h, ignore_message, NULL);
}

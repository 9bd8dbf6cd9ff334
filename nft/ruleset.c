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
#include "nft/queue_rule.h"

#define TABLE "cordon"

struct ruleset {
	struct batch batch;
};

DEFINE_AUTO(nftnl_set, struct nftnl_set *, nftnl_set_free)
DEFINE_AUTO(nftnl_elem, struct nftnl_set_elem *, nftnl_set_elem_free)
DEFINE_AUTO(nftnl_elem_iter, struct nftnl_set_elems_iter *, nftnl_set_elems_iter_destroy)
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

/* The value is left out for a deletion: the key alone finds the element. */
static int elem_new(const struct ruleset_elem *e, bool with_value, struct nftnl_set_elem **ret)
{
	AUTO(nftnl_elem) struct nftnl_set_elem *el = nftnl_set_elem_alloc();
	struct element_wire w;

	if (!el)
		return -ENOMEM;
	if (!element_encode(e, &w) || nftnl_set_elem_set(el, NFTNL_SET_ELEM_KEY, w.key, w.key_n) < 0)
		return -EINVAL;
	if (with_value && e->map == MAP_GRANTS) {
		if (!w.chain)
			return -EINVAL;
		nftnl_set_elem_set_u32(el, NFTNL_SET_ELEM_VERDICT, (uint32_t)NFT_GOTO);
		nftnl_set_elem_set_str(el, NFTNL_SET_ELEM_CHAIN, w.chain);
	} else if (with_value && w.data_n) {
		nftnl_set_elem_set(el, NFTNL_SET_ELEM_DATA, w.data, w.data_n);
	}
	if (with_value && e->note[0]) {
		int r = elem_set_note(el, e->note);

		if (r < 0)
			return r;
	}
	*ret = STEAL(el);
	return 0;
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
	nftnl_set_set_str(s, NFTNL_SET_TABLE, TABLE);
	nftnl_set_set_str(s, NFTNL_SET_NAME, name);
	h = batch_message(&r->batch, type, flags);
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

static int each_elem(const struct each *ea, struct nftnl_set_elem *el)
{
	struct ruleset_elem e;
	uint32_t key_n = 0, data_n = 0, note_n = 0;
	const void *key = nftnl_set_elem_get(el, NFTNL_SET_ELEM_KEY, &key_n);
	const void *data = nftnl_set_elem_get(el, NFTNL_SET_ELEM_DATA, &data_n);
	const void *note = nftnl_set_elem_get(el, NFTNL_SET_ELEM_USERDATA, &note_n);
	const char *chain = nftnl_set_elem_get_str(el, NFTNL_SET_ELEM_CHAIN);

	if (!key || !element_decode(ea->map, ea->family, rd_of(key, key_n), rd_of(data, data ? data_n : 0),
				    chain, &e))
		return 0;						/* not one of ours */
	if (note)
		nftnl_udata_parse(note, note_n, note_attr,
				  &(struct note_to){ e.note, sizeof(e.note) });
	return ea->fn(ea->owner, &e);
}

static int each_message(const struct nlmsghdr *h, void *owner)
{
	AUTO(nftnl_set) struct nftnl_set *s = nftnl_set_alloc();
	AUTO(nftnl_elem_iter) struct nftnl_set_elems_iter *it = NULL;
	struct nftnl_set_elem *el;

	if (!s || nftnl_set_elems_nlmsg_parse(h, s) < 0)
		return MNL_CB_ERROR;
	it = nftnl_set_elems_iter_create(s);
	while (it && (el = nftnl_set_elems_iter_next(it)))
		if (each_elem(owner, el) != 0)
			return MNL_CB_ERROR;
	return MNL_CB_OK;
}

int ruleset_each(struct ruleset *r, enum ruleset_map map, uint8_t family, ruleset_each_fn *fn, void *owner)
{
	AUTO(nftnl_set) struct nftnl_set *s = nftnl_set_alloc();
	char buf[BATCH_MESSAGE_MAX] __attribute__((aligned(8)));
	struct each ea = { map, family, fn, owner };
	const char *name = element_set_name(map, family);
	struct nlmsghdr *h;

	if (!s || !name)
		return -EINVAL;
	nftnl_set_set_str(s, NFTNL_SET_TABLE, TABLE);
	nftnl_set_set_str(s, NFTNL_SET_NAME, name);
	h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETSETELEM, NFPROTO_INET, NLM_F_DUMP, 0);
	nftnl_set_nlmsg_build_payload(h, s);
	return batch_dump(&r->batch, h, each_message, &ea);
}

static int ignore_message(const struct nlmsghdr *h, void *owner)
{
	(void)h;
	(void)owner;
	return MNL_CB_OK;
}

bool ruleset_present(struct ruleset *r)
{
	char buf[BATCH_MESSAGE_MAX] __attribute__((aligned(8)));
	struct nftnl_chain *c = nftnl_chain_alloc();
	struct nlmsghdr *h;

	if (!c)
		return false;
	/* The last chain of the file: a table of that name alone is not the ruleset. */
	nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, TABLE);
	nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, "drop_uninspected");
	h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETCHAIN, NFPROTO_INET, NLM_F_ACK, 0);
	nftnl_chain_nlmsg_build_payload(h, c);
	nftnl_chain_free(c);
	return batch_dump(&r->batch, h, ignore_message, NULL) == 0;
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

int ruleset_fingerprint(struct ruleset *r, uint64_t *ret)
{
	char buf[BATCH_MESSAGE_MAX] __attribute__((aligned(8)));
	struct nftnl_rule *filter = nftnl_rule_alloc();
	struct nlmsghdr *h;

	*ret = 0xcbf29ce484222325u;
	if (!filter)
		return -ENOMEM;
	nftnl_rule_set_str(filter, NFTNL_RULE_TABLE, TABLE);
	h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETRULE, NFPROTO_INET, NLM_F_DUMP, 0);
	nftnl_rule_nlmsg_build_payload(h, filter);
	nftnl_rule_free(filter);
	return batch_dump(&r->batch, h, rule_mix, ret);
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

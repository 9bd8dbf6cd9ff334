/*
 * queue_rule.c - the one rule that is inserted at run time: packets of chain inspect to the inspector
 *
 * Theory of operation: the rule is not part of cordon.nft, since kernels without the native queue
 * expression (CONFIG_NFT_QUEUE) need the xt NFQUEUE target through nft_compat, which has no nft syntax.
 * The native form is tried first. Without bypass, so that a dead inspector means drop; without
 * cpu-fanout, which breaks flow affinity. Where the rule is missing the next one drops.
 */
#include "nft/queue_rule.h"

#include <errno.h>
#include <string.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/xt_NFQUEUE.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>

#define TABLE "cordon"
#define CHAIN "inspect"

enum { TARGET_REVISION = 3 };

DEFINE_AUTO(nftnl_rule, struct nftnl_rule *, nftnl_rule_free)

struct chain_state {
	uint64_t last;		/* handle of the last rule: the drop */
	bool queued, native;
};

static int expr_look(struct nftnl_expr *e, void *owner)
{
	struct chain_state *st = owner;
	const char *name = nftnl_expr_get_str(e, NFTNL_EXPR_NAME);
	const char *target;

	if (!strcmp(name, "queue"))
		st->queued = st->native = true;
	if (strcmp(name, "target"))
		return 0;
	target = nftnl_expr_get_str(e, NFTNL_EXPR_TG_NAME);
	st->queued |= target && !strcmp(target, "NFQUEUE");
	return 0;
}

static int rule_look(const struct nlmsghdr *h, void *owner)
{
	AUTO(nftnl_rule) struct nftnl_rule *r = nftnl_rule_alloc();
	struct chain_state *st = owner;
	const char *chain;

	if (!r || nftnl_rule_nlmsg_parse(h, r) < 0)
		return MNL_CB_ERROR;
	chain = nftnl_rule_get_str(r, NFTNL_RULE_CHAIN);
	if (!chain || strcmp(chain, CHAIN))			/* kernels before 4.x ignore the filter */
		return MNL_CB_OK;
	st->last = nftnl_rule_get_u64(r, NFTNL_RULE_HANDLE);
	nftnl_expr_foreach(r, expr_look, st);
	return MNL_CB_OK;
}

static struct nftnl_rule *rule_new(void)
{
	struct nftnl_rule *r = nftnl_rule_alloc();

	if (!r)
		return NULL;
	nftnl_rule_set_str(r, NFTNL_RULE_TABLE, TABLE);
	nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, CHAIN);
	return r;
}

static int chain_look(struct batch *b, struct chain_state *ret)
{
	char buf[BATCH_MESSAGE_MAX] __attribute__((aligned(8)));
	AUTO(nftnl_rule) struct nftnl_rule *filter = rule_new();
	struct nlmsghdr *h;

	*ret = (struct chain_state){ 0 };
	if (!filter)
		return -ENOMEM;
	h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETRULE, NFPROTO_INET, NLM_F_DUMP, 0);
	nftnl_rule_nlmsg_build_payload(h, filter);
	return batch_dump(b, h, rule_look, ret);
}

static struct nftnl_expr *expr_native(uint16_t queue)
{
	struct nftnl_expr *e = nftnl_expr_alloc("queue");

	if (!e)
		return NULL;
	nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_NUM, queue);
	nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_TOTAL, 1);
	nftnl_expr_set_u16(e, NFTNL_EXPR_QUEUE_FLAGS, 0);
	return e;
}

static struct nftnl_expr *expr_compat(uint16_t queue)
{
	struct nftnl_expr *e = nftnl_expr_alloc("target");
	struct xt_NFQ_info_v3 *info = calloc(1, sizeof(*info));

	if (!e || !info) {
		free(info);
		if (e)
			nftnl_expr_free(e);
		return NULL;
	}
	info->queuenum = queue;
	info->queues_total = 1;
	nftnl_expr_set_str(e, NFTNL_EXPR_TG_NAME, "NFQUEUE");
	nftnl_expr_set_u32(e, NFTNL_EXPR_TG_REV, TARGET_REVISION);
	nftnl_expr_set(e, NFTNL_EXPR_TG_INFO, info, sizeof(*info));	/* the library owns info now */
	return e;
}

static int rule_insert(struct batch *b, struct nftnl_expr *e /* takes */, uint64_t before)
{
	AUTO(nftnl_rule) struct nftnl_rule *r = rule_new();
	struct nlmsghdr *h;
	int error;

	if (!r || !e) {
		if (e)
			nftnl_expr_free(e);
		return -ENOMEM;
	}
	nftnl_rule_add_expr(r, e);
	nftnl_rule_set_u64(r, NFTNL_RULE_POSITION, before);
	error = batch_begin(b);
	if (error < 0)
		return error;
	h = batch_message(b, NFPROTO_INET, NFT_MSG_NEWRULE, NLM_F_CREATE);	/* no append: before the position */
	if (h) {
		nftnl_rule_nlmsg_build_payload(h, r);
		batch_add(b, h);
	}
	return batch_commit(b);
}

int queue_rule_ensure(struct batch *b, uint16_t queue, bool *ret_native)
{
	struct chain_state st;
	int r = chain_look(b, &st);

	if (r < 0)
		return r;
	*ret_native = st.native;
	if (st.queued)
		return 0;
	if (!st.last)
		return -ENOENT;					/* no ruleset, or not ours */
	r = rule_insert(b, expr_native(queue), st.last);
	*ret_native = r == 0;
	return r == 0 ? 0 : rule_insert(b, expr_compat(queue), st.last);
}

/*
 * refused.c - the kernel's exact counts of what was refused
 *
 * Theory of operation: each rule that refuses updates an element of the set refused_REASON, whose key is
 * sandbox and interface. The element counts before its limit decides whether the packet is logged too, so
 * the counts are exact where the log is a sample. The sets are the kernel's to fill; we read them and, when
 * a sandbox goes, delete its elements, since another may get its id or its interface.
 */
#include "nft/refused.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <libnftnl/common.h>

#include "base/bytes.h"
#include "nft/element_expr.h"
#include "nft/set_dump.h"
#include "policy/mark.h"

enum { SET_NAME_MAX = 64, KEY_LEN = 4 + 16 };

static const struct refused_set {
	enum reason reason;
	uint8_t family;
} sets[] = {
	{ REASON_FRAGMENT_NOT_ALLOWED, NFPROTO_INET }, { REASON_SOURCE_SPOOFED, NFPROTO_INET },
	{ REASON_PROTOCOL_NOT_ALLOWED, NFPROTO_INET }, { REASON_STATE_INVALID, NFPROTO_INET },
	{ REASON_ADDRESS_NOT_GRANTED, NFPROTO_INET }, { REASON_PORT_NOT_GRANTED, NFPROTO_INET },
	{ REASON_QUIC_NOT_ALLOWED, NFPROTO_INET }, { REASON_HOST_ACCESS, NFPROTO_INET },
	{ REASON_PEER_SANDBOX, NFPROTO_INET }, { REASON_RATE_LIMITED, NFPROTO_INET },
	{ REASON_TOO_MANY_CONNECTIONS, NFPROTO_INET }, { REASON_INTERNAL_ERROR, NFPROTO_INET },
	{ REASON_SOURCE_SPOOFED, NFPROTO_ARP },
};

DEFINE_AUTO(nftnl_set, struct nftnl_set *, nftnl_set_free)

static void set_name(const struct refused_set *s, char out[SET_NAME_MAX])
{
	snprintf(out, SET_NAME_MAX, "refused_%s", reason_text(s->reason));
}

/* What one walk over a set does with its elements. */
struct walk {
	const struct refused_set *set;
	ruleset_refused_fn *fn;
	void *owner;
};

static bool key_decode(const struct nftnl_set_elem *el, struct ruleset_refused *ret)
{
	uint32_t n = 0, mark;
	const void *key = nftnl_set_elem_get((struct nftnl_set_elem *)el, NFTNL_SET_ELEM_KEY, &n);
	struct rd r = rd_of(key, key ? n : 0);

	if (!rd_copy(&r, &mark, sizeof(mark)) || !rd_copy(&r, ret->interface, sizeof(ret->interface)))
		return false;
	ret->sandbox = mark_sandbox(mark);
	return rd_done(&r) && !ret->interface[sizeof(ret->interface) - 1];
}

static int walk_elem(void *owner, struct nftnl_set_elem *el)
{
	const struct walk *w = owner;
	struct ruleset_refused f = { .reason = w->set->reason };
	struct element_count c = element_count(el);

	if (!key_decode(el, &f))
		return 0;
	f.packets = c.packets;
	f.bytes = c.bytes;
	return w->fn(w->owner, &f);
}

int refused_each(struct batch *b, ruleset_refused_fn *fn, void *owner)
{
	char name[SET_NAME_MAX];
	int r = 0;

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(sets); i++) {
		struct walk w = { &sets[i], fn, owner };

		set_name(&sets[i], name);
		r = set_dump(b, sets[i].family, name, walk_elem, &w);
	}
	return r;
}

/* ---- of one place ---- */

static void key_encode(uint16_t sandbox, const char *interface, uint8_t key[KEY_LEN])
{
	uint32_t mark = sandbox;

	memset(key, 0, KEY_LEN);
	memcpy(key, &mark, sizeof(mark));
	memcpy(key + sizeof(mark), interface, strnlen(interface, KEY_LEN - sizeof(mark) - 1));
}

/* One element by its key; -ENOENT: nothing was refused there for that reason. */
static int set_of_key(const struct refused_set *set, const uint8_t key[KEY_LEN], struct nftnl_set **ret)
{
	AUTO(nftnl_set) struct nftnl_set *s = nftnl_set_alloc();
	struct nftnl_set_elem *el = nftnl_set_elem_alloc();
	char name[SET_NAME_MAX];

	if (!s || !el) {
		nftnl_set_elem_free(el);
		return -ENOMEM;
	}
	set_name(set, name);
	nftnl_set_elem_set(el, NFTNL_SET_ELEM_KEY, key, KEY_LEN);
	nftnl_set_elem_add(s, el);					/* s owns el */
	nftnl_set_set_str(s, NFTNL_SET_TABLE, RULESET_TABLE);
	nftnl_set_set_str(s, NFTNL_SET_NAME, name);
	*ret = STEAL(s);
	return 0;
}

static int get_key(struct batch *b, const struct refused_set *set, const uint8_t key[KEY_LEN], struct walk *w)
{
	AUTO(nftnl_set) struct nftnl_set *s = NULL;
	char buf[BATCH_MESSAGE_MAX] __attribute__((aligned(8)));
	struct nlmsghdr *h;
	int r = set_of_key(set, key, &s);

	if (r < 0)
		return r;
	h = nftnl_nlmsg_build_hdr(buf, NFT_MSG_GETSETELEM, set->family, NLM_F_ACK, 0);
	nftnl_set_elems_nlmsg_build_payload(h, s);
	r = set_answers(b, h, walk_elem, w);
	return r == -ENOENT ? 0 : r;
}

int refused_of(struct batch *b, uint16_t sandbox, const char *interface, ruleset_refused_fn *fn, void *owner)
{
	uint8_t key[KEY_LEN];
	int r = 0;

	key_encode(sandbox, interface, key);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(sets); i++) {
		struct walk w = { &sets[i], fn, owner };

		r = get_key(b, &sets[i], key, &w);
	}
	return r;
}

/* ---- forgetting ---- */

static int delete_key(struct batch *b, const struct refused_set *set, const uint8_t key[KEY_LEN])
{
	AUTO(nftnl_set) struct nftnl_set *s = NULL;
	struct nlmsghdr *h;
	int r = set_of_key(set, key, &s);

	if (r < 0)
		return r;
	h = batch_message(b, set->family, NFT_MSG_DELSETELEM, 0);
	if (!h)
		return -ENOMEM;
	nftnl_set_elems_nlmsg_build_payload(h, s);
	batch_add(b, h);
	return 0;
}

static int is_there(void *owner, const struct ruleset_refused *count)
{
	(void)count;
	*(bool *)owner = true;
	return 0;
}

/* A deletion of what is not there fails its whole transaction: look first. */
static int forget_key(struct batch *b, const struct refused_set *set, const uint8_t key[KEY_LEN])
{
	bool there = false;
	struct walk w = { set, is_there, &there };
	int r = get_key(b, set, key, &w);

	if (r < 0 || !there)
		return r;
	r = batch_begin(b);
	if (r >= 0)
		r = delete_key(b, set, key);
	if (r >= 0)
		return batch_commit(b);
	batch_abort(b);
	return r;
}

int refused_forget(struct batch *b, uint16_t sandbox, const char *interface)
{
	uint8_t key[KEY_LEN];
	int r = 0;

	key_encode(sandbox, interface, key);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(sets); i++)
		r = forget_key(b, &sets[i], key);
	return r;
}

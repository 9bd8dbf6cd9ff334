/*
 * flows.c - ending the flows of grants that were taken away
 *
 * Theory of operation: deleting a grant stops the sandbox's own packets, but the server's replies
 * belong to an established flow and would go on. A whole profile's flows could be closed by mark in
 * one message, but that would end flows that are still granted; so the conntrack table is read
 * once, and each entry whose original destination (a synthetic address, or one in a range) and
 * profile are among the lost ones is deleted. What a sandbox left that was removed while nobody
 * looked is found likewise.
 */
#include "netd/flows.h"

#include <errno.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <stdbool.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "netd/registry.h"
#include "nft/ruleset.h"
#include "policy/mark.h"

struct walk {
	const struct flow_key *keys;
	size_t n;
	struct nf_conntrack **lost;
	size_t n_lost, cap;
	int error;
};

static void handle_close(struct nfct_handle *h)
{
	nfct_close(h);
}
DEFINE_AUTO(nfct, struct nfct_handle *, handle_close)

static struct addr destination(const struct nf_conntrack *ct)
{
	struct addr a = { 0 };

	if (nfct_get_attr_u8(ct, ATTR_L3PROTO) == AF_INET) {
		uint32_t v4 = nfct_get_attr_u32(ct, ATTR_ORIG_IPV4_DST);

		a.family = 4;
		memcpy(a.b, &v4, 4);
	} else if (nfct_attr_is_set(ct, ATTR_ORIG_IPV6_DST) > 0) {
		a.family = 6;
		memcpy(a.b, nfct_get_attr(ct, ATTR_ORIG_IPV6_DST), 16);
	}
	return a;
}

static bool is_lost(const struct walk *w, const struct nf_conntrack *ct)
{
	uint16_t profile = mark_profile(nfct_get_attr_u32(ct, ATTR_MARK));
	uint8_t proto = nfct_get_attr_u8(ct, ATTR_L4PROTO);
	uint16_t port = ntohs(nfct_get_attr_u16(ct, ATTR_ORIG_PORT_DST));
	struct addr to = destination(ct);
	bool lost = false;

	if (!profile)
		return false;
	for (size_t i = 0; i < w->n; i++) {
		const struct flow_key *k = &w->keys[i];

		if (k->profile != profile || k->proto != proto || k->port != port ||
		    !prefix_has(&k->to, &to))
			continue;
		if (k->kept)
			return false;
		lost = true;
	}
	return lost;
}

/* Deleting while the dump runs would answer on the same socket: collect first. */
static int on_entry(enum nf_conntrack_msg_type type, struct nf_conntrack *ct, void *owner)
{
	struct walk *w = owner;
	struct nf_conntrack **more;

	(void)type;
	if (!is_lost(w, ct))
		return NFCT_CB_CONTINUE;
	if (w->n_lost == w->cap) {
		more = reallocarray(w->lost, w->cap ? w->cap * 2 : 64,
				    sizeof(struct nf_conntrack *));
		if (!more) {
			w->error = -ENOMEM;
			return NFCT_CB_STOP;
		}
		w->lost = more;
		w->cap = w->cap ? w->cap * 2 : 64;
	}
	w->lost[w->n_lost++] = ct;
	return NFCT_CB_STOLEN;
}

static bool list_push(struct flow_list *l, struct flow_key key)
{
	struct flow_key *more;

	if (l->n == l->cap) {
		more = reallocarray(l->key, l->cap ? l->cap * 2 : 64, sizeof(*more));
		if (!more)
			return false;
		l->key = more;
		l->cap = l->cap ? l->cap * 2 : 64;
	}
	l->key[l->n++] = key;
	return true;
}

void flows_lost(struct flow_list *l, struct flow_key key)
{
	key.kept = false;
	l->lost += list_push(l, key);
}

/* Of use only beside something lost. */
void flows_kept(struct flow_list *l, struct flow_key key)
{
	key.kept = true;
	list_push(l, key);
}

void flows_add(void *owner, const struct addr *synthetic, const struct name_grant *g)
{
	flows_lost(owner, (struct flow_key){ .profile = g->profile,
					     .proto = g->proto,
					     .port = g->port,
					     .to = { *synthetic,
						     (uint8_t)(addr_len(synthetic) * 8) } });
}

static int close_listed(const struct flow_list *lost)
{
	AUTO(nfct) struct nfct_handle *h = nfct_open(CONNTRACK, 0);
	struct walk w = { .keys = lost->key, .n = lost->n };
	uint32_t family = AF_UNSPEC;

	if (!h)
		return -errno;
	nfct_callback_register(h, NFCT_T_ALL, on_entry, &w);
	if (nfct_query(h, NFCT_Q_DUMP, &family) < 0 && !w.error)
		w.error = -errno;
	nfct_callback_unregister(h);
	for (size_t i = 0; i < w.n_lost; i++) {
		/* ENOENT: it ended by itself */
		if (nfct_query(h, NFCT_Q_DESTROY, w.lost[i]) < 0 && errno != ENOENT && !w.error)
			w.error = -errno;
		nfct_destroy(w.lost[i]);
	}
	free(w.lost);
	return w.error;
}

int flows_close(const struct flow_list *lost)
{
	int r = lost->lost ? close_listed(lost) : 0;

	if (r < 0)
		log_line(LOG_ERR, "event=flows_not_closed errno=%d", -r);
	return r;
}

/* ---- orphans ---- */

struct orphans {
	const struct registry *registry;
	uint8_t seen[(MARK_SANDBOX_MAX + 1) / 8];
};

static int on_marked(enum nf_conntrack_msg_type type, struct nf_conntrack *ct, void *owner)
{
	uint16_t id = mark_sandbox(nfct_get_attr_u32(ct, ATTR_MARK));
	struct orphans *o = owner;

	(void)type;
	if (id && !registry_by_id(o->registry, id))
		o->seen[id / 8] |= (uint8_t)(1u << id % 8);
	return NFCT_CB_CONTINUE;
}

int flows_close_orphans(struct ruleset *rules, const struct registry *registry)
{
	AUTO(nfct) struct nfct_handle *h = nfct_open(CONNTRACK, 0);
	struct orphans o = { .registry = registry };
	uint32_t family = AF_UNSPEC;
	int r = 0;

	if (!h)
		return -errno;
	nfct_callback_register(h, NFCT_T_ALL, on_marked, &o);
	if (nfct_query(h, NFCT_Q_DUMP, &family) < 0)
		return -errno;
	for (uint32_t id = 1; r >= 0 && id <= MARK_SANDBOX_MAX; id++)
		if (o.seen[id / 8] & 1u << id % 8)
			r = ruleset_flows_close(rules, mark_of(0, (uint16_t)id), MARK_SANDBOX_MASK);
	return r;
}

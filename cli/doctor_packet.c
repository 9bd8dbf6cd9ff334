/*
 * doctor_packet.c - a packet of which some bits are known, and what one rule does to it
 *
 * Theory of operation: nftables is a small register machine; here it runs on registers whose bits
 * are known or not. A comparison is then yes, no or maybe, and a rule matches as surely as its
 * least sure comparison. Expressions that are not understood leave their register unknown or make
 * the rule a maybe, so that what is told as sure is sure. xt matches and targets are doctor_xt.c's.
 * Marks are followed through the registers: a value loaded
 * from a mark keeps the bits that masks keep.
 */
#include "cli/doctor_machine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if_arp.h>
#include <string.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/rtnetlink.h>
#include <libnftnl/set.h>

/* ---- registers ---- */

static size_t reg_at(uint32_t reg)
{
	size_t at = reg >= NFT_REG32_00 ? (reg - NFT_REG32_00) * WORD : reg ? (reg - 1) * 16 : 0;

	return at < REGISTERS ? at : REGISTERS - WORD;
}

static size_t reg_of(const struct nftnl_expr *e, uint16_t attr)
{
	return reg_at(nftnl_expr_get_u32(e, attr));
}

/* n bytes at most BITS_MAX; known NULL: all of them are. */
static void reg_set(struct machine *m, size_t at, const void *v, const void *known, size_t n)
{
	n = n < BITS_MAX ? n : BITS_MAX;
	memset(m->v + at, 0, BITS_MAX);
	memset(m->known + at, 0, BITS_MAX);
	memcpy(m->v + at, v, n);
	if (known)
		memcpy(m->known + at, known, n);
	else
		memset(m->known + at, 0xff, n);
	m->origin[at / WORD] = FROM_ELSEWHERE;
	m->kept[at / WORD] = 0;
}

static void reg_forget(struct machine *m, size_t at)
{
	static const uint8_t none[BITS_MAX];

	reg_set(m, at, none, none, BITS_MAX);
}

enum sure sure_and(enum sure a, enum sure b)
{
	return a < b ? a : b;
}

enum sure sure_not(enum sure a)
{
	return a == SURE_NO ? SURE_YES : a == SURE_YES ? SURE_NO : SURE_MAYBE;
}

static enum sure bytes_equal(const uint8_t *v, const uint8_t *known, const uint8_t *want, size_t n)
{
	enum sure s = SURE_YES;

	for (size_t i = 0; i < n; i++) {
		if ((v[i] ^ want[i]) & known[i])
			return SURE_NO;
		if (known[i] != 0xff)
			s = SURE_MAYBE;
	}
	return s;
}

static bool all_known(const uint8_t *known, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (known[i] != 0xff)
			return false;
	return true;
}

/* ---- loads ---- */

static void load_mark(struct machine *m, size_t at, enum origin from, uint32_t v, uint32_t known)
{
	reg_set(m, at, &v, &known, sizeof(v));
	m->origin[at / WORD] = from;
	m->kept[at / WORD] = UINT32_MAX;
}

static void load_meta(struct machine *m, uint32_t key, size_t at)
{
	const struct packet *p = m->p;
	const uint16_t ether = ARPHRD_ETHER,
		       protocol = htons(p->nfproto == NFPROTO_IPV6 ? 0x86dd : 0x0800);

	switch (key) {
	case NFT_META_IIFNAME:
		reg_set(m, at, p->iifname.v, p->iifname.known, 16);
		break;
	case NFT_META_OIFNAME:
		reg_set(m, at, p->oifname.v, p->oifname.known, 16);
		break;
	case NFT_META_IIF:
		reg_set(m, at, &p->iif, NULL, sizeof(p->iif));
		break;
	case NFT_META_OIF:
		reg_set(m, at, &p->oif, NULL, sizeof(p->oif));
		break;
	case NFT_META_IIFTYPE:
		reg_set(m, at, &ether, NULL, sizeof(ether));
		break;
	case NFT_META_NFPROTO:
		reg_set(m, at, &p->nfproto, NULL, 1);
		break;
	case NFT_META_L4PROTO:
		reg_set(m, at, &p->l4proto, p->l4proto ? NULL : "", 1);
		break;
	case NFT_META_PROTOCOL:
		reg_set(m, at, &protocol, NULL, sizeof(protocol));
		break;
	case NFT_META_MARK:
		load_mark(m, at, FROM_MARK, p->mark, p->mark_known);
		break;
	default:
		reg_forget(m, at);
	}
}

static void load_ct(struct machine *m, uint32_t key, size_t at)
{
	const struct packet *p = m->p;
	const uint32_t status_known = IPS_DST_NAT;

	reg_forget(m, at);
	if (key == NFT_CT_STATE)
		reg_set(m, at, &p->ct_state, NULL, sizeof(p->ct_state));
	else if (key == NFT_CT_DIRECTION)
		reg_set(m, at, &p->ct_reply, NULL, 1);
	else if (key == NFT_CT_STATUS)
		reg_set(m, at, &p->ct_status, &status_known, sizeof(p->ct_status));
	else if (key == NFT_CT_MARK)
		load_mark(m, at, FROM_CT_MARK, 0, 0);
}

static void load_payload(struct machine *m, const struct nftnl_expr *e)
{
	uint32_t base = nftnl_expr_get_u32(e, NFTNL_EXPR_PAYLOAD_BASE);
	uint32_t offset = nftnl_expr_get_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET);
	uint32_t n = nftnl_expr_get_u32(e, NFTNL_EXPR_PAYLOAD_LEN);
	const struct bits *b = base == NFT_PAYLOAD_NETWORK_HEADER     ? &m->p->network
			       : base == NFT_PAYLOAD_TRANSPORT_HEADER ? &m->p->transport
								      : NULL;
	size_t at = reg_of(e, NFTNL_EXPR_PAYLOAD_DREG);

	if (!nftnl_expr_is_set(e, NFTNL_EXPR_PAYLOAD_DREG))
		return; /* it writes the packet */
	if (b && offset <= BITS_MAX && n <= BITS_MAX - offset)
		reg_set(m, at, b->v + offset, b->known + offset, n);
	else
		reg_forget(m, at);
}

/* ---- expressions ---- */

void machine_effect(struct machine *m, enum effect_kind k, uint32_t bits)
{
	if (bits && m->fn)
		m->fn(m->owner, m->chain, k, bits);
}

static void store_mark(struct machine *m, enum effect_kind k, enum origin same, size_t at)
{
	machine_effect(m, k, m->origin[at / WORD] == same ? ~m->kept[at / WORD] : UINT32_MAX);
}

static void run_meta(struct machine *m, const struct nftnl_expr *e)
{
	uint32_t key = nftnl_expr_get_u32(e, NFTNL_EXPR_META_KEY);

	if (nftnl_expr_is_set(e, NFTNL_EXPR_META_DREG))
		load_meta(m, key, reg_of(e, NFTNL_EXPR_META_DREG));
	else if (key == NFT_META_MARK)
		store_mark(m, EFFECT_MARK, FROM_MARK, reg_of(e, NFTNL_EXPR_META_SREG));
}

static void run_ct(struct machine *m, const struct nftnl_expr *e)
{
	uint32_t key = nftnl_expr_get_u32(e, NFTNL_EXPR_CT_KEY);

	if (nftnl_expr_is_set(e, NFTNL_EXPR_CT_DREG))
		load_ct(m, key, reg_of(e, NFTNL_EXPR_CT_DREG));
	else if (key == NFT_CT_MARK)
		store_mark(m, EFFECT_CT_MARK, FROM_CT_MARK, reg_of(e, NFTNL_EXPR_CT_SREG));
	else if (key == NFT_CT_ZONE)
		machine_effect(m, EFFECT_ZONE, 1);
}

static void run_bitwise(struct machine *m, const struct nftnl_expr *e)
{
	size_t from = reg_of(e, NFTNL_EXPR_BITWISE_SREG), to = reg_of(e, NFTNL_EXPR_BITWISE_DREG);
	uint32_t n = nftnl_expr_get_u32(e, NFTNL_EXPR_BITWISE_LEN), mask_n = 0, xor_n = 0, word[2];
	const uint8_t *mask = nftnl_expr_get(e, NFTNL_EXPR_BITWISE_MASK, &mask_n);
	const uint8_t * xor = nftnl_expr_get(e, NFTNL_EXPR_BITWISE_XOR, &xor_n);
	enum origin origin = m->origin[from / WORD];
	uint32_t kept = m->kept[from / WORD];
	uint8_t v[BITS_MAX], known[BITS_MAX];

	if (!mask || !xor || n > BITS_MAX || mask_n < n || xor_n < n) {
		reg_forget(m, to); /* a shift */
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		v[i] = (m->v[from + i] & mask[i]) ^ xor[i];
		known[i] = m->known[from + i] | (uint8_t)~mask[i];
	}
	reg_set(m, to, v, known, n);
	if (n != sizeof(word[0]))
		return;
	memcpy(&word[0], mask, sizeof(word[0]));
	memcpy(&word[1], xor, sizeof(word[1]));
	m->origin[to / WORD] = origin;
	m->kept[to / WORD] = kept & word[0] & ~word[1];
}

static void run_cmp(struct machine *m, const struct nftnl_expr *e)
{
	size_t at = reg_of(e, NFTNL_EXPR_CMP_SREG);
	uint32_t n = 0, op = nftnl_expr_get_u32(e, NFTNL_EXPR_CMP_OP);
	const uint8_t *want = nftnl_expr_get(e, NFTNL_EXPR_CMP_DATA, &n);
	enum sure s = SURE_MAYBE;

	if (want && n <= BITS_MAX && (op == NFT_CMP_EQ || op == NFT_CMP_NEQ)) {
		s = bytes_equal(m->v + at, m->known + at, want, n);
		s = op == NFT_CMP_NEQ ? sure_not(s) : s;
	} else if (want && n <= BITS_MAX && all_known(m->known + at, n)) {
		int c = memcmp(m->v + at, want, n);
		bool less = op == NFT_CMP_LT || op == NFT_CMP_LTE;

		s = (c == 0 ? op == NFT_CMP_LTE || op == NFT_CMP_GTE : (c < 0) == less) ? SURE_YES
											: SURE_NO;
	}
	m->match = sure_and(m->match, s);
}

static void run_range(struct machine *m, const struct nftnl_expr *e)
{
	size_t at = reg_of(e, NFTNL_EXPR_RANGE_SREG);
	uint32_t n = 0, to_n = 0;
	const uint8_t *from = nftnl_expr_get(e, NFTNL_EXPR_RANGE_FROM_DATA, &n);
	const uint8_t *to = nftnl_expr_get(e, NFTNL_EXPR_RANGE_TO_DATA, &to_n);
	enum sure s = SURE_MAYBE;

	if (from && to && n == to_n && n <= BITS_MAX && all_known(m->known + at, n)) {
		bool in = memcmp(m->v + at, from, n) >= 0 && memcmp(m->v + at, to, n) <= 0;

		s = in == (nftnl_expr_get_u32(e, NFTNL_EXPR_RANGE_OP) == NFT_RANGE_EQ) ? SURE_YES
										       : SURE_NO;
	}
	m->match = sure_and(m->match, s);
}

void machine_verdict(struct machine *m, enum sure s, uint32_t code, const char *chain)
{
	static const struct {
		uint32_t code;
		enum rule_verdict v;
	} table[] = {
		{ NF_DROP, RULE_DROP },
		{ NF_ACCEPT, RULE_ACCEPT },
		{ NF_QUEUE, RULE_ACCEPT },
		{ (uint32_t)NFT_JUMP, RULE_JUMP },
		{ (uint32_t)NFT_GOTO, RULE_GOTO },
		{ (uint32_t)NFT_RETURN, RULE_RETURN },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].code != code || m->out->n == VERDICTS_MAX)
			continue;
		m->out->v[m->out->n].sure = s;
		m->out->v[m->out->n].verdict = table[i].v;
		snprintf(m->out->v[m->out->n].chain, sizeof(m->out->v[0].chain), "%s",
			 chain ? chain : "");
		m->out->n++;
	}
	m->ended = m->ended || s == SURE_YES;
}

static void run_immediate(struct machine *m, const struct nftnl_expr *e)
{
	uint32_t n = 0;
	const void *data;

	if (nftnl_expr_is_set(e, NFTNL_EXPR_IMM_VERDICT)) {
		machine_verdict(m, m->match, nftnl_expr_get_u32(e, NFTNL_EXPR_IMM_VERDICT),
				nftnl_expr_get_str(e, NFTNL_EXPR_IMM_CHAIN));
		m->ended = true;
		return;
	}
	data = nftnl_expr_get(e, NFTNL_EXPR_IMM_DATA, &n);
	if (data)
		reg_set(m, reg_of(e, NFTNL_EXPR_IMM_DREG), data, NULL, n);
}

/* Whether the register is in a set without intervals; verdict maps give their verdicts on the way.
 */
static enum sure lookup(struct machine *m, const struct rules_set *s, size_t at)
{
	enum sure best = SURE_NO;

	for (size_t i = 0; i < s->n && best != SURE_YES; i++) {
		const struct rules_elem *el = &s->elem[i];
		enum sure hit = el->key_n <= BITS_MAX
					? bytes_equal(m->v + at, m->known + at, el->key, el->key_n)
					: SURE_MAYBE;

		if (hit == SURE_NO)
			continue;
		if (el->has_verdict)
			machine_verdict(m, sure_and(m->match, hit), el->verdict, el->chain);
		best = hit;
	}
	return best;
}

static void run_lookup(struct machine *m, const struct nftnl_expr *e)
{
	const char *name = nftnl_expr_get_str(e, NFTNL_EXPR_LOOKUP_SET);
	bool inverted = nftnl_expr_is_set(e, NFTNL_EXPR_LOOKUP_FLAGS) &&
			nftnl_expr_get_u32(e, NFTNL_EXPR_LOOKUP_FLAGS) & NFT_LOOKUP_F_INV;
	size_t at = reg_of(e, NFTNL_EXPR_LOOKUP_SREG);
	struct rules_set s = { 0 };
	enum sure hit = SURE_MAYBE;

	if (name && rules_set_read(m->rules, m->chain, name, &s) == 0 &&
	    !(s.flags & NFT_SET_INTERVAL))
		hit = lookup(m, &s, at);
	rules_set_done(&s);
	if (nftnl_expr_is_set(e, NFTNL_EXPR_LOOKUP_DREG) &&
	    nftnl_expr_get_u32(e, NFTNL_EXPR_LOOKUP_DREG))
		reg_forget(m, reg_of(e, NFTNL_EXPR_LOOKUP_DREG));
	m->match = sure_and(m->match, inverted ? sure_not(hit) : hit);
}

/* Synthetic and public addresses are never the host's own. */
static void run_fib(struct machine *m, const struct nftnl_expr *e)
{
	static const uint32_t unicast = RTN_UNICAST;
	size_t at = reg_of(e, NFTNL_EXPR_FIB_DREG);

	reg_forget(m, at);
	if (nftnl_expr_get_u32(e, NFTNL_EXPR_FIB_RESULT) == NFT_FIB_RESULT_ADDRTYPE)
		reg_set(m, at, &unicast, NULL, sizeof(unicast));
}

/* ---- the machine ---- */

static void run_nothing(struct machine *m, const struct nftnl_expr *e)
{
	(void)m, (void)e;
}

static void run_maybe(struct machine *m, const struct nftnl_expr *e)
{
	(void)e;
	m->match = sure_and(m->match, SURE_MAYBE);
}

static void run_reject(struct machine *m, const struct nftnl_expr *e)
{
	(void)e;
	machine_verdict(m, m->match, NF_DROP, NULL);
}

static void run_queue(struct machine *m, const struct nftnl_expr *e)
{
	(void)e;
	machine_verdict(m, m->match, NF_ACCEPT, NULL);
}

/* Source translation is no matter; a new destination is. */
static void run_nat(struct machine *m, const struct nftnl_expr *e)
{
	if (nftnl_expr_get_u32(e, NFTNL_EXPR_NAT_TYPE) == NFT_NAT_DNAT ||
	    m->chain->hook == NF_INET_LOCAL_IN)
		machine_effect(m, EFFECT_NAT, 1);
	machine_verdict(m, m->match, NF_ACCEPT, NULL);
}

static void run_redir(struct machine *m, const struct nftnl_expr *e)
{
	(void)e;
	machine_effect(m, EFFECT_NAT, 1);
	machine_verdict(m, m->match, NF_ACCEPT, NULL);
}

static void run_tproxy(struct machine *m, const struct nftnl_expr *e)
{
	(void)e;
	machine_effect(m, EFFECT_TPROXY, 1);
	run_maybe(m, e); /* nobody may listen */
}

static void run_notrack(struct machine *m, const struct nftnl_expr *e)
{
	(void)e;
	machine_effect(m, EFFECT_NOTRACK, 1);
}

static void run_offload(struct machine *m, const struct nftnl_expr *e)
{
	(void)e;
	machine_effect(m, EFFECT_OFFLOAD, 1);
}

static void run_fwd(struct machine *m, const struct nftnl_expr *e)
{
	(void)e;
	machine_effect(m, EFFECT_REDIRECT, 1);
	machine_verdict(m, m->match, NF_ACCEPT, NULL);
}

/* Loads of something that is not known leave their result in a register that nothing else fills:
 * all of them are forgotten. */
static void run_unknown(struct machine *m, const struct nftnl_expr *e)
{
	(void)e;
	memset(m->known, 0, sizeof(m->known));
	memset(m->origin, 0, sizeof(m->origin));
}

static const struct {
	const char *name;
	void (*run)(struct machine *m, const struct nftnl_expr *e);
} expressions[] = {
	{ "meta", run_meta },
	{ "ct", run_ct },
	{ "payload", load_payload },
	{ "bitwise", run_bitwise },
	{ "cmp", run_cmp },
	{ "range", run_range },
	{ "lookup", run_lookup },
	{ "immediate", run_immediate },
	{ "fib", run_fib },
	{ "match", machine_xt_match },
	{ "target", machine_xt_target },
	{ "reject", run_reject },
	{ "queue", run_queue },
	{ "nat", run_nat },
	{ "redir", run_redir },
	{ "masq", run_nothing },
	{ "tproxy", run_tproxy },
	{ "notrack", run_notrack },
	{ "flow_offload", run_offload },
	{ "fwd", run_fwd },
	{ "counter", run_nothing },
	{ "log", run_nothing },
	{ "objref", run_nothing },
	{ "last", run_nothing },
	{ "dup", run_nothing },
	{ "limit", run_maybe },
	{ "quota", run_maybe },
	{ "connlimit", run_maybe },
	{ "dynset", run_maybe },
	{ "synproxy", run_maybe },
};

static int run_one(struct nftnl_expr *e, void *owner)
{
	const char *name = nftnl_expr_get_str(e, NFTNL_EXPR_NAME);
	struct machine *m = owner;

	if (m->match == SURE_NO || m->ended)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(expressions); i++)
		if (!strcmp(expressions[i].name, name)) {
			expressions[i].run(m, e);
			return 0;
		}
	run_unknown(m, e);
	return 0;
}

void packet_meets(const struct packet *p, struct rules *r, const struct rules_chain *c,
		  struct nftnl_rule *rule, effect_fn *fn, void *owner, struct rule_outcome *ret)
{
	struct machine m = { .p = p,
			     .rules = r,
			     .chain = c,
			     .fn = fn,
			     .owner = owner,
			     .out = ret,
			     .match = SURE_YES };

	ret->n = 0;
	nftnl_expr_foreach(rule, run_one, &m);
}

/*
 * doctor_xt.c - what matches and targets of iptables-nft mean to a packet of which some bits are
 * known
 *
 * Theory of operation: iptables-nft writes most of a rule as nftables expressions and the rest as
 * xt extensions, whose structs the kernel gives back as they were. Those that decide about
 * sandboxes' packets are read here; any other match is a maybe, any other target does nothing that
 * matters.
 */
#include "cli/doctor_machine.h"

#include <string.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/xt_CT.h>
#include <linux/netfilter/xt_addrtype.h>
#include <linux/netfilter/xt_connmark.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_mark.h>

static enum sure match_conntrack(const struct packet *p, const void *info, uint32_t n)
{
	static const struct {
		uint32_t nft;
		uint16_t xt;
	} states[] = {
		{ CT_ESTABLISHED, XT_CONNTRACK_STATE_BIT(IP_CT_ESTABLISHED) },
		{ CT_NEW, XT_CONNTRACK_STATE_BIT(IP_CT_NEW) },
		{ CT_UNTRACKED, XT_CONNTRACK_STATE_UNTRACKED },
	};
	struct xt_conntrack_mtinfo3 i;
	enum sure s = SURE_NO;

	if (n < sizeof(i))
		return SURE_MAYBE;
	memcpy(&i, info, sizeof(i));
	if ((i.match_flags & ~XT_CONNTRACK_STATE_ALIAS) != XT_CONNTRACK_STATE)
		return SURE_MAYBE;
	for (size_t k = 0; k < ARRAY_SIZE(states); k++)
		if (states[k].nft == p->ct_state && i.state_mask & states[k].xt)
			s = SURE_YES;
	if (p->ct_status & IPS_DST_NAT && i.state_mask & XT_CONNTRACK_STATE_DNAT)
		s = SURE_YES;
	return i.invert_flags & XT_CONNTRACK_STATE ? sure_not(s) : s;
}

static enum sure match_addrtype(const void *info, uint32_t n)
{
	struct xt_addrtype_info_v1 i;

	if (n < sizeof(i))
		return SURE_MAYBE;
	memcpy(&i, info, sizeof(i));
	if (!i.dest || i.source)
		return SURE_MAYBE;
	return !(i.dest & XT_ADDRTYPE_UNICAST) == !(i.flags & XT_ADDRTYPE_INVERT_DEST) ? SURE_NO
										       : SURE_YES;
}

static enum sure match_mark(const struct packet *p, const void *info, uint32_t n)
{
	struct xt_mark_mtinfo1 i;
	enum sure s;

	if (n < sizeof(i))
		return SURE_MAYBE;
	memcpy(&i, info, sizeof(i));
	s = (p->mark ^ i.mark) & i.mask & p->mark_known ? SURE_NO
	    : i.mask & ~p->mark_known			? SURE_MAYBE
							: SURE_YES;
	return i.invert ? sure_not(s) : s;
}

void machine_xt_match(struct machine *m, const struct nftnl_expr *e)
{
	const char *name = nftnl_expr_get_str(e, NFTNL_EXPR_MT_NAME);
	uint32_t n = 0, rev = nftnl_expr_get_u32(e, NFTNL_EXPR_MT_REV);
	const void *info = nftnl_expr_get(e, NFTNL_EXPR_MT_INFO, &n);
	enum sure s = SURE_MAYBE;

	if (!name || !info)
		s = SURE_MAYBE;
	else if (!strcmp(name, "comment"))
		s = SURE_YES;
	else if (!strcmp(name, "conntrack") && rev == 3)
		s = match_conntrack(m->p, info, n);
	else if (!strcmp(name, "addrtype") && rev == 1)
		s = match_addrtype(info, n);
	else if (!strcmp(name, "mark") && rev == 1)
		s = match_mark(m->p, info, n);
	m->match = sure_and(m->match, s);
}

static void target_mark(struct machine *m, const void *info, uint32_t n)
{
	struct xt_mark_tginfo2 i;

	if (n < sizeof(i)) {
		machine_effect(m, EFFECT_MARK, UINT32_MAX);
		return;
	}
	memcpy(&i, info, sizeof(i));
	machine_effect(m, EFFECT_MARK, i.mask | i.mark);
}

static void target_connmark(struct machine *m, const void *info, uint32_t n)
{
	struct xt_connmark_tginfo1 i = { .ctmask = UINT32_MAX, .nfmask = UINT32_MAX };
	uint8_t mode = XT_CONNMARK_SAVE;

	if (n >= offsetof(struct xt_connmark_tginfo2, mode) + 1) {
		memcpy(&i, info, sizeof(i.ctmark) * 3);
		mode = n >= sizeof(struct xt_connmark_tginfo2)
			       ? ((const uint8_t *)info)[offsetof(struct xt_connmark_tginfo2, mode)]
			       : mode;
	}
	if (mode == XT_CONNMARK_RESTORE)
		machine_effect(m, EFFECT_MARK, i.nfmask);
	else
		machine_effect(m, EFFECT_CT_MARK,
			       i.ctmask | (mode == XT_CONNMARK_SET ? i.ctmark : 0));
}

static void target_ct(struct machine *m, const void *info, uint32_t n)
{
	struct xt_ct_target_info i;

	if (n < sizeof(i.flags) + sizeof(i.zone))
		return;
	memcpy(&i, info, sizeof(i.flags) + sizeof(i.zone));
	machine_effect(m, EFFECT_NOTRACK, i.flags & XT_CT_NOTRACK);
	machine_effect(m, EFFECT_ZONE, i.zone);
}

void machine_xt_target(struct machine *m, const struct nftnl_expr *e)
{
	static const struct {
		const char *name;
		enum effect_kind k;
	} nat[] = { { "DNAT", EFFECT_NAT },
		    { "REDIRECT", EFFECT_NAT },
		    { "NETMAP", EFFECT_NAT },
		    { "TPROXY", EFFECT_TPROXY } };
	const char *name = nftnl_expr_get_str(e, NFTNL_EXPR_TG_NAME);
	uint32_t n = 0;
	const void *info = nftnl_expr_get(e, NFTNL_EXPR_TG_INFO, &n);

	if (!name || !info)
		return;
	if (!strcmp(name, "MARK"))
		target_mark(m, info, n);
	else if (!strcmp(name, "CONNMARK"))
		target_connmark(m, info, n);
	else if (!strcmp(name, "CT"))
		target_ct(m, info, n);
	else if (!strcmp(name, "REJECT"))
		machine_verdict(m, m->match, NF_DROP, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(nat); i++)
		if (!strcmp(name, nat[i].name)) {
			machine_effect(m, nat[i].k, 1);
			machine_verdict(m, m->match, NF_ACCEPT, NULL);
		}
}

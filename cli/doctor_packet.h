/*
 * doctor_packet.h - a packet of which some bits are known, and what one rule does to it
 */
#ifndef CLI_DOCTOR_PACKET_H
#define CLI_DOCTOR_PACKET_H

#include "cli/doctor_rules.h"

enum sure { SURE_NO = 0, SURE_MAYBE, SURE_YES };

/* Bytes and, bit by bit, which of them are known. */
enum { BITS_MAX = 40 };
struct bits {
	uint8_t v[BITS_MAX], known[BITS_MAX];
};

struct packet {
	struct bits network, transport; /* headers */
	struct bits iifname,
		oifname;   /* a pattern's packet: its letters are known, what follows is not */
	uint32_t iif, oif; /* indexes */
	uint8_t nfproto, l4proto; /* l4proto 0: unknown */
	uint32_t mark, mark_known;
	uint32_t ct_state;  /* one of NF_CT_STATE_* as nft has them */
	uint32_t ct_status; /* IPS_*: of IPS_DST_NAT only it is known */
	uint8_t ct_reply;
};
enum { CT_ESTABLISHED = 2, CT_NEW = 8, CT_UNTRACKED = 64 };

enum effect_kind {
	EFFECT_MARK,
	EFFECT_CT_MARK,
	EFFECT_NAT,
	EFFECT_TPROXY,
	EFFECT_NOTRACK,
	EFFECT_ZONE,
	EFFECT_OFFLOAD,
	EFFECT_REDIRECT, /* to another interface: fwd */
};

enum rule_verdict { RULE_NEXT = 0, RULE_ACCEPT, RULE_DROP, RULE_JUMP, RULE_GOTO, RULE_RETURN };
enum { VERDICTS_MAX = 64 };
struct rule_outcome {
	struct {
		enum sure sure;
		enum rule_verdict verdict;
		char chain[128]; /* of a jump or goto */
	} v[VERDICTS_MAX];
	size_t n;
};

/* An effect that a rule has, or may have, on the packet. bits: of a mark, those that may change. */
typedef void effect_fn(void *owner, const struct rules_chain *c, enum effect_kind k, uint32_t bits);

/* What the rule does: verdicts in order of trying, none for "goes on". */
void packet_meets(const struct packet *p, struct rules *r, const struct rules_chain *c,
		  struct nftnl_rule *rule, effect_fn *fn, void *owner, struct rule_outcome *ret);

#endif

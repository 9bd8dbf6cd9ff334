/*
 * doctor_machine.h - the registers that doctor_packet.c runs a rule on, for the files that share it
 */
#ifndef CLI_DOCTOR_MACHINE_H
#define CLI_DOCTOR_MACHINE_H

#include <stdio.h>
#include <libnftnl/expr.h>

#include "cli/doctor_packet.h"

enum { REGISTERS = 80, WORD = 4 };
enum origin { FROM_ELSEWHERE = 0, FROM_MARK, FROM_CT_MARK };

struct machine {
	const struct packet *p;
	struct rules *rules;
	const struct rules_chain *chain;
	effect_fn *fn;
	void *owner;
	struct rule_outcome *out;
	enum sure match;
	bool ended;
	uint8_t v[REGISTERS + BITS_MAX], known[REGISTERS + BITS_MAX];
	enum origin origin[REGISTERS / WORD];
	uint32_t kept[REGISTERS / WORD]; /* bits of a mark that are as they were loaded */
};

/* Tell of something that the rule does to the packet; bits 0: it does not. */
void machine_effect(struct machine *m, enum effect_kind k, uint32_t bits);
/* NF_* or NFT_* as a verdict of this rule; a sure one ends it. chain: of a jump or goto, else NULL.
 */
void machine_verdict(struct machine *m, enum sure s, uint32_t code, const char *chain);
enum sure sure_and(enum sure a, enum sure b);
enum sure sure_not(enum sure a);

/* doctor_xt.c: matches and targets of iptables-nft. */
void machine_xt_match(struct machine *m, const struct nftnl_expr *e);
void machine_xt_target(struct machine *m, const struct nftnl_expr *e);

#endif

/*
 * doctor_walk.h - a packet's way through one base chain of other software
 */
#ifndef CLI_DOCTOR_WALK_H
#define CLI_DOCTOR_WALK_H

#include "cli/doctor_packet.h"

/* MAYBE: it ends in a drop unless a rule accepts it that cannot be judged. */
enum fate { FATE_PASSES = 0, FATE_MAYBE, FATE_DROPPED };

/* ret_where: the chain that drops, borrowed from r. fn (may be NULL) is told every effect on the
 * way. */
enum fate walk_base(struct rules *r, const struct rules_chain *base, const struct packet *p,
		    effect_fn *fn, void *owner, const struct rules_chain **ret_where);

#endif

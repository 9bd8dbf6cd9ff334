/*
 * run.h - the steps of checks_run(), each in its file
 */
#ifndef GITPROXY_GATE_RUN_H
#define GITPROXY_GATE_RUN_H

#include "gitproxy/gate/checks.h"
#include "gitproxy/gate/graph.h"

enum { RUN_EVERY = UINT32_MAX, RUN_TOLD_MAX = 32 };

struct run {
	struct graph *g;
	struct objects *objects;
	const struct push_list *list;
	const struct push_rules *rules;
	struct checks_sink *sink;
	struct checks_limits limits;
	bool has_tips, tips_may_lack;	/* as in struct checks_spec */
	const struct oid *tips;
	size_t n_tips;
	struct oid missing;
	unsigned told;			/* refusals */
	uint32_t looked;		/* trees read to find places */
	uint64_t read;			/* and their bytes */
};

/* Every step: 0, or -errno: nothing may be concluded. What it refuses, it tells. */
typedef int run_step(struct run *r);

/* Tell the sink; fmt is for people. Beyond RUN_TOLD_MAX only counted, but for single commands. */
void run_refuse(struct run *r, uint32_t command, enum reason reason, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* Its id, short, in a buffer of the caller's. */
enum { RUN_SHORT = 13 };
const char *run_short(const struct run *r, uint32_t node, char buf[RUN_SHORT]);
/* Is it in the mirror? 1, 0 or -errno; asked once. */
int run_known(struct run *r, uint32_t node);

run_step run_tips;		/* walk.c: the commands' new objects are marked */
run_step run_whole;		/* -ENOENT: `missing` is in neither pack nor mirror */
run_step run_hidden;
run_step run_forms;		/* forms.c: types, .gitmodules, .gitattributes */
run_step run_bounds;		/* bounds.c */
run_step run_commands;		/* commands.c */
run_step run_protect;		/* protect.c */

/* ancestry.c: is `old` an ancestor of `new` (both commits, both loaded)? 1, 0 or -errno. */
struct ancestry;
int ancestry_new(struct run *r, struct ancestry **ret);
void ancestry_free(struct ancestry *a);
DEFINE_AUTO(ancestry, struct ancestry *, ancestry_free)
int ancestry_is(struct ancestry *a, uint32_t old, uint32_t new);
/* Does one of upstream's tips lead to it? 1, 0 or -errno; -ENOENT: the mirror lacks r->missing, which may. */
int ancestry_listed(struct ancestry *a, uint32_t node);
/* The best common ancestors of two commits. 0 or -errno; -E2BIG: too many, or too far. */
enum { ANCESTRY_BASES = 32 };
struct ancestry_bases { uint32_t one, two, node[ANCESTRY_BASES]; size_t n; };
int ancestry_bases(struct ancestry *a, struct ancestry_bases *b);

/* where.c: what a commit has at a path; kind TREE_NONE: nothing. 0 or -errno */
int run_resolve(struct run *r, uint32_t commit, struct rd path, enum tree_kind *ret_kind, struct oid *ret);
int run_find(struct run *r, struct checks_place *place);

#endif

/*
 * checks.h - whether the objects of a push are what the policy and git allow
 *
 * Two steps. While the pack is read, checks_object() sees each of its objects once, as it is at hand,
 * in any order and from any number of threads: its form is judged, and what it points to is kept in
 * tables. When all were seen, checks_run() judges them together, and reads few of them again: is
 * everything there, is everything reached, is what the commands do allowed, and what was changed.
 */
#ifndef GITPROXY_GATE_CHECKS_H
#define GITPROXY_GATE_CHECKS_H

#include "gitproxy/gate/objects.h"
#include "gitproxy/push_command.h"
#include "policy/push.h"
#include "policy/reason.h"

/* Zero: the default of checks_new(). More is pack_limit_exceeded. */
struct checks_limits {
	uint64_t inflated;		/* bytes of all objects of the pack */
	uint64_t paths;			/* files that one new tree unfolds to */
	uint64_t steps;			/* pairs of entries compared for protected paths */
	uint32_t message;		/* bytes of a commit or a tag */
	uint32_t parents, entries;	/* of a commit, of a tree */
	uint32_t path, depth;		/* of the longest path of new trees: bytes, components */
};

struct checks_sink {
	/* This command is refused (UINT32_MAX: the push). The text is for people and may hold a client's bytes. */
	void (*refused)(struct checks_sink *s, uint32_t command, enum reason reason, const char *text);
	/* What this command does, now that its objects are known. May be NULL. */
	void (*op)(struct checks_sink *s, uint32_t command, enum push_op op);
	/* A blob of the pack that is an LFS pointer. May be NULL. */
	void (*pointer)(struct checks_sink *s, const struct oid *blob, const uint8_t sha256[32], uint64_t size);
	/* Is there a secret in this path, so that no text may show it? May be NULL: none is looked for. */
	bool (*secret)(struct checks_sink *s, struct rd path);
};

struct checks_spec {
	struct objects *objects;		/* borrowed, as all here */
	enum object_format format;
	const struct push_list *list;
	const struct push_rules *rules;
	struct checks_sink *sink;
	struct checks_limits limits;
	bool has_tips;				/* else all that the mirror has is upstream's */
	bool tips_may_lack;			/* else a tip that is not here is MISSING, where that matters */
	const struct oid *tips;			/* of upstream's branches and tags; sorted */
	size_t n_tips;
};

/* An object about which more is to be known: where it came in. */
struct checks_place {
	struct oid object;
	/* of the pack, the one that brought it, or itself; zero: no commit has it on a path */
	struct oid commit;
	struct oid before;	/* what upstream has at that path before the push; zero: nothing */
	/* heap, raw, "/" between; NULL: none. An entry of a tree, or "" for a root's tree */
	char *path;
};

struct checks;
/* 0 or -errno. All ids of the pack must be known by now. */
int checks_new(const struct checks_spec *spec, struct checks **ret);
void checks_free(struct checks *c);
DEFINE_AUTO(checks, struct checks *, checks_free)

/*
 * Form of one object by itself, as `git fsck --strict` has it. Any thread; nothing is told to the sink.
 * REASON_NONE, or why not, with a text for people in ret_text (at most CHECKS_TEXT bytes, no NUL).
 * INTERNAL_ERROR: memory, or an object that is not of the pack or came twice.
 */
enum { CHECKS_TEXT = 128 };
enum reason checks_object(struct checks *c, const struct oid *oid, enum object_type type, struct rd bytes,
			  struct wr *ret_text);
/* The same for a blob that is too large to be at hand. */
enum reason checks_large_blob(struct checks *c, const struct oid *oid, uint64_t size, struct wr *ret_text);
/* And how that begins: LFS_POINTER_MAX bytes at least. */
enum reason checks_large_begin(struct checks *c, const struct oid *oid, struct rd begin, struct wr *ret_text);

/* ---- then, from one thread ---- */

enum checks_verdict { CHECKS_FAILED = 0, CHECKS_CLEAN, CHECKS_REFUSED, CHECKS_MISSING };
/*
 * REFUSED: the sink was told at least one reason. MISSING: *ret_missing is in neither pack nor mirror.
 * What checks_object() refused is REFUSED again; an object of the pack that it was not given is FAILED.
 */
enum checks_verdict checks_run(struct checks *c, struct oid *ret_missing);
/* Fill in where place->object came in. After checks_run(), whatever it said. 0 or -errno. */
int checks_find(struct checks *c, struct checks_place *place);

#endif

/*
 * checks.h - whether the objects of a push are what the policy and git allow
 *
 * Two steps. While the pack is read, checks_object() sees each of its objects once, as it is at hand:
 * form. When all are known, checks_run() walks from the new tips: what they reach, what they change.
 */
#ifndef GITPROXY_GATE_CHECKS_H
#define GITPROXY_GATE_CHECKS_H

#include "gitproxy/gate/objects.h"
#include "gitproxy/push_command.h"
#include "policy/reason.h"

struct push_rules;

/*
 * Form of one object by itself, as `git fsck --strict` has it. Called from several threads, for each
 * object of the pack that fits in memory (larger blobs: never). A text for people with a reason.
 */
enum reason checks_object(enum object_format format, enum object_type type, struct rd bytes, struct wr *ret_text);

/* An object about which more is to be known: where it is first found. */
struct checks_place { struct oid object, commit; /* zero: not found on a path */ char *path; /* heap, raw; may be NULL */ };

struct checks_sink {
	/* This command is refused (GATE_EVERY: the push). The text is for people and may hold a client's bytes. */
	void (*refused)(struct checks_sink *s, uint32_t command, enum reason reason, const char *text);
	/* A blob of the pack that is an LFS pointer. */
	void (*pointer)(struct checks_sink *s, const struct oid *blob, const uint8_t sha256[32], uint64_t size);
	void (*progress)(struct checks_sink *s, uint64_t done, uint64_t total);
};

struct checks_spec {
	struct objects *objects;
	enum object_format format;
	const struct push_list *list;
	const struct push_rules *rules;
	struct checks_place *sought;	/* sorted by object, no two the same; to be filled in while walking */
	size_t n_sought;
	struct checks_sink *sink;
};

enum checks_verdict { CHECKS_FAILED = 0, CHECKS_CLEAN, CHECKS_REFUSED, CHECKS_MISSING };
/* REFUSED: the sink was told at least one reason. MISSING: *ret_missing is in neither pack nor mirror. */
enum checks_verdict checks_run(const struct checks_spec *spec, struct oid *ret_missing);

#endif

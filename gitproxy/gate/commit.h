/*
 * commit.h - what a commit and a tag point to
 */
#ifndef GITPROXY_GATE_COMMIT_H
#define GITPROXY_GATE_COMMIT_H

#include "gitproxy/gate/fault.h"
#include "gitproxy/gate/objects.h"

struct commit {
	struct oid tree;
	struct rd parents;	/* lines, for commit_parent(); borrowed */
	uint32_t n_parents;
	uint64_t date;		/* the committer's, seconds */
};

/* FAULT_NONE: it is one, and as `git fsck --strict` wants it. */
enum fault commit_parse(struct rd bytes, enum object_format format, struct commit *ret);
/* The same for a commit that upstream has already: only what git must find in it. */
enum fault commit_parse_lenient(struct rd bytes, enum object_format format, struct commit *ret);
/* The next one; false when there is none left. */
bool commit_parent(struct rd *parents, enum object_format format, struct oid *ret);

struct tag {
	struct oid object;
	enum object_type type;
};

enum fault tag_parse(struct rd bytes, enum object_format format, struct tag *ret);

#endif

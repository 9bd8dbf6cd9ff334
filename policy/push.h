/*
 * push.h - what a profile lets one repository's pushes change
 *
 * Theory of operation: the part of a profile that concerns pushes to one repository, as one struct of
 * fixed size: the keeper fills it, whoever judges a push gets it as a sealed memfd, and both ask the
 * same functions. Zero allows nothing. Here stands what a command may do by its name and kind; whether
 * an update is a fast-forward, and what changed of the files, is found by who reads the objects.
 *
 * Patterns: a * is any run of bytes within one component, ** any run at all; at the beginning of a
 * component, ** and a slash stand for any number of whole components, none included; a pattern that
 * ends in / goes on as if ** followed. Nothing else is special. Names of refs are compared byte by
 * byte; paths ignore the case of ASCII letters, since some file systems do.
 */
#ifndef POLICY_PUSH_H
#define POLICY_PUSH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "policy/reason.h"

/* Which of UPDATE and FORCE it is only the objects tell; both of the others stand in the command. */
enum push_op { PUSH_NONE = 0, PUSH_CREATE, PUSH_UPDATE, PUSH_FORCE, PUSH_DELETE };
enum { PUSH_PATTERNS_MAX = 64, PUSH_PATTERN_MAX = 256, PUSH_TEXT = 256 };
const char *push_op_text(enum push_op op);	/* "create" ...; "" for none */

struct push_rules {
	uint8_t allowed, create, force, del, warn_only, lfs, options, pad_[1];
	uint32_t n_refs, n_denied;
	uint64_t max_pack_bytes;
	char refs[PUSH_PATTERNS_MAX][PUSH_PATTERN_MAX];
	char denied[PUSH_PATTERNS_MAX][PUSH_PATTERN_MAX];
};

/* What this policy says of this repository (host canonical, repo as policy_decide_repo() spells it: else nothing). */
struct policy;
void policy_push_rules(const struct policy *p, const char *host, const char *repo, struct push_rules *ret);
/* What a receiver checks: flags, counts, patterns. */
bool push_rules_ok(const struct push_rules *r);

/*
 * REASON_NONE, or ref_not_allowed, force_not_allowed, delete_not_allowed; then a line for people says what
 * is allowed (ret_text: NULL, or room for PUSH_TEXT bytes; no NUL). Refused whatever the patterns say:
 * what is no plain name below refs/, and the names that servers make or git reads specially
 * (refs/pull/, refs/merge-requests/, refs/pull-requests/, refs/replace/, in any case). To move a tag
 * that exists is PUSH_FORCE, however it is called.
 */
enum reason push_rules_ref(const struct push_rules *r, const char *ref, enum push_op op, struct wr *ret_text);
/* A line that says which refs the rules name, as above. */
void push_rules_text(const struct push_rules *r, struct wr *ret_text);
/*
 * May not be changed: a path from the root of a tree, / between, of an entry that is no tree (a file, a
 * link, a submodule). Denied as well is such an entry in place of a directory that a pattern names without
 * a star: with .github/workflows/ a link at .github would lead around it.
 */
bool push_rules_path_denied(const struct push_rules *r, struct rd path);
/* May something below a tree at this path be denied? No: it need not be looked at. The root: always look. */
bool push_rules_tree_matters(const struct push_rules *r, struct rd path);

#endif

/*
 * push.c - what a profile lets one repository's pushes change
 *
 * Theory of operation: pure functions of the struct and a name; the struct is checked when it comes
 * from another process. What a ref's command may do is asked in the order name, kind, so that the
 * refusal names the larger reason. Whoever allows asks twice: the gate, and the keeper before a command
 * goes upstream.
 */
#include "policy/push.h"

#include "policy/push_pattern.h"

const char *push_op_text(enum push_op op)
{
	static const char *const texts[] = {
		[PUSH_CREATE] = "create", [PUSH_UPDATE] = "update", [PUSH_FORCE] = "force", [PUSH_DELETE] = "delete",
	};

	return (unsigned)op < ARRAY_SIZE(texts) && texts[op] ? texts[op] : "";
}

static bool patterns_ok(const char (*patterns)[PUSH_PATTERN_MAX], uint32_t n, const char *(*fault)(const char *))
{
	if (n > PUSH_PATTERNS_MAX)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!memchr(patterns[i], '\0', PUSH_PATTERN_MAX) || fault(patterns[i]))
			return false;
	return true;
}

bool push_rules_ok(const struct push_rules *r)
{
	return (r->allowed | r->create | r->force | r->del | r->warn_only | r->lfs | r->options) <= 1 &&
	       patterns_ok(r->refs, r->n_refs, push_ref_pattern_fault) &&
	       patterns_ok(r->denied, r->n_denied, push_path_pattern_fault);
}

/* ---- refs ---- */

static void say(struct wr *to, const char *text)
{
	if (to && to->cap - to->n >= strlen(text))
		wr_str(to, text);
}

/* As many as there is room for. */
void push_rules_text(const struct push_rules *r, struct wr *to)
{
	static const char before[] = "allowed are ", more[] = " and others";

	if (!r->n_refs)
		say(to, "the policy allows none");
	for (uint32_t i = 0; to && i < r->n_refs; i++) {
		const char *sep = i ? ", " : before;

		if (to->cap - to->n < strlen(sep) + strlen(r->refs[i]) + sizeof(more)) {
			say(to, i ? more : "it is none of those that the policy names");
			return;
		}
		say(to, sep);
		say(to, r->refs[i]);
	}
}

static bool name_allowed(const struct push_rules *r, struct rd name)
{
	for (uint32_t i = 0; i < r->n_refs; i++)
		if (push_pattern_match(r->refs[i], name, false) == PATTERN_MATCHES)
			return true;
	return false;
}

static enum reason refuse(enum reason reason, struct wr *to, const char *text)
{
	say(to, text);
	return reason;
}

static enum reason decide_op(const struct push_rules *r, enum push_op op, struct wr *to)
{
	switch (op) {
	case PUSH_CREATE:
		return r->create ? REASON_NONE :
				   refuse(REASON_REF_NOT_ALLOWED, to, "refs that exist may be updated, none created");
	case PUSH_UPDATE:
		return REASON_NONE;
	case PUSH_FORCE:
		return r->force ? REASON_NONE :
				  refuse(REASON_FORCE_NOT_ALLOWED, to, "only what adds to a ref's history is allowed");
	case PUSH_DELETE:
		return r->del ? REASON_NONE : refuse(REASON_DELETE_NOT_ALLOWED, to, "refs may not be deleted");
	case PUSH_NONE:
		break;
	}
	return refuse(REASON_REF_NOT_ALLOWED, to, "the command changes nothing");
}

enum reason push_rules_ref(const struct push_rules *r, const char *ref, enum push_op op, struct wr *ret_text)
{
	struct rd name = rd_str(ref), tag = name;

	if (!r->allowed)
		return refuse(REASON_PUSH_NOT_ALLOWED, ret_text, "pushing to this repository is not allowed");
	if (!push_ref_plain(name, false) || push_ref_reserved(name))
		return refuse(REASON_REF_NOT_ALLOWED, ret_text, "names of this kind are never pushed");
	if (!name_allowed(r, name)) {
		push_rules_text(r, ret_text);
		return REASON_REF_NOT_ALLOWED;
	}
	if (op == PUSH_UPDATE && rd_prefix(&tag, "refs/tags/"))
		op = PUSH_FORCE;
	return decide_op(r, op, ret_text);
}

/* ---- paths ---- */

/* The path is a directory that the pattern names before its first star. */
static bool is_above(const char *pattern, struct rd path)
{
	size_t n = push_pattern_plain(pattern);

	return path.n < n && pattern[path.n] == '/' &&
	       push_pattern_match(pattern, path, true) != PATTERN_NOT;
}

bool push_rules_path_denied(const struct push_rules *r, struct rd path)
{
	for (uint32_t i = 0; i < r->n_denied; i++)
		if (push_pattern_match(r->denied[i], path, true) == PATTERN_MATCHES || is_above(r->denied[i], path))
			return true;
	return false;
}

bool push_rules_tree_matters(const struct push_rules *r, struct rd path)
{
	for (uint32_t i = 0; i < r->n_denied; i++)
		if (push_pattern_match(r->denied[i], path, true) != PATTERN_NOT)
			return true;
	return false;
}

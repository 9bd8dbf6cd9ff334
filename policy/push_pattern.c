/*
 * push_pattern.c - patterns of refs and of paths
 *
 * Theory of operation: a pattern is run over the text as an automaton whose states are its own bytes:
 * after each byte of the text the set of places is known at which the pattern may be. So a match
 * takes at most (bytes of the text) x (bytes of the pattern) steps, whatever either holds, and the
 * same run tells whether a longer text could match. Most end at the first byte that differs.
 * Grammar: git-check-ref-format(1) for names; paths are relative, without empty components.
 */
#include "policy/push_pattern.h"

#include <string.h>

#include "policy/push.h"

/* ---- the automaton ---- */

enum token { TOKEN_END, TOKEN_BYTE, TOKEN_STAR, TOKEN_DEEP, TOKEN_DIRS };
/* DIRS alone knows two: at the beginning of a component, and within one. */
enum { AT = 1, WITHIN = 2 };

struct places {
	uint8_t at[PUSH_PATTERN_MAX + 1];
	size_t low, high;		/* of those that are set; low > high: none */
};

static bool component_begins(const char *pattern, size_t i)
{
	return !i || pattern[i - 1] == '/';
}

/* What stands at i, and where it goes on. */
static enum token token_at(const char *pattern, size_t i, size_t *ret_next)
{
	size_t run = strspn(pattern + i, "*");

	*ret_next = i + (run ? run : 1);
	if (!pattern[i]) {
		*ret_next = i;
		return i && pattern[i - 1] == '/' ? TOKEN_DEEP : TOKEN_END;
	}
	if (!run)
		return TOKEN_BYTE;
	if (run == 1)
		return TOKEN_STAR;
	if (!component_begins(pattern, i) || pattern[i + run] != '/')
		return TOKEN_DEEP;
	(*ret_next)++;
	return TOKEN_DIRS;
}

static void set(struct places *p, size_t i, uint8_t how)
{
	p->at[i] |= how;
	p->low = i < p->low ? i : p->low;
	p->high = i > p->high ? i : p->high;
}

/* Only what was set: this is done for every byte of every path. */
static void clear(struct places *p)
{
	if (p->low <= p->high)
		memset(p->at + p->low, 0, p->high - p->low + 1);
	p->low = SIZE_MAX;
	p->high = 0;
}

static bool any(const struct places *p)
{
	return p->low <= p->high;
}

/* What stands for nothing may be left out. Places only go up, so one pass is enough. */
static void skip_empty(const char *pattern, struct places *p)
{
	for (size_t i = p->low; any(p) && i <= p->high; i++) {
		size_t next;
		enum token t = p->at[i] ? token_at(pattern, i, &next) : TOKEN_END;

		if (t == TOKEN_STAR || t == TOKEN_DEEP || (t == TOKEN_DIRS && p->at[i] & AT))
			set(p, next, AT);
	}
}

static uint8_t folded(uint8_t c, bool fold)
{
	return fold && c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

static void step(const char *pattern, uint8_t c, bool fold, const struct places *from, struct places *to)
{
	clear(to);
	for (size_t i = from->low; any(from) && i <= from->high; i++) {
		size_t next;

		if (!from->at[i])
			continue;
		switch (token_at(pattern, i, &next)) {
		case TOKEN_END:
			break;
		case TOKEN_BYTE:
			if (folded((uint8_t)pattern[i], fold) == folded(c, fold))
				set(to, next, AT);
			break;
		case TOKEN_STAR:
			if (c != '/')
				set(to, i, AT);
			break;
		case TOKEN_DEEP:
			set(to, i, AT);
			break;
		case TOKEN_DIRS:
			set(to, i, c == '/' ? AT : WITHIN);
			break;
		}
	}
	skip_empty(pattern, to);
}

/* Most end here. What stands before the first star is compared as it is. */
static bool begins_alike(const char *pattern, struct rd text, bool fold)
{
	size_t n = strcspn(pattern, "*");
	uint8_t c;

	for (size_t i = 0; i < n && rd_left(&text); i++)
		if (!rd_u8(&text, &c) || folded((uint8_t)pattern[i], fold) != folded(c, fold))
			return false;
	return true;
}

enum pattern_match push_pattern_match(const char *pattern, struct rd text, bool fold)
{
	size_t end = strlen(pattern);
	struct places p[2];
	unsigned now = 0;
	uint8_t c;

	if (end >= PUSH_PATTERN_MAX || !begins_alike(pattern, text, fold))
		return PATTERN_NOT;
	for (size_t i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = (struct places){ .low = SIZE_MAX };
	set(&p[0], 0, AT);
	skip_empty(pattern, &p[0]);
	while (rd_left(&text) && any(&p[now]) && rd_u8(&text, &c)) {
		step(pattern, c, fold, &p[now], &p[!now]);
		now = !now;
	}
	if (!any(&p[now]))
		return PATTERN_NOT;
	return p[now].at[end] ? PATTERN_MATCHES : PATTERN_BEGINS;
}

size_t push_pattern_plain(const char *pattern)
{
	size_t n = strcspn(pattern, "*");

	if (pattern[n])
		while (n && pattern[n - 1] != '/')
			n--;
	return n;
}

/* ---- names ---- */

enum { LOWEST = 0x21, DELETE = 0x7f };

static bool ends_with(struct rd r, const char *end)
{
	size_t n = strlen(end);

	return r.n >= n && !memcmp(r.p + r.n - n, end, n);
}

static bool byte_ok(uint8_t c, bool star)
{
	return c >= LOWEST && c != DELETE && (c == '*' ? star : !strchr("~^:?[\\", c));
}

static bool component_ok(struct rd part, bool star)
{
	struct rd left = part;
	uint8_t c, last = 0;

	if (!part.n || part.p[0] == '.' || ends_with(part, ".lock") || ends_with(part, "."))
		return false;
	while (rd_left(&left)) {
		if (!rd_u8(&left, &c) || !byte_ok(c, star))
			return false;
		if ((last == '.' && c == '.') || (last == '@' && c == '{'))
			return false;
		last = c;
	}
	return true;
}

/* The next part of a name, without the slash behind it. */
static struct rd next_part(struct rd *left)
{
	struct rd part, whole = *left;

	if (rd_until(left, '/', &part))
		return part;
	*left = rd_of(NULL, 0);
	return whole;
}

bool push_ref_plain(struct rd name, bool star)
{
	struct rd left = name;

	if (!rd_prefix(&left, "refs/") || ends_with(name, "/"))
		return false;
	while (rd_left(&left))
		if (!component_ok(next_part(&left), star))
			return false;
	return name.n > strlen("refs/");
}

bool push_ref_reserved(struct rd name)
{
	static const char *const below[] = { "pull", "merge-requests", "pull-requests", "replace" };
	struct rd part;

	if (!rd_prefix(&name, "refs/"))
		return true;
	part = next_part(&name);
	for (size_t i = 0; i < ARRAY_SIZE(below); i++)
		if (rd_eq_nocase(part, below[i]))
			return true;
	return false;
}

/* ---- patterns of a profile ---- */

const char *push_ref_pattern_fault(const char *text)
{
	struct rd name = rd_str(text);

	if (name.n >= PUSH_PATTERN_MAX)
		return "is longer than 255 bytes";
	if (!rd_prefix(&name, "refs/"))
		return "is no whole name; write refs/heads/NAME or refs/tags/NAME";
	name = rd_str(text);
	if (ends_with(name, "/"))
		name.n--;
	if (!push_ref_plain(name, true))
		return "is no name that git takes; only * and ** are special";
	return push_ref_reserved(name) ? "is made by servers or read specially by git, and never pushed" : NULL;
}

const char *push_path_pattern_fault(const char *text)
{
	struct rd left = rd_str(text);

	if (!left.n || left.n >= PUSH_PATTERN_MAX)
		return "is not of 1 to 255 bytes";
	if (text[0] == '/')
		return "begins with a slash; paths begin at the root of the repository without one";
	if (strpbrk(text, "?[]\\!"))
		return "has one of ?, [, ], \\ and !; only * and ** are special";
	if (ends_with(left, "/"))
		left.n--;
	if (ends_with(left, "/"))
		return "has a component that no path has";
	do {
		struct rd part = next_part(&left);

		if (!part.n || rd_eq_str(part, ".") || rd_eq_str(part, ".."))
			return "has a component that no path has";
		for (size_t i = 0; i < part.n; i++)
			if (part.p[i] < ' ' || part.p[i] == DELETE)
				return "has a control character";
	} while (rd_left(&left));
	return NULL;
}

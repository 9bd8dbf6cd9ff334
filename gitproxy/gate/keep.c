/*
 * keep.c - which names of files may matter for protected paths, wherever they stand
 *
 * Theory of operation: of each tree, the links to other trees are kept, and of the files those that a
 * pattern may name. Where a tree stands is not known when it is seen, so a file is kept when its name
 * is a component of a pattern, or what the last component of a pattern may stand for. Patterns that
 * end in nothing but stars, or in a slash, would keep every file: their directories are read once more
 * when they are compared.
 */
#include "gitproxy/gate/keep.h"

#include <errno.h>

/* What the last component of a path may be that ends as this pattern does. False: anything. */
static bool last_glob(const char *pattern, char ret[PUSH_PATTERN_MAX])
{
	const char *slash = strrchr(pattern, '/'), *part = slash ? slash + 1 : pattern, *tail = part;
	struct wr w = wr_of(ret, PUSH_PATTERN_MAX);

	for (const char *p = part; (p = strstr(p, "**")); tail = p += strspn(p, "*"))
		;
	wr_str(&w, tail > part ? "**" : "");
	wr_str(&w, tail);
	wr_u8(&w, '\0');
	return wr_ok(&w) && tail[strspn(tail, "*")];
}

static int add_literals(struct keep *k, const char *pattern)
{
	struct rd *more;

	for (const char *p = pattern; *p; p += strspn(p, "/")) {
		size_t n = strcspn(p, "/");

		if (!memchr(p, '*', n)) {
			more = realloc(k->literal, (k->n_literals + 1) * sizeof(*more));
			if (!more)
				return -ENOMEM;
			k->literal = more;
			k->literal[k->n_literals++] = rd_of(p, n);
		}
		p += n;
	}
	return 0;
}

int keep_init(struct keep *k, const struct push_rules *rules)
{
	int r = 0;

	*k = (struct keep){ .none = !rules->n_denied };
	for (uint32_t i = 0; i < rules->n_denied && r == 0; i++) {
		char *glob = k->globs.denied[k->globs.n_denied];

		if (last_glob(rules->denied[i], glob) && strchr(glob, '*'))
			k->globs.n_denied++;
		r = add_literals(k, rules->denied[i]);
	}
	if (r < 0)
		keep_done(k);
	return r;
}

void keep_done(struct keep *k)
{
	free(k->literal);
	k->literal = NULL;
	k->n_literals = 0;
}

static bool same(struct rd a, struct rd b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		uint8_t x = a.p[i], y = b.p[i];

		if (x != y && ((x ^ y) != 0x20 || (x | 0x20) < 'a' || (x | 0x20) > 'z'))
			return false;
	}
	return true;
}

bool keep_name(const struct keep *k, struct rd name)
{
	for (size_t i = 0; i < k->n_literals; i++)
		if (same(k->literal[i], name))
			return true;
	return k->globs.n_denied && push_rules_path_denied(&k->globs, name);
}

bool keep_whole(const struct push_rules *rules, struct rd directory)
{
	static const char nobody[] = "\x01";	/* no pattern names it */
	char path[4096 + 8];
	struct wr w = wr_of(path, sizeof(path));

	wr_rd_all(&w, directory);
	if (rd_left(&directory))
		wr_str(&w, "/");
	wr_str(&w, nobody);
	return !wr_ok(&w) || push_rules_path_denied(rules, wr_rd(&w));	/* too long: look at all */
}

/*
 * dotgit.c - file names that some file system takes for one of git's own
 *
 * Theory of operation: HFS+ ignores case and some characters nobody sees; NTFS ignores case and dots
 * and spaces at the end, ends a name at a colon, separates at a backslash too, and knows a short name
 * for each file (GIT~1, GITMOD~1, GI7EBA~1). A name that any of them reads as .git, .gitmodules or
 * .gitattributes is taken for it, as git does whatever system it runs on (core.protectHFS,
 * core.protectNTFS). What is no UTF-8 ends a name on HFS+, again as in git.
 * Most names are done after their first byte. Allocates nothing. Fuzzed by tests/fuzz/fuzz_tree.c;
 * compared with git by tests/test_gate_fsck.py.
 */
#include "gitproxy/gate/dotgit.h"

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

/* If `name` starts with this, whatever the case, go past it. */
static bool prefix(struct rd *name, const char *what)
{
	size_t n = strlen(what);

	if (rd_left(name) < n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (lower(name->p[i]) != (uint8_t)what[i])
			return false;
	return rd_skip(name, n);
}

/* ---- HFS+ ---- */

enum { BAD_RUNE = 0 };

/* The next character; none that is left, or bytes that are none: BAD_RUNE. */
static uint32_t rune(struct rd *r)
{
	static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
	uint32_t v;
	uint8_t c;
	unsigned more;

	if (!rd_left(r) || !rd_u8(r, &c))
		return BAD_RUNE;
	if (c < 0x80)
		return c;
	more = c >= 0xf0 && c < 0xf8 ? 3 : c >= 0xe0 && c < 0xf0 ? 2 : c >= 0xc0 && c < 0xe0 ? 1 : 0;
	v = c & (0x3f >> more);
	for (unsigned i = 0; i < more; i++) {
		if (!rd_left(r) || !rd_u8(r, &c) || (c & 0xc0) != 0x80)
			return BAD_RUNE;
		v = v << 6 | (c & 0x3f);
	}
	if (!more || v < least[more] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff) ||
	    v == 0xfffe || v == 0xffff)
		return BAD_RUNE;
	return v;
}

static bool unseen(uint32_t v)
{
	return (v >= 0x200c && v <= 0x200f) || (v >= 0x202a && v <= 0x202e) ||
	       (v >= 0x206a && v <= 0x206f) || v == 0xfeff;
}

static uint32_t hfs_next(struct rd *r)
{
	uint32_t v;

	do
		v = rune(r);
	while (unseen(v));
	return v;
}

static bool hfs_is(struct rd name, const char *what)
{
	uint32_t v;

	for (; *what; what++) {
		v = hfs_next(&name);
		if (v > 127 || lower((uint8_t)v) != (uint8_t)*what)
			return false;
	}
	v = hfs_next(&name);
	return v == BAD_RUNE || v == '/';
}

/* ---- NTFS ---- */

/* Nothing but what NTFS drops: dots and spaces, or the name of a stream. */
static bool ntfs_end(struct rd rest, bool separators)
{
	uint8_t c;

	while (rd_left(&rest)) {
		if (!rd_u8(&rest, &c))
			return false;
		if (c == ':' || (separators && (c == '\\' || c == '/')))
			return true;
		if (c != ' ' && c != '.')
			return false;
	}
	return true;
}

static bool ntfs_directory(struct rd name)
{
	return (prefix(&name, ".git") || prefix(&name, "git~1")) && ntfs_end(name, true);
}

/* SIX letters, ~1 to ~4. */
static bool ntfs_short(struct rd name, const char *six, struct rd *ret_rest)
{
	uint8_t c;

	if (!prefix(&name, six) || !prefix(&name, "~") || !rd_u8(&name, &c) || c < '1' || c > '4')
		return false;
	*ret_rest = name;
	return true;
}

/* When those are taken: up to six letters and digits of a hash, ~, a number; eight bytes in all. */
static bool ntfs_hashed(struct rd name, const char *hash, struct rd *ret_rest)
{
	bool tilde = false;
	size_t n = 8;

	if (rd_left(&name) < n)
		return false;
	for (size_t i = 0; i < 8; i++) {
		uint8_t c = name.p[i];

		if (tilde && (c < '0' || c > '9'))
			return false;
		if (!tilde && c == '~') {
			tilde = true;
			if (++i == name.n || name.p[i] < '1' || name.p[i] > '9')
				return false;
			n = i == 8 ? 9 : 8;		/* git reads on */
		} else if (!tilde && (i >= 6 || lower(c) != (uint8_t)hash[i])) {
			return false;
		}
	}
	*ret_rest = name;
	return rd_skip(ret_rest, n);
}

static bool ntfs_file(struct rd name, const char *whole, const char *six, const char *hash)
{
	struct rd rest = name;

	if (prefix(&rest, whole) && ntfs_end(rest, false))
		return true;
	return (ntfs_short(name, six, &rest) || ntfs_hashed(name, hash, &rest)) &&
	       ntfs_end(rest, false);
}

/* ---- all of them ---- */

static bool is_modules(struct rd name)
{
	return ntfs_file(name, ".gitmodules", "gitmod", "gi7eba");
}

static enum dotgit whole(struct rd name)
{
	if (hfs_is(name, ".git") || ntfs_directory(name))
		return DOTGIT_DIRECTORY;
	if (hfs_is(name, ".gitmodules") || is_modules(name))
		return DOTGIT_MODULES;
	if (hfs_is(name, ".gitattributes") ||
	    ntfs_file(name, ".gitattributes", "gitatt", "gi7d29"))
		return DOTGIT_ATTRIBUTES;
	return DOTGIT_PLAIN;
}

/* What stands behind a backslash is a name of its own to some. */
static enum dotgit behind_backslash(struct rd name)
{
	enum dotgit worst = DOTGIT_PLAIN;
	struct rd before;

	while (rd_has(name, '\\') && rd_until(&name, '\\', &before)) {
		if (ntfs_directory(name))
			return DOTGIT_DIRECTORY;
		if (is_modules(name))
			worst = DOTGIT_MODULES;
		if (!rd_left(&name))
			break;
	}
	return worst;
}

enum dotgit dotgit_of(struct rd name)
{
	enum dotgit what = DOTGIT_PLAIN, behind;
	uint8_t c;

	if (!rd_left(&name))
		return DOTGIT_PLAIN;
	c = lower(name.p[0]);
	if (c == '.' || c == 'g' || c == '~' || c >= 0x80)
		what = whole(name);
	if (what == DOTGIT_DIRECTORY || !rd_has(name, '\\'))
		return what;
	behind = behind_backslash(name);
	return behind == DOTGIT_PLAIN ? what : behind;
}

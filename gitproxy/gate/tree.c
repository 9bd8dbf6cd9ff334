/*
 * tree.c - the entries of a tree
 *
 * Theory of operation: an entry is a mode in octal digits, a space, a name, a NUL and the raw bytes of
 * an id. Only modes that git writes, or wrote once, are taken, by their very digits. What the
 * name may be is `git fsck --strict`: see dotgit.c. Allocates nothing. Fuzzed by
 * tests/fuzz/fuzz_tree.c; compared with git by tests/test_gate_fsck.py.
 */
#include "gitproxy/gate/tree.h"

static enum tree_kind kind_of(struct rd mode)
{
	static const struct {
		const char *digits;
		enum tree_kind kind;
	} kinds[] = {
		{ "100644", TREE_FILE },
		{ "40000", TREE_DIRECTORY },
		{ "100755", TREE_EXECUTABLE },
		{ "120000", TREE_LINK },
		{ "160000", TREE_SUBMODULE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (rd_eq_str(mode, kinds[i].digits))
			return kinds[i].kind;
	if (rd_left(&mode) != 6 || !rd_prefix(&mode, "100"))	/* git wrote others once */
		return TREE_NONE;
	for (size_t i = 0; i < mode.n; i++)
		if (mode.p[i] < '0' || mode.p[i] > '7')
			return TREE_NONE;
	return (mode.p[0] - '0') & 1 ? TREE_EXECUTABLE : TREE_FILE;
}

static enum tree_kind kind_of_any(struct rd mode)
{
	enum { FORMAT = 0170000 };
	static const struct {
		unsigned bits;
		enum tree_kind kind;
	} formats[] = { { 0040000, TREE_DIRECTORY }, { 0120000, TREE_LINK }, { 0100000, TREE_FILE } };
	enum tree_kind kind = kind_of(mode);
	unsigned bits = 0;

	if (kind != TREE_NONE)
		return kind;
	for (size_t i = 0; i < mode.n; i++)
		if (mode.p[i] < '0' || mode.p[i] > '7' || i > 8)
			return TREE_NONE;
		else
			bits = bits << 3 | (mode.p[i] - '0');
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if ((bits & FORMAT) == formats[i].bits)
			return formats[i].kind == TREE_FILE && bits & 0100 ? TREE_EXECUTABLE : formats[i].kind;
	return TREE_SUBMODULE;
}

static bool entry(struct rd *bytes, size_t oid_size, enum tree_kind (*kind)(struct rd), struct tree_entry *ret)
{
	struct rd left = *bytes, mode, name, oid;
	enum tree_kind k;

	if (!rd_until(&left, ' ', &mode) || !rd_until(&left, '\0', &name) || !rd_take(&left, oid_size, &oid))
		return false;
	k = kind(mode);
	if (k == TREE_NONE)
		return false;
	*ret = (struct tree_entry){ k, name, oid.p, rd_left(bytes) - rd_left(&left) };
	*bytes = left;
	return true;
}

bool tree_next(struct rd *bytes, size_t oid_size, struct tree_entry *ret)
{
	return entry(bytes, oid_size, kind_of, ret);
}

bool tree_next_lenient(struct rd *bytes, size_t oid_size, struct tree_entry *ret)
{
	return entry(bytes, oid_size, kind_of_any, ret);
}

enum fault tree_bad_entry(struct rd bytes)
{
	struct rd mode;

	if (!rd_until(&bytes, ' ', &mode) || !rd_left(&mode))
		return FAULT_ENTRY;
	for (size_t i = 0; i < mode.n; i++)
		if (mode.p[i] < '0' || mode.p[i] > '7')
			return FAULT_ENTRY;
	if (mode.p[0] == '0')
		return FAULT_MODE_PADDED;
	return kind_of(mode) == TREE_NONE ? FAULT_MODE : FAULT_ENTRY;
}

static bool null_id(const uint8_t *oid, size_t n)
{
	static const uint8_t zero[OID_MAX];

	return !memcmp(oid, zero, n);
}

enum fault tree_entry_fault(const struct tree_entry *e, size_t oid_size, enum dotgit *ret_dotgit)
{
	bool plain = e->kind == TREE_FILE || e->kind == TREE_EXECUTABLE;

	*ret_dotgit = dotgit_of(e->name);
	if (!rd_left(&e->name))
		return FAULT_NAME_EMPTY;
	if (null_id(e->oid, oid_size))
		return FAULT_NULL_ID;
	if (rd_has(e->name, '/'))
		return FAULT_NAME_SLASH;
	if (rd_eq_str(e->name, "."))
		return FAULT_NAME_DOT;
	if (rd_eq_str(e->name, ".."))
		return FAULT_NAME_DOTDOT;
	if (*ret_dotgit == DOTGIT_DIRECTORY)
		return FAULT_NAME_DOTGIT;
	if (*ret_dotgit == DOTGIT_MODULES && !plain)
		return FAULT_MODULES_MODE;
	/* A link there is followed by no git of today, and some repositories have one. */
	if (*ret_dotgit == DOTGIT_ATTRIBUTES && !plain && e->kind != TREE_LINK)
		return FAULT_ATTRIBUTES_MODE;
	return FAULT_NONE;
}

/* The byte behind n bytes of a name. */
static uint8_t byte_at(struct rd name, bool directory, size_t n)
{
	return n < name.n ? name.p[n] : directory ? '/' : '\0';
}

int tree_order(struct rd a, bool a_directory, struct rd b, bool b_directory)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int order = n ? memcmp(a.p, b.p, n) : 0;

	if (order)
		return order;
	return (int)byte_at(a, a_directory, n) - (int)byte_at(b, b_directory, n);
}

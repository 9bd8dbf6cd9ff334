/*
 * lfs_json.c - JSON of Git LFS, from either side
 *
 * Theory of operation: jansson reads it. It recurses for each level of nesting, so a text that is nested
 * deeper than any of the protocol is refused before; a key that stands twice is refused too, since two
 * readers would believe another one of them.
 * Spec: git-lfs docs/api/batch.md, RFC 8259. Fuzzed by tests/fuzz/fuzz_lfs_batch.c and fuzz_lfs_answer.c.
 */
#include "gitproxy/lfs_json.h"

/* Where brackets stand outside of strings, whatever else the text is. */
static bool shallow(struct rd text)
{
	bool quoted = false, escaped = false;
	size_t depth = 0;
	uint8_t c;

	while (rd_left(&text)) {
		if (!rd_u8(&text, &c))
			return false;
		if (escaped) {
			escaped = false;
		} else if (quoted) {
			escaped = c == '\\';
			quoted = c != '"';
		} else {
			quoted = c == '"';
			depth += c == '{' || c == '[';
			depth -= depth && (c == '}' || c == ']');
		}
		if (depth > LFS_JSON_DEPTH)
			return false;
	}
	return true;
}

json_t *lfs_json_read(struct rd text)
{
	json_t *root = shallow(text) ? json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, NULL) : NULL;

	if (root && json_is_object(root))
		return root;
	json_decref(root);
	return NULL;
}

bool lfs_json_object(const json_t *entry, struct lfs_object *ret)
{
	const json_t *oid = json_object_get(entry, "oid"), *size = json_object_get(entry, "size");
	const char *text = json_string_value(oid);
	struct lfs_object o = { 0 };
	struct rd digits;

	if (!text || json_string_length(oid) != LFS_HEX || !json_is_integer(size) || json_integer_value(size) < 0 ||
	    (uint64_t)json_integer_value(size) > LFS_SIZE_MAX)
		return false;
	digits = rd_of(text, LFS_HEX);
	if (!rd_hex(&digits, o.oid, sizeof(o.oid)))
		return false;
	o.size = (uint64_t)json_integer_value(size);
	*ret = o;
	return true;
}

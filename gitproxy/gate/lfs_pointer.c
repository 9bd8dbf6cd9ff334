/*
 * lfs_pointer.c - files that stand for an object of Git LFS
 *
 * Theory of operation: a client of LFS takes any small file for a pointer whose first line names the
 * format, under its name of today or one of old; it is not strict about line ends and what else
 * stands in it, and neither is this: a pointer that is not seen here would not be checked.
 * Allocates nothing. Fuzzed by tests/fuzz/fuzz_lfs_pointer.c.
 */
#include "gitproxy/gate/lfs_pointer.h"

#include "gitproxy/oid.h"

static struct rd trimmed(struct rd line)
{
	while (line.n && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t'))
		line.n--;
	return line;
}

static struct rd next_line(struct rd *text)
{
	struct rd line = *text;

	if (!memchr(text->p, '\n', text->n) || !rd_until(text, '\n', &line))
		*text = (struct rd){ 0 };
	return trimmed(line);
}

static bool names_format(struct rd line)
{
	static const char *const names[] = { "git-lfs", "hawser", "git-media" };

	if (!rd_prefix(&line, "version ") || !rd_left(&line))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (memmem(line.p, line.n, names[i], strlen(names[i])))
			return true;
	return false;
}

static bool number(struct rd digits, uint64_t *ret)
{
	uint64_t v = 0;
	uint8_t c;

	rd_prefix(&digits, "+");		/* as a client's library reads numbers */
	if (!rd_left(&digits))
		return false;
	while (rd_left(&digits)) {
		if (!rd_u8(&digits, &c) || c < '0' || c > '9' || v > (INT64_MAX - 9) / 10)
			return false;
		v = 10 * v + (c - '0');
	}
	*ret = v;
	return true;
}

bool lfs_pointer(struct rd blob, uint8_t ret_sha256[32], uint64_t *ret_size)
{
	struct oid oid;
	uint64_t size = 0;
	bool has_oid = false, has_size = false;

	while (rd_left(&blob) && blob.n <= LFS_POINTER_MAX && memchr(" \t\n\v\f\r", blob.p[0], 6) && rd_skip(&blob, 1))
		;
	if (!rd_left(&blob) || blob.n > LFS_POINTER_MAX || !names_format(next_line(&blob)))
		return false;
	while (rd_left(&blob)) {
		struct rd line = next_line(&blob);

		if (rd_prefix(&line, "oid sha256:"))
			has_oid |= oid_parse(line, OBJECT_SHA256, &oid);
		else if (rd_prefix(&line, "size "))
			has_size |= number(line, &size);
	}
	if (!has_oid || !has_size)
		return false;
	memcpy(ret_sha256, oid.byte, 32);
	*ret_size = size;
	return true;
}

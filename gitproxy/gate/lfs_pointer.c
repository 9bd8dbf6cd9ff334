/*
 * lfs_pointer.c - files that stand for an object of Git LFS
 *
 * Theory of operation: a client of LFS takes any file for a pointer whose first line names the
 * format, under its name of today or one of old, and whose beginning is nothing but a pointer and
 * blanks of any alphabet; extensions may stand before that line. It is not strict about line ends, and
 * neither is this, nor, in a small file, about what else stands in it: a pointer that is not seen here
 * would not be checked.
 * Allocates nothing. Fuzzed by tests/fuzz/fuzz_lfs_pointer.c.
 */
#include "gitproxy/gate/lfs_pointer.h"

#include "gitproxy/oid.h"

/* Go's bytes.TrimSpace(): White_Space of Unicode. */
static const char *const blanks[] = {
	" ", "\t", "\n", "\v", "\f", "\r", "\xc2\x85", "\xc2\xa0", "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x81",
	"\xe2\x80\x82", "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86", "\xe2\x80\x87", "\xe2\x80\x88",
	"\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80",
};

static bool blank_before(struct rd *io)
{
	for (size_t i = 0; rd_left(io) && i < ARRAY_SIZE(blanks); i++)
		if (rd_prefix(io, blanks[i]))
			return true;
	return false;
}

static bool blank_behind(struct rd *io)
{
	for (size_t i = 0; i < ARRAY_SIZE(blanks); i++) {
		size_t n = strlen(blanks[i]);

		if (rd_left(io) >= n && !memcmp(io->p + (io->n - n), blanks[i], n)) {
			io->n -= n;
			return true;
		}
	}
	return false;
}

/* What a client reads of it. */
static struct rd begin_of(struct rd blob)
{
	struct rd text;

	if (!rd_take(&blob, blob.n < LFS_POINTER_MAX ? blob.n : LFS_POINTER_MAX, &text))
		return (struct rd){ 0 };
	while (blank_before(&text))
		;
	while (blank_behind(&text))
		;
	return text;
}

static struct rd trimmed(struct rd line)
{
	while (line.n && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t'))
		line.n--;
	return line;
}

static struct rd next_line(struct rd *text)
{
	return trimmed(rd_piece(text, '\n'));
}

static bool extends(struct rd line)
{
	return !rd_left(&line) || rd_prefix(&line, "ext-");
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
	bool has_oid = false, has_size = false, small = blob.n <= LFS_POINTER_MAX;
	struct rd text = begin_of(blob), line = { 0 };

	while (rd_left(&text) && extends(line))
		line = next_line(&text);
	if (!names_format(line))
		return false;
	while (rd_left(&text)) {
		line = next_line(&text);
		if (rd_prefix(&line, "oid sha256:"))
			has_oid |= oid_parse(line, OBJECT_SHA256, &oid);
		else if (rd_prefix(&line, "size "))
			has_size |= number(line, &size);
		else if (!small && !extends(line))
			return false;
	}
	if (!has_oid || !has_size)
		return false;
	memcpy(ret_sha256, oid.byte, 32);
	*ret_size = size;
	return true;
}

/*
 * entry.c - one entry of a pack: its head and its delta
 *
 * Theory of operation: all of it comes from a client. What git would read in another way than we do
 * would be forwarded unseen, so nothing is read leniently: an entry is exactly what gitformat-pack(5)
 * says, a delta uses its base's whole declared size and makes exactly the declared result.
 * Invariants: no allocation; nothing is written behind to->cap.
 * Spec: gitformat-pack(5). Fuzzed by tests/fuzz/fuzz_entry.c.
 */
#include "gitproxy/gate/entry.h"

enum { SHIFT_MAX = 56 };		/* no size needs more */

static bool varint(struct rd *in, unsigned shift, uint64_t *v, uint8_t more)
{
	uint8_t c;

	while (more) {
		if (shift > SHIFT_MAX || !rd_u8(in, &c))
			return false;
		*v |= (uint64_t)(c & 127) << shift;
		shift += 7;
		more = c & 128;
	}
	return true;
}

/* Bytes back: each further byte adds one to what came before, so that no number has two forms. */
static bool offset(struct rd *in, uint64_t *v)
{
	uint8_t c;

	if (!rd_u8(in, &c))
		return false;
	*v = c & 127;
	while (c & 128) {
		if (*v >> SHIFT_MAX || !rd_u8(in, &c))
			return false;
		*v = (*v + 1) << 7 | (c & 127);
	}
	return *v != 0;
}

enum parse entry_head(struct rd *in, enum object_format format, struct entry_head *ret)
{
	struct entry_head h = { 0 };
	uint8_t c;

	if (!rd_u8(in, &c))
		return PARSE_BAD;
	h.type = c >> 4 & 7;
	h.size = c & 15;
	if (h.type == OBJECT_NONE || h.type == 5 || !varint(in, 4, &h.size, c & 128))
		return PARSE_BAD;
	if (h.type == ENTRY_OFS_DELTA && !offset(in, &h.back))
		return PARSE_BAD;
	if (h.type == ENTRY_REF_DELTA && !rd_copy(in, h.base.byte, oid_size(format)))
		return PARSE_BAD;
	*ret = h;
	return PARSE_OK;
}

bool entry_head_write(struct wr *w, enum object_type type, uint64_t size)
{
	uint8_t c = (uint8_t)(type << 4 | (size & 15));

	for (size >>= 4; size; size >>= 7) {
		wr_u8(w, c | 128);
		c = size & 127;
	}
	return wr_u8(w, c);
}

enum parse entry_delta(struct rd *in, struct entry_delta *ret)
{
	struct entry_delta d = { 0 };

	if (!varint(in, 0, &d.base, 1) || !varint(in, 0, &d.result, 1))
		return PARSE_BAD;
	*ret = d;
	return PARSE_OK;
}

/* Offset and length of a copy: their bytes that are not zero, as the opcode's bits say. */
static bool copy_of(struct rd *in, uint8_t op, struct rd base, struct rd *ret)
{
	uint32_t at = 0, n = 0;
	uint8_t c;

	for (unsigned i = 0; i < 4; i++)
		if (op & 1 << i) {
			if (!rd_u8(in, &c))
				return false;
			at |= (uint32_t)c << 8 * i;
		}
	for (unsigned i = 0; i < 3; i++)
		if (op & 16 << i) {
			if (!rd_u8(in, &c))
				return false;
			n |= (uint32_t)c << 8 * i;
		}
	return rd_skip(&base, at) && rd_take(&base, n ? n : 0x10000, ret);
}

enum parse entry_patch(struct rd in, struct rd base, struct wr *to)
{
	struct rd from;
	uint8_t op;

	while (rd_left(&in)) {
		if (!rd_u8(&in, &op))
			return PARSE_BAD;
		if (op & 128 ? !copy_of(&in, op, base, &from) : !op || !rd_take(&in, op, &from))
			return PARSE_BAD;
		if (!wr_rd_all(to, from))
			return PARSE_BAD;
	}
	return rd_ok(&in) && to->n == to->cap ? PARSE_OK : PARSE_BAD;
}

/*
 * inflate.c - the compressed bytes of a pack's entries
 *
 * Theory of operation: an entry says how long it is inflated, so most are inflated at once, into
 * exactly that room (libdeflate); what is too large to be held comes in pieces (zlib). Either way the
 * stream must end where its bytes end, its checksum must be right, and it may not ask for a
 * dictionary. How many compressed bytes it took is where the next entry begins.
 */
#include <errno.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <zlib.h>

#include "gitproxy/gate/entry.h"

enum { PIECE = 256 << 10, STEP = 1 << 30 };

struct inflater {
	struct libdeflate_decompressor *whole;
	z_stream z;
	bool z_ready;
	uint8_t *piece;
};

int inflater_new(struct inflater **ret)
{
	AUTO(inflater) struct inflater *z = calloc(1, sizeof(*z));

	if (!z)
		return -ENOMEM;
	z->whole = libdeflate_alloc_decompressor();
	if (!z->whole)
		return -ENOMEM;
	*ret = STEAL(z);
	return 0;
}

void inflater_free(struct inflater *z)
{
	if (!z)
		return;
	if (z->whole)
		libdeflate_free_decompressor(z->whole);
	if (z->z_ready)
		inflateEnd(&z->z);
	free(z->piece);
	free(z);
}

enum parse inflater_whole(struct inflater *z, struct rd in, uint8_t *to, size_t n, size_t *ret_used)
{
	uint8_t none;
	size_t used = 0, made = 0;

	if (!in.n || libdeflate_zlib_decompress_ex(z->whole, in.p, in.n, n ? to : &none, n, &used, &made) != LIBDEFLATE_SUCCESS ||
	    made != n || used > in.n)
		return PARSE_BAD;
	*ret_used = used;
	return PARSE_OK;
}

static bool ready(struct inflater *z)
{
	if (!z->piece)
		z->piece = malloc(PIECE);
	if (!z->piece)
		return false;
	if (z->z_ready)
		return inflateReset(&z->z) == Z_OK;
	z->z_ready = inflateInit(&z->z) == Z_OK;
	return z->z_ready;
}

/* The next piece: Z_OK, Z_STREAM_END; everything else is bad. */
static int step(z_stream *s, struct rd in, size_t used)
{
	size_t left = in.n - used;

	s->next_in = (Bytef *)(uintptr_t)(in.p + used);
	s->avail_in = left < STEP ? (uInt)left : STEP;
	return inflate(s, Z_NO_FLUSH);
}

enum parse inflater_stream(struct inflater *z, struct rd in, uint64_t n, struct inflater_sink *sink, size_t *ret_used)
{
	size_t used = 0;
	int r = Z_OK;

	if (!ready(z))
		return PARSE_BAD;
	while (r == Z_OK) {
		size_t before;

		z->z.next_out = z->piece;
		z->z.avail_out = PIECE;
		before = used;
		r = step(&z->z, in, used);
		used = (size_t)(z->z.next_in - in.p);
		if (PIECE - z->z.avail_out > n || (r == Z_OK && used == before && z->z.avail_out == PIECE))
			return PARSE_BAD;
		n -= PIECE - z->z.avail_out;
		if (!sink->piece(sink, rd_of(z->piece, PIECE - z->z.avail_out)))
			return PARSE_MORE;
	}
	if (r != Z_STREAM_END || n)
		return PARSE_BAD;
	*ret_used = used;
	return PARSE_OK;
}

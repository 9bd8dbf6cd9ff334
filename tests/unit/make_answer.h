/*
 * make_answer.h - answers to a fetch, for tests: packs that hold no objects but are whole
 */
#ifndef UNIT_MAKE_ANSWER_H
#define UNIT_MAKE_ANSWER_H

#include "gitproxy/pack_check.h"
#include "tests/unit/make_pkts.h"

/* A header, n bytes of any kind, a trailer. */
static inline void make_pack(struct wr *w, enum object_format format, size_t n)
{
	const EVP_MD *md = format == OBJECT_SHA256 ? EVP_sha256() : EVP_sha1();
	size_t start = w->n;
	uint8_t sum[EVP_MAX_MD_SIZE];

	wr_put(w, "PACK\0\0\0\2\0\0\0\0", PACK_HEAD);
	for (size_t i = 0; i < n; i++)
		wr_u8(w, (uint8_t)(i * 7));
	if (!wr_ok(w) || EVP_Digest(w->p + start, w->n - start, sum, NULL, md, NULL) != 1 ||
	    !wr_put(w, sum, oid_size(format)))
		abort();
}

/* Bytes on a band, in packets of `step`. */
static inline void make_band(struct wr *w, unsigned band, struct rd bytes, size_t step)
{
	uint8_t one[PKT_DATA_MAX];
	struct rd part;

	do {
		struct wr p = wr_of(one, sizeof(one));

		if (!rd_take(&bytes, bytes.n < step ? bytes.n : step, &part) ||
		    !wr_u8(&p, (uint8_t)band) || !wr_rd_all(&p, part) || !pkt_write(w, wr_rd(&p)))
			abort();
	} while (rd_left(&bytes));
}

/* A whole answer with a pack of n bytes of content. */
static inline void make_answer(struct wr *w, size_t n)
{
	uint8_t *pack = malloc(n + 64);
	struct wr p = wr_of(pack, n + 64);

	if (!pack)
		abort();
	make_pack(&p, OBJECT_SHA1, n);
	make_pkts(w, "packfile");
	make_band(w, 1, wr_rd(&p), 1000);
	make_pkts(w, "0000");
	free(pack);
}

#endif

/*
 * fuzz_lfs_batch.c - a client's batch request
 *
 * What is taken is bounded, and asked of upstream in words that are read back as the same.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gitproxy/front/lfs_batch.h"
#include "gitproxy/keeper/lfs_answer.h"

static void check_again(const struct lfs_batch *b)
{
	size_t cap = LFS_ASK_HEAD + b->n * LFS_ASK_ENTRY;
	AUTO(mem) uint8_t *text = malloc(cap);
	struct wr w = wr_of(text, cap);
	struct lfs_batch again;

	lfs_ask_write(&w, b->upload, b->object, b->n);
	if (!wr_ok(&w) || lfs_batch_read(wr_rd(&w), &again) != PARSE_OK)
		abort();
	if (again.n != b->n || again.upload != b->upload || memcmp(again.object, b->object, b->n * sizeof(*b->object)))
		abort();
	lfs_batch_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct lfs_batch b;

	if (lfs_batch_read(rd_of(data, n), &b) != PARSE_OK) {
		if (b.object)
			abort();
		return 0;
	}
	if (!b.n || b.n > LFS_BATCH_MAX)
		abort();
	check_again(&b);
	lfs_batch_done(&b);
	return 0;
}

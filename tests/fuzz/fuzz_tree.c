/*
 * fuzz_tree.c - trees: entries fill the bytes, and what is taken strictly is taken leniently, as the same
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gitproxy/gate/tree.h"

static void one(struct rd in, size_t oid_size)
{
	struct tree_entry e, f;
	enum dotgit dotgit;

	while (rd_left(&in)) {
		struct rd at = in, lenient = in;

		if (!tree_next(&in, oid_size, &e)) {
			if (tree_bad_entry(at) == FAULT_NONE || in.n != at.n)
				abort();
			break;
		}
		if (e.size != at.n - in.n || e.kind == TREE_NONE || e.oid + oid_size != at.p + e.size)
			abort();
		if (!tree_next_lenient(&lenient, oid_size, &f) || f.kind != e.kind || f.size != e.size)
			abort();
		if (tree_entry_fault(&e, oid_size, &dotgit) == FAULT_NONE && dotgit == DOTGIT_DIRECTORY)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct rd in = rd_of(data, n);

	one(in, 20);
	one(in, 32);
	dotgit_of(in);
	if (tree_order(in, true, in, true) || tree_order(in, false, in, false))
		abort();
	return 0;
}

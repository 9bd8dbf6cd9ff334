/*
 * fuzz_commit.c - commits and tags, in both formats: what is taken strictly is taken leniently, as the same
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gitproxy/gate/commit.h"

static void one(struct rd in, enum object_format format)
{
	struct commit strict = { 0 }, lenient = { 0 };
	enum fault f = commit_parse(in, format, &strict);
	struct oid oid;
	uint32_t n = 0;
	struct tag t = { 0 };

	if (f == FAULT_UNKNOWN || !fault_text(f))
		abort();
	if (f == FAULT_NONE) {
		if (commit_parse_lenient(in, format, &lenient) != FAULT_NONE || oid_compare(&strict.tree, &lenient.tree) ||
		    strict.n_parents != lenient.n_parents || strict.date != lenient.date)
			abort();
		while (commit_parent(&strict.parents, format, &oid))
			n++;
		if (n != strict.n_parents || rd_left(&strict.parents) || memchr(in.p, '\0', in.n))
			abort();
	}
	if (tag_parse(in, format, &t) == FAULT_NONE && (t.type == OBJECT_NONE || f == FAULT_NONE))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	one(rd_of(data, n), OBJECT_SHA1);
	one(rd_of(data, n), OBJECT_SHA256);
	return 0;
}

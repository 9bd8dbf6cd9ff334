/*
 * fuzz_ls_refs.c - upstream's references: what is taken is sorted, found, and in no name a path
 * that climbs; the first byte chooses the object format
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <stdlib.h>

#include "gitproxy/mirror/ls_refs.h"
#include "gitproxy/refname.h"

static void check(const struct ls_refs *refs, const struct ls_ref *ref)
{
	if (ls_refs_find(refs, ref->name) != ref)
		abort();
	if (!rd_eq_str(ref->name, "HEAD") && !refname_ok(ref->name))
		abort();
	if (memmem(ref->name.p, ref->name.n, "..", 2) || memchr(ref->name.p, 0, ref->name.n))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t digest[LS_REFS_GENERATION];
	enum object_format format;
	struct ls_refs refs;
	struct ls_ref first;
	struct rd error;

	if (!n)
		return 0;
	format = data[0] & 1 ? OBJECT_SHA256 : OBJECT_SHA1;
	if (ls_refs_first(rd_of(data + 1, n - 1), format, &first) == PARSE_OK &&
	    !rd_eq_str(first.name, "HEAD") && !refname_ok(first.name))
		abort();
	if (ls_refs_parse(rd_of(data + 1, n - 1), format, 100, &refs, &error) < 0)
		return 0;
	for (size_t i = 0; i < refs.n; i++)
		check(&refs, &refs.ref[i]);
	if (ls_refs_generation(&refs, digest) < 0)
		abort();
	ls_refs_done(&refs);
	return 0;
}

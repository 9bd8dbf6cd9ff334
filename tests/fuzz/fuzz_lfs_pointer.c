/*
 * fuzz_lfs_pointer.c - pointers of LFS: one that is found is small and says its size
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gitproxy/gate/lfs_pointer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t sha256[32];
	uint64_t size = UINT64_MAX;

	if (lfs_pointer(rd_of(data, n), sha256, &size) && (size > INT64_MAX || !memmem(data, n, "oid sha256:", 11)))
		abort();
	return 0;
}

/*
 * fuzz_push_list.c - a list that is taken can be written, within its bound, and names no path that climbs
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gitproxy/push_command.h"

static void check_commands(const struct push_list *l)
{
	for (size_t i = 0; i < l->n_commands; i++) {
		const struct push_command *c = push_list_command(l, i);

		if (strstr(c->ref, "..") || strchr(c->ref, '\n') || strchr(c->ref, ' '))
			abort();
		if (push_command_creates(c) && push_command_deletes(c))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(mem) void *bytes = malloc(n ? n : 1);
	AUTO(mem) uint8_t *out = NULL;
	struct push_list *l = bytes;
	struct wr w;

	if (n)
		memcpy(bytes, data, n);
	if (!push_list_ok(rd_of(bytes, n)))
		return 0;
	check_commands(l);
	out = malloc(push_list_bound(l));
	w = wr_of(out, push_list_bound(l));
	if (!push_list_write(&w, l))
		abort();
	return 0;
}

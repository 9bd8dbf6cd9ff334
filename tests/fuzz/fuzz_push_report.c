/*
 * fuzz_push_report.c - upstream's report, with bands and without: no control character gets through, and our
 * own report of it is within its bound; the first byte chooses bands and the size of the pieces
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gitproxy/mirror/push_report.h"

static void check_text(struct rd text, bool lines)
{
	uint8_t c;

	while (rd_left(&text))
		if (!rd_u8(&text, &c) || c == 0x7f || (c < 0x20 && !(lines && (c == '\n' || c == '\r' || c == '\t'))))
			abort();
}

static void heard(void *owner, struct rd text)
{
	(void)owner;
	check_text(text, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct { struct push_list list; struct push_command command[2]; } m = { .list = { .n_commands = 2 } };
	struct push_told told[2] = { 0 };
	AUTO(push_upstream) struct push_upstream *u = NULL;
	uint8_t out[4096];
	struct wr w = wr_of(out, push_report_bound(&m.list));
	struct rd all, part;

	if (!n)
		return 0;
	m.list.upstream = data[0] & 0x80 ? PUSH_SIDE_BAND : 0;
	strcpy(m.command[0].ref, "refs/heads/b");
	strcpy(m.command[1].ref, "refs/heads/a");
	if (push_upstream_new(&m.list, m.list.upstream, told, heard, NULL, &u) < 0)
		return 0;
	all = rd_of(data + 1, n - 1);
	while (rd_left(&all) && rd_take(&all, all.n < (data[0] & 0x7fu) + 1 ? all.n : (data[0] & 0x7fu) + 1, &part))
		if (push_upstream_next(u, part) == PARSE_BAD)
			break;
	check_text(rd_str(told[0].why), false);
	check_text(rd_str(push_upstream_error(u)), false);
	if (!push_report_write(&w, &m.list, told, push_upstream_error(u)))
		abort();
	return 0;
}

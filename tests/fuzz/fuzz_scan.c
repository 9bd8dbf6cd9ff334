/*
 * fuzz_scan.c - the scanner against PCRE2 alone
 *
 * The first two bytes are the size of segments and of pieces, the third how often the text is repeated;
 * the text is written as the rules' examples are (<alnum:36>). Whole, in small segments and in pieces the
 * same is found, and that is what each rule's regex finds from the beginning on, without candidates.
 */
#include "tests/fuzz/fuzz.h"

#include "gitproxy/scan/engine.h"
#include "tests/unit/scan_fixture.h"

enum { TEXT_MAX = 4096, REPEATS = 64 };

static void same(const struct scan_got *a, const struct scan_got *b)
{
	if (a->n != b->n)
		abort();
	for (size_t i = 0; i < a->n; i++) {
		size_t k = 0;

		while (k < b->n && (a->at[i].rule != b->at[k].rule || a->at[i].line != b->at[k].line ||
				    a->at[i].column != b->at[k].column ||
				    strcmp(a->at[i].fingerprint, b->at[k].fingerprint)))
			k++;
		if (k == b->n)
			abort();
	}
}

/* How many secrets of all rules PCRE2 finds, overlapping ones once. */
static size_t oracle(const struct scan_fixture *f, struct scan_matcher *m, struct rd in)
{
	static struct scan_hit hits[8192];
	size_t n = 0, told = 0;

	for (size_t rule = 0; rule < f->rules->n; rule++) {
		struct scan_window w = { .bytes = in, .last = in.n, .to = in.n, .begins = true };
		enum scan_match v;

		while (n < ARRAY_SIZE(hits) &&
		       (v = scan_confirm(f->engine, m, rule, "a", &w, &w.from, &hits[n])) != SCAN_MATCH_NONE) {
			if (v == SCAN_MATCH_FAILED)
				return SIZE_MAX;
			n += v == SCAN_MATCH_SECRET;
		}
	}
	for (size_t i = 0; i < n; i++) {
		bool dropped = false;

		for (size_t k = 0; k < n; k++)
			dropped |= hits[k].rule < hits[i].rule && hits[k].start < hits[i].end &&
				   hits[i].start < hits[k].end;
		told += !dropped;
	}
	return told;
}

static void check(struct scan_fixture *f, struct scan_matcher *m, struct rd in, size_t piece)
{
	static struct scan_got whole, segments, pieces;
	AUTO(scan_scratch) struct scan_scratch *small = NULL;
	enum scan_verdict v, w;

	scan_got_init(&whole);
	scan_got_init(&segments);
	scan_got_init(&pieces);
	v = scan_buffer(f->scratch, "a", in, &whole.sink);
	if (v != SCAN_CLEAN && v != SCAN_FOUND)
		return;
	if (whole.n != oracle(f, m, in) || scan_scratch_new(f->engine, &small))
		abort();
	scan_scratch_resize(small, piece, piece);
	w = scan_buffer(small, "a", in, &segments.sink);
	if (v != w)
		abort();
	same(&whole, &segments);
	scan_begin(small, "a", &pieces.sink);
	for (struct rd now; rd_left(&in);)
		if (!rd_take(&in, in.n < piece ? in.n : piece, &now) || !scan_feed(small, now))
			abort();
	if (scan_end(small) != v)
		abort();
	same(&whole, &pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct scan_fixture f;
	static struct scan_matcher m;
	static char text[REPEATS * 16384];
	AUTO(mem) char *one = NULL;
	char in[TEXT_MAX + 1];
	size_t length, total = 0;

	if (!f.engine) {
		scan_fixture_init(&f);
		if (scan_matcher_init(f.engine, &m))
			abort();
	}
	if (n < 4 || n - 3 > TEXT_MAX)
		return 0;
	memcpy(in, data + 3, n - 3);
	in[n - 3] = 0;
	one = scan_example(in, 1 + data[2]);
	length = strlen(one);
	for (int i = 0; i <= data[2] % REPEATS && length; i++, total += length)
		memcpy(text + total, one, length);
	check(&f, &m, rd_of(text, total), 256 + data[0] + 256u * (data[1] % 16));
	return 0;
}

/*
 * scan.c - one object, segment by segment
 *
 * Theory of operation: per segment Vectorscan looks for the ends of all rules' matches; each end is
 * looked at by PCRE2 in a window that holds any match with that end whole. Per rule `from` is where
 * its next match may start, so that matches do not overlap, every byte is a start once, and a run
 * of ends costs nothing.
 *
 * What is found does not depend on how the object is cut: a segment other than the last decides
 * matches that start before `limit`, which leaves room for the longest match and what is looked at
 * around it; the next segment begins as far before limit as anything looks back (keep).
 *
 * Fuzzed by tests/fuzz/fuzz_scan.c, against PCRE2 alone over the whole object.
 */
#include "gitproxy/scan/scan.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "gitproxy/scan/settle.h"

/* Behind a start: the longest match, what keywords look at, one byte for \b and $. Before: too. */
enum { AHEAD = SCAN_WIDTH_MAX + SCAN_NEAR + 2, BEHIND = SCAN_NEAR + 1, AROUND = AHEAD + BEHIND };

int scan_scratch_new(const struct scan *e, struct scan_scratch **ret)
{
	AUTO(scan_scratch) struct scan_scratch *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->e = e;
	scan_scratch_resize(s, SCAN_SEGMENT, SCAN_PIECE);
	s->from = calloc(e->rules->n, sizeof(*s->from));
	if (!s->from || hs_alloc_scratch(e->regexes, &s->hs) != HS_SUCCESS ||
	    scan_matcher_init(e, &s->matcher) < 0)
		return -ENOMEM;
	*ret = STEAL(s);
	return 0;
}

void scan_scratch_resize(struct scan_scratch *s, size_t segment_bytes, size_t piece)
{
	s->segment_max = segment_bytes + AROUND;
	s->stream_max = piece + AROUND;
}

void scan_scratch_free(struct scan_scratch *s)
{
	if (!s)
		return;
	if (s->stream) {
		OPENSSL_cleanse(s->stream, s->stream_max);
		munmap(s->stream, s->stream_max);
	}
	scan_matcher_done(&s->matcher);
	hs_free_scratch(s->hs);
	free(s->from);
	free(s);
}

static void keep_hit(struct scan_scratch *s)
{
	struct scan_hit *h = &s->hit[s->hits++];

	h->start += s->base;
	h->end += s->base;
	s->cut = s->hits == SCAN_HITS_MAX;
}

/* All matches of the rule up to the one that ends at `end`. False: failed, or enough. */
static bool look(struct scan_scratch *s, size_t rule, size_t end)
{
	size_t width = s->e->judge[rule].width, *from = &s->from[rule];
	size_t last = end < s->limit ? end : s->limit - 1, first = end > width ? end - width : 0;

	while (!s->cut && first <= last && *from <= last && *from < end) {
		struct scan_window w = {
			.bytes = s->bytes, .last = last, .begins = s->begins,
			.from = first > *from ? first : *from,
			.to = s->bytes.n - last > width + 1 ? last + width + 1 : s->bytes.n,
		};
		size_t match_end = 0;
		enum scan_match v = scan_confirm(s->e, &s->matcher, rule, s->path, &w, &match_end,
						 &s->hit[s->hits]);

		s->failed |= v == SCAN_MATCH_FAILED;
		if (s->failed)
			return false;
		*from = v == SCAN_MATCH_NONE ? last + 1 : match_end;
		if (v == SCAN_MATCH_SECRET)
			keep_hit(s);
	}
	return !s->cut;
}

static int on_candidate(unsigned id, unsigned long long from, unsigned long long to, unsigned flags, void *ctx)
{
	struct scan_scratch *s = ctx;

	(void)from, (void)flags;
	return !look(s, id, (size_t)to);
}

/* How many bytes are decided, and need not be given again; 0 when it failed. */
static size_t segment(struct scan_scratch *s, struct rd bytes, bool final)
{
	hs_error_t r;
	size_t keep;

	s->bytes = bytes;
	s->limit = final ? bytes.n + 1 : bytes.n - AHEAD;
	keep = final ? bytes.n : s->limit - BEHIND;
	if (s->begins && bytes.n >= 3 && !memcmp(bytes.p, "\xef\xbb\xbf", 3))
		s->column -= 3;
	r = hs_scan(s->e->regexes, (const char *)bytes.p, (unsigned)bytes.n, 0, s->hs, on_candidate, s);
	s->failed |= r != HS_SUCCESS && r != HS_SCAN_TERMINATED;
	scan_settle(s, final || s->cut);
	if (!final)
		scan_walk(s, 0, keep, &s->line, &s->column);
	for (size_t i = 0; i < s->e->rules->n; i++)
		/* Starts before limit are decided; the first byte to come lacks the one before it. */
		s->from[i] = (s->from[i] > s->limit ? s->from[i] : s->limit) - keep;
	s->base += keep;
	s->begins = false;
	return s->failed ? 0 : keep;
}

static void reset(struct scan_scratch *s, const char *path, struct scan_sink *sink)
{
	s->path = path;
	s->sink = sink;
	s->failed = s->cut = false;
	s->base = 0;
	s->begins = true;
	s->told = s->hits = s->stream_n = 0;
	s->line = s->column = 1;
	memset(s->from, 0, s->e->rules->n * sizeof(*s->from));
}

static enum scan_verdict verdict(const struct scan_scratch *s)
{
	return s->failed ? SCAN_FAILED : s->cut ? SCAN_CUT : s->told ? SCAN_FOUND : SCAN_CLEAN;
}

enum scan_verdict scan_buffer(struct scan_scratch *s, const char *path, struct rd bytes, struct scan_sink *sink)
{
	struct rd now;

	reset(s, path, sink);
	while (!s->failed && !s->cut && bytes.n > s->segment_max) {
		size_t done = segment(s, rd_of(bytes.p, s->segment_max), false);

		if (!rd_take(&bytes, done, &now))
			s->failed = true;
	}
	if (!s->failed && !s->cut && bytes.n)
		segment(s, bytes, true);
	return verdict(s);
}

void scan_begin(struct scan_scratch *s, const char *path, struct scan_sink *sink)
{
	reset(s, path, sink);
	if (s->stream)
		return;
	s->stream = mmap(NULL, s->stream_max, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s->stream == MAP_FAILED) {
		s->stream = NULL;
		s->failed = true;
		return;
	}
	/* Under a small limit it may not be locked; it is never in a core file. */
	mlock(s->stream, s->stream_max);
	madvise(s->stream, s->stream_max, MADV_DONTDUMP);
}

/* The buffer is full: decide what can be, and move the rest to its beginning. */
static void drain(struct scan_scratch *s)
{
	size_t done = segment(s, rd_of(s->stream, s->stream_n), false);

	s->stream_n -= done;
	memmove(s->stream, s->stream + done, s->stream_n);
}

bool scan_feed(struct scan_scratch *s, struct rd bytes)
{
	struct rd now;

	while (!s->failed && !s->cut && rd_left(&bytes)) {
		size_t room = s->stream_max - s->stream_n;

		if (!room) {
			drain(s);
			continue;
		}
		if (!rd_take(&bytes, bytes.n < room ? bytes.n : room, &now))
			s->failed = true;
		memcpy(s->stream + s->stream_n, now.p, now.n);
		s->stream_n += now.n;
	}
	return !s->failed;
}

enum scan_verdict scan_end(struct scan_scratch *s)
{
	if (!s->failed && !s->cut && s->stream_n)
		segment(s, rd_of(s->stream, s->stream_n), true);
	if (s->stream)
		OPENSSL_cleanse(s->stream, s->stream_n);
	return verdict(s);
}

/*
 * test_scan_borders.c - findings do not depend on where in an object a secret stands, nor on how it comes
 *
 * Theory of operation: each rule's first example is found once, alone; then the same finding is wanted
 * behind fillers of every length around the place where one segment ends and the next begins, whole and
 * in pieces, with any line ends and marks.
 */
#include "gitproxy/scan/engine.h"

#include <errno.h>

#include "tests/unit/check.h"
#include "tests/unit/scan_fixture.h"

enum { SMALL = 512, OBJECT_MAX = 64 << 10 };
enum { SEGMENT = SMALL + SCAN_WIDTH_MAX + 2 * SCAN_NEAR + 3 };	/* of a scratch that was made small */

static enum scan_verdict feed(struct scan_fixture *f, const uint8_t *p, size_t n, size_t step, struct scan_got *g)
{
	scan_got_init(g);
	if (!step)
		return scan_buffer(f->scratch, "a", rd_of(p, n), &g->sink);
	scan_begin(f->scratch, "a", &g->sink);
	for (size_t at = 0; at < n; at += step)
		scan_feed(f->scratch, rd_of(p + at, n - at < step ? n - at : step));
	return scan_end(f->scratch);
}

static const struct scan_finding *only(const struct scan_got *g, const struct scan_rule *r)
{
	const struct scan_finding *found = NULL;

	for (size_t i = 0; i < g->n; i++) {
		if (g->at[i].rule != r)
			continue;
		if (found)
			return NULL;
		found = &g->at[i];
	}
	return found;
}

/* `filler` bytes in lines of 50, the example, `after` bytes: found once, at its place. */
static void check_shifted(struct scan_fixture *f, const struct scan_rule *r, const char *text,
			  const struct scan_finding *want, size_t filler, size_t after, size_t step)
{
	size_t length = strlen(text), n = filler + length + after;
	AUTO(mem) uint8_t *in = malloc(n);
	const struct scan_finding *is;
	struct scan_got g;

	memset(in, '.', n);
	for (size_t i = 49; i < filler; i += 50)
		in[i] = '\n';
	if (filler)
		in[filler - 1] = '\n';
	memcpy(in + filler, text, length);
	if (after)
		in[filler + length] = '\n';
	feed(f, in, n, step, &g);
	is = only(&g, r);
	if (!is || strcmp(is->fingerprint, want->fingerprint))
		CHECK_FAIL("%s: %zu before, %zu after, steps of %zu: %s", r->id, filler, after, step,
			   is ? "another secret" : "not found once");
	else if (is->line != want->line + (filler + 49) / 50 || is->column != want->column)
		CHECK_FAIL("%s: %zu before: line %zu column %zu", r->id, filler, (size_t)is->line,
			   (size_t)is->column);
}

static void fixture_small(struct scan_fixture *f)
{
	scan_fixture_init(f);
	scan_scratch_resize(f->scratch, SMALL, SMALL);
}

TEST(shifted_over_borders)
{
	static const size_t steps[] = { 0, 1 << 20, 997, 61 };
	struct scan_fixture f;

	fixture_small(&f);
	for (size_t i = 0; i < f.rules->n; i++) {
		const struct scan_rule *r = &f.rules->rule[i];
		AUTO(mem) char *text = scan_example(r->secret.text[0], 4711);
		struct scan_got g;
		struct scan_finding want;
		size_t n = strlen(text);

		feed(&f, (uint8_t *)text, n, 0, &g);
		if (!only(&g, r)) {
			CHECK_FAIL("%s: not found once alone", r->id);
			continue;
		}
		want = *only(&g, r);
		for (size_t k = 0; k < 60; k++)		/* over the first and the second border */
			check_shifted(&f, r, text, &want, SMALL - n % SMALL + k * 37, SEGMENT, steps[k % ARRAY_SIZE(steps)]);
		check_shifted(&f, r, text, &want, SEGMENT - n, 0, 0);
		check_shifted(&f, r, text, &want, SEGMENT - n / 2, 0, 61);
		check_shifted(&f, r, text, &want, SEGMENT - 1, 0, 1);
	}
	scan_fixture_done(&f);
}

/* What begins a word there does not begin one because a segment does. */
TEST(no_word_begins_at_a_border)
{
	AUTO(mem) char *text = scan_example("xghp_<alnum:36>", 5);
	AUTO(mem) uint8_t *in = malloc(3 * SEGMENT);
	struct scan_fixture f;
	struct scan_got g;

	fixture_small(&f);
	for (size_t at = 0; at < 2 * SMALL; at++) {
		memset(in, '.', 3 * SEGMENT);
		memcpy(in + at, text, strlen(text));
		CHECK_EQ("whole", feed(&f, in, 3 * SEGMENT, 0, &g), SCAN_CLEAN);
	}
	scan_fixture_done(&f);
}

/* How files end and begin on other systems. */
TEST(marks_and_line_ends)
{
	static const struct { const char *what, *before, *after; uint64_t line, column; } rows[] = {
		{ "bare", "", "", 1, 1 }, { "newline", "", "\n", 1, 1 }, { "CRLF", "a\r\n", "\r\nb\r\n", 2, 1 },
		{ "BOM", "\xef\xbb\xbf", "\n", 1, 1 }, { "BOM and a line", "\xef\xbb\xbf" "x\n ", "", 2, 2 },
		{ "old Macs", "a\r", "\rb", 1, 3 }, { "column", "\n\n  \"", "\"", 3, 4 }, { "Latin 1", "\xe4\xf6 ", "\xfc", 1, 4 },
	};
	AUTO(mem) char *token = scan_example("ghp_<alnum:36>", 5);
	struct scan_fixture f;
	char first[SCAN_FINGERPRINT_MAX] = "";

	scan_fixture_init(&f);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct scan_got g;
		char text[128];
		int n = snprintf(text, sizeof(text), "%s%s%s", rows[i].before, token, rows[i].after);

		for (size_t step = 0; step < 4; step++) {
			CHECK_EQ(rows[i].what, feed(&f, (uint8_t *)text, (size_t)n, step, &g), SCAN_FOUND);
			CHECK_EQ(rows[i].what, g.n, 1);
			CHECK_EQ(rows[i].what, g.at[0].line, rows[i].line);
			CHECK_EQ(rows[i].what, g.at[0].column, rows[i].column);
			if (*first)
				CHECK_STR(rows[i].what, g.at[0].fingerprint, first);
			memcpy(first, g.at[0].fingerprint, sizeof(first));
		}
	}
	scan_fixture_done(&f);
}

/* The real sizes, once: a secret in the middle of the border of 1 MiB and of 16 MiB. */
TEST(over_the_real_borders)
{
	AUTO(mem) char *token = scan_example("x = ghp_<alnum:36>", 5);
	size_t n = SCAN_SEGMENT + (1 << 20), length = strlen(token);
	AUTO(mem) uint8_t *in = malloc(n);
	struct scan_fixture f;
	struct scan_got g;
	uint64_t line;

	scan_fixture_init(&f);
	memset(in, '\n', n);
	for (size_t at = 1; at <= SCAN_SEGMENT / SCAN_PIECE; at++)
		memcpy(in + at * (SCAN_PIECE + SCAN_WIDTH_MAX / 16) - length / 2, token, length);
	CHECK_EQ("whole", feed(&f, in, n, 0, &g), SCAN_FOUND);
	CHECK_EQ("whole", g.n, SCAN_SEGMENT / SCAN_PIECE);
	line = g.at[g.n - 1].line;
	CHECK_EQ("pieces", feed(&f, in, n, 8192, &g), SCAN_FOUND);
	CHECK_EQ("pieces", g.n, SCAN_SEGMENT / SCAN_PIECE);
	CHECK_EQ("pieces", g.at[g.n - 1].line, line);
	scan_fixture_done(&f);
}

TEST(too_many_findings_are_cut)
{
	struct scan_fixture f;
	struct scan_got g;
	AUTO(mem) char *in = calloc(1, OBJECT_MAX);
	size_t n = 0;

	scan_fixture_init(&f);
	for (uint32_t i = 1; i <= SCAN_FINDINGS_MAX + 1; i++) {
		AUTO(mem) char *token = scan_example("ghp_<alnum:36>\n", i * 7919);

		if (i == SCAN_FINDINGS_MAX + 1)
			CHECK_EQ("as many as it takes", feed(&f, (uint8_t *)in, n, 0, &g), SCAN_FOUND);
		memcpy(in + n, token, strlen(token));
		n += strlen(token);
	}
	CHECK_EQ("one more", feed(&f, (uint8_t *)in, n, 0, &g), SCAN_CUT);
	CHECK_EQ("told", g.n, SCAN_FINDINGS_MAX);
	CHECK_EQ("one more", feed(&f, (uint8_t *)in, n, 100, &g), SCAN_CUT);
	CHECK_EQ("the next object", feed(&f, (uint8_t *)"x", 1, 0, &g), SCAN_CLEAN);
	scan_fixture_done(&f);
}

/* What can be known of a secret from what is told: the same one or not. */
TEST(fingerprints)
{
	char a[SCAN_FINGERPRINT_MAX], b[SCAN_FINGERPRINT_MAX];
	AUTO(mem) char *big = calloc(1, SCAN_WIDTH_MAX + 1);

	CHECK("made", scan_fingerprint("r", rd_str("one two\r\nthree"), a) && scan_fingerprint_ok(a));
	CHECK("made", scan_fingerprint("r", rd_str("onetwo\\nthree"), b));
	CHECK_STR("white space", a, b);
	CHECK("made", scan_fingerprint("q", rd_str("onetwothree"), b));
	CHECK("by rule", strcmp(a, b) != 0);
	CHECK("made", scan_fingerprint("r", rd_str("onetwothreE"), b));
	CHECK("by secret", strcmp(a, b) != 0);
	CHECK("too long", !scan_fingerprint("r", rd_of(big, SCAN_WIDTH_MAX + 1), b));
	CHECK("form", !scan_fingerprint_ok("") && !scan_fingerprint_ok("0123456789abcdef0123456789abcdeF"));
}

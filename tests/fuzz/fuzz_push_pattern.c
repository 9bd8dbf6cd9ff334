/*
 * fuzz_push_pattern.c - patterns of pushes, against another way to match them
 *
 * The first byte says whether case counts; then the pattern up to a NUL, then the text. What is plain about a
 * name holds for every name that is let through; and a short pattern must match what a matcher by trial does.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "policy/push.h"
#include "policy/push_pattern.h"

enum { SHORT = 16 };

static void must(bool ok)
{
	if (!ok)
		abort();
}

static uint8_t low(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

/* Does the rest of the pattern stand for the rest of the text? */
static bool trial(const char *p, bool begins, struct rd t, bool fold)
{
	size_t run = strspn(p, "*");

	if (!*p)
		return !t.n;
	if (p[0] == '/' && !p[1])				/* goes on as if ** followed */
		return t.n && t.p[0] == '/';
	if (!run) {
		uint8_t a = (uint8_t)*p, b = t.n ? t.p[0] : 0;

		return t.n && (fold ? low(a) == low(b) : a == b) && trial(p + 1, *p == '/', rd_of(t.p + 1, t.n - 1), fold);
	}
	if (run > 1 && begins && p[run] == '/') {		/* any number of whole components */
		if (trial(p + run + 1, true, t, fold) || !p[run + 1])
			return true;
		for (size_t i = 0; i < t.n; i++)
			if (t.p[i] == '/' && trial(p + run + 1, true, rd_of(t.p + i + 1, t.n - i - 1), fold))
				return true;
		return false;
	}
	for (size_t i = 0; i <= t.n; i++) {
		if (trial(p + run, false, rd_of(t.p + i, t.n - i), fold))
			return true;
		if (i < t.n && run == 1 && t.p[i] == '/')
			return false;
	}
	return false;
}

static void check_name(struct rd text)
{
	char name[PUSH_PATTERN_MAX];

	if (!push_ref_plain(text, false))
		return;
	must(text.n > 5 && !memcmp(text.p, "refs/", 5) && !memchr(text.p, '\0', text.n) && !memchr(text.p, ' ', text.n));
	must(!memmem(text.p, text.n, "..", 2) && !memmem(text.p, text.n, "//", 2) && text.p[text.n - 1] != '/');
	if (text.n >= sizeof(name))
		return;
	memcpy(name, text.p, text.n);
	name[text.n] = '\0';
	must(!push_ref_pattern_fault(name) == !push_ref_reserved(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct rd all = rd_of(data, n), pattern;
	char text[PUSH_PATTERN_MAX];
	enum pattern_match got;
	uint8_t flags;

	if (!rd_u8(&all, &flags) || !memchr(all.p, '\0', all.n) || !rd_until(&all, '\0', &pattern) ||
	    pattern.n >= sizeof(text))
		return 0;
	memcpy(text, pattern.p, pattern.n);
	text[pattern.n] = '\0';
	check_name(all);
	push_path_pattern_fault(text);
	got = push_pattern_match(text, all, flags & 1);
	if (pattern.n > SHORT || all.n > SHORT || !pattern.n)
		return 0;
	must((got == PATTERN_MATCHES) == trial(text, true, all, flags & 1));
	/* What may begin a match cannot be ruled out by one byte less. */
	if (got != PATTERN_NOT && all.n)
		must(push_pattern_match(text, rd_of(all.p, all.n - 1), flags & 1) != PATTERN_NOT);
	return 0;
}

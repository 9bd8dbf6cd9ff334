/*
 * scan_fixture.h - the builtin rules compiled, their examples written out, findings collected
 */
#ifndef UNIT_SCAN_FIXTURE_H
#define UNIT_SCAN_FIXTURE_H

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gitproxy/scan/scan.h"

struct scan_fixture {
	struct diag *d;
	struct scan_rules *rules;
	struct scan *engine;
	struct scan_scratch *scratch;
};

static inline void scan_fixture_init(struct scan_fixture *f)
{
	*f = (struct scan_fixture){ 0 };
	if (diag_new(&f->d) || scan_rules_builtin(f->d, &f->rules) ||
	    scan_new(f->rules, f->d, &f->engine) || scan_scratch_new(f->engine, &f->scratch)) {
		if (f->d)
			diag_print(f->d, stdout);
		abort();
	}
}

static inline void scan_fixture_done(struct scan_fixture *f)
{
	scan_scratch_free(f->scratch);
	scan_free(f->engine);
	scan_rules_free(f->rules);
	diag_free(f->d);
}

enum { SCAN_GOT_MAX = SCAN_FINDINGS_MAX };

struct scan_got {
	struct scan_sink sink;
	struct scan_finding at[SCAN_GOT_MAX];
	size_t n;
};

static inline void scan_got_one(struct scan_sink *sink, const struct scan_finding *f)
{
	struct scan_got *g = container_of(sink, struct scan_got, sink);

	if (g->n == SCAN_GOT_MAX)
		abort();
	g->at[g->n++] = *f;
}

static inline void scan_got_init(struct scan_got *g)
{
	g->sink.found = scan_got_one;
	g->n = 0;
}

static inline bool scan_got_has(const struct scan_got *g, const char *rule)
{
	for (size_t i = 0; i < g->n; i++)
		if (!strcmp(g->at[i].rule->id, rule))
			return true;
	return false;
}

static inline uint32_t scan_dice(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* "<alnum:36>" of an example as so many such characters, "<>" as nothing. The same for one seed. */
static inline char *scan_example(const char *text, uint32_t seed)
{
	static const struct { const char *name, *of; } kinds[] = {
		{ "alnum", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" },
		{ "lower", "abcdefghijklmnopqrstuvwxyz0123456789" },
		{ "upper", "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" },
		{ "hex", "0123456789abcdef" }, { "b32", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" },
		{ "b64", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" },
		{ "url", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-" },
		{ "digit", "0123456789" },
	};
	char *out = malloc(16384), name[16];
	size_t n = 0;
	int count, used;

	if (!out)
		abort();
	while (*text && n < 15000) {
		used = 0;
		if (!strncmp(text, "<>", 2)) {
			text += 2;
			continue;
		}
		if (sscanf(text, "<%15[a-z0-9]:%4d>%n", name, &count, &used) != 2 || !used) {
			out[n++] = *text++;
			continue;
		}
		text += used;
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
			size_t have = strlen(kinds[k].of);

			/* A word of letters first and last, and a digit: as secrets are, by far most often. */
			for (int i = 0; !strcmp(kinds[k].name, name) && i < count; i++) {
				char c = kinds[k].of[scan_dice(&seed) % have];

				while ((i == 0 || i == count - 1) && !isalnum((unsigned char)c))
					c = kinds[k].of[scan_dice(&seed) % have];
				out[n++] = i == 1 && have > 32 ? '7' : c;
			}
		}
	}
	out[n] = 0;
	return out;
}

#endif

/*
 * engine.h - the compiled rules and a thread's scratch. Private to gitproxy/scan/.
 */
#ifndef GITPROXY_SCAN_ENGINE_H
#define GITPROXY_SCAN_ENGINE_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <hs/hs.h>
#include <pcre2.h>

#include "gitproxy/scan/scan.h"

struct scan_regexes { pcre2_code **code; size_t n; };

struct scan_judge {			/* of one rule */
	pcre2_code *code;
	size_t width;			/* bytes of its longest match */
	struct scan_regexes secrets, paths;	/* allow lists */
};

struct scan {
	const struct scan_rules *rules;
	struct scan_judge *judge;	/* one a rule */
	hs_database_t *regexes;		/* id: the rule */
	uint32_t groups;		/* of the rule that has most */
};

/* For tests, before the first use: how much more than what is looked at around a match is decided
 * at once. */
void scan_scratch_resize(struct scan_scratch *s, size_t segment_bytes, size_t piece);

struct scan_hit {
	uint64_t start, end;		/* of the secret, in the object */
	size_t rule;
	uint64_t line, column;		/* line 0: not known yet */
	bool dropped;			/* another rule tells it */
	char fingerprint[SCAN_FINGERPRINT_MAX];
};

enum { SCAN_CACHE = 256 };

struct scan_cached { uint8_t key[32]; char fingerprint[SCAN_FINGERPRINT_MAX]; };

struct scan_matcher {			/* PCRE2's, and what repeats */
	pcre2_match_data *data;
	pcre2_match_context *limits;
	pcre2_jit_stack *stack;
	struct scan_cached *cache;
};

int scan_matcher_init(const struct scan *e, struct scan_matcher *m);
void scan_matcher_done(struct scan_matcher *m);

/* Where to look in: the match starts in [from, last] and nothing behind `to` is seen. */
struct scan_window { struct rd bytes; size_t from, last, to; bool begins; };
enum scan_match { SCAN_MATCH_FAILED = 0, SCAN_MATCH_NONE, SCAN_MATCH_HARMLESS, SCAN_MATCH_SECRET };
/*
 * The first match of the rule in the window: ret_end is its end. SECRET: it passed entropy,
 * keywords and allow lists, and ret_hit is filled, its offsets being of the window's bytes.
 */
enum scan_match scan_confirm(const struct scan *e, struct scan_matcher *m, size_t rule,
			     const char *path, const struct scan_window *w, size_t *ret_end,
			     struct scan_hit *ret_hit);

#endif

/*
 * scan.h - find secrets in bytes
 *
 * A struct scan is the compiled rules: made once, then only read, by any number of threads. Each
 * thread has a struct scan_scratch of its own. An object is scanned whole (scan_buffer) or as it
 * comes (scan_begin, scan_feed, scan_end), with the same findings. A finding never holds the
 * secret, a part of it, or its length.
 *
 * The verdict's zero is SCAN_FAILED: whoever decides by it refuses what was not scanned to its end.
 */
#ifndef GITPROXY_SCAN_SCAN_H
#define GITPROXY_SCAN_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "gitproxy/scan/fingerprint.h"
#include "gitproxy/scan/rules.h"

enum {
	SCAN_WIDTH_MAX = 4096,		/* bytes of a match; rules that could match more are refused */
	SCAN_NEAR = 256,		/* a keyword is so near to the match, or in it */
	SCAN_FINDINGS_MAX = 256,	/* of one object */
	SCAN_SEGMENT = 16 << 20,	/* scanned at once of a buffer */
	SCAN_PIECE = 1 << 20,		/* scanned at once of a stream */
};

enum scan_verdict {
	SCAN_FAILED = 0,	/* not scanned to its end */
	SCAN_CLEAN,
	SCAN_FOUND,
	SCAN_CUT,		/* more findings than SCAN_FINDINGS_MAX: the others are not told */
};

struct scan_finding {
	const struct scan_rule *rule;	/* of the engine's rules */
	const char *path;		/* as it was given */
	uint64_t line, column;		/* from 1, of the secret; columns are bytes, a BOM is none */
	char fingerprint[SCAN_FINGERPRINT_MAX];
};

/* Whoever wants to know embeds one. Called from within scan_*(), nearly in the order of places. */
struct scan_sink {
	void (*found)(struct scan_sink *sink, const struct scan_finding *f);
};

struct scan;
/*
 * Compile. `rules` is borrowed and must outlive the engine. 0, -EINVAL with what is wrong in d (at
 * the rule's regex), or -ENOMEM, -ENOTSUP (this CPU).
 */
int scan_new(const struct scan_rules *rules, struct diag *d, struct scan **ret);
void scan_free(struct scan *e);
DEFINE_AUTO(scan, struct scan *, scan_free)

struct scan_scratch;
int scan_scratch_new(const struct scan *e, struct scan_scratch **ret); /* borrows e. 0, -ENOMEM */
void scan_scratch_free(struct scan_scratch *s);
DEFINE_AUTO(scan_scratch, struct scan_scratch *, scan_scratch_free)

/* Path NULL: none is known, and no allow list of paths counts. */
enum scan_verdict scan_buffer(struct scan_scratch *s, const char *path, struct rd bytes,
			      struct scan_sink *sink);

/* Path and sink are borrowed until scan_end(), which may be left out when nobody wants to know. */
void scan_begin(struct scan_scratch *s, const char *path, struct scan_sink *sink);
/* False: it failed; scan_end() will say so. */
bool scan_feed(struct scan_scratch *s, struct rd bytes);
enum scan_verdict scan_end(struct scan_scratch *s);

#endif

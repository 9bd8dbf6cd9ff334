/*
 * report.h - what `cordon scan` prints
 */
#ifndef GITPROXY_SCAN_FILES_REPORT_H
#define GITPROXY_SCAN_FILES_REPORT_H

#include <jansson.h>
#include <stdint.h>

#include "gitproxy/scan/exceptions.h"
#include "gitproxy/scan/scan.h"

enum { REPORT_PATH = 4 * 256 + 4 };

struct report {
	struct scan_sink sink;
	const struct scan_exceptions *exceptions;
	json_t *findings;		/* NULL: text, as it is found */
	bool progress;			/* stderr is a terminal */
	uint64_t objects, bytes, found, accepted, failed;
	int64_t shown_ms;
	char commit[65];		/* the first that has the object; "" for files */
	bool in_name;			/* the object is a path itself */
	char path[REPORT_PATH];		/* escaped, or a stand-in when it holds a secret */
};

void report_init(struct report *r, const struct scan_exceptions *exceptions, bool json);
/*
 * The next object. Its path is looked at first, since what holds a secret is not printed; then its
 * bytes are to be given to the scratch by scan_feed().
 */
void report_begin(struct report *r, struct scan_scratch *s, const char *path);
void report_bytes(struct report *r, struct scan_scratch *s, struct rd bytes);
void report_end(struct report *r, struct scan_scratch *s);
/* It could not be read; `why` ends the line. */
void report_fail(struct report *r, const char *path, const char *why);
/* The summary. The exit status. */
int report_done(struct report *r);

#endif

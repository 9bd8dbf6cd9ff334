/*
 * audit_line.h - what one line of the audit log says
 *
 * Theory of operation: the fields an event knows, as the inside of a JSON object. Peer bytes go in as
 * struct rd with audit_rd() and are escaped and cut at 256; secrets never go in. Values decode from
 * JSON to printable text: \xNN is a byte that was escaped, \\ a backslash. What does not fit is left
 * out whole, and the line says "cut".
 */
#ifndef BASE_AUDIT_LINE_H
#define BASE_AUDIT_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum { AUDIT_VALUE_MAX = 256, AUDIT_LINE_MAX = 32768 };

/* What every event has. NULL strings are written as "". */
struct audit_head {
	const char *event;	/* "dns", "flow", "request", "sandbox", "policy", "daemon", ... */
	const char *sandbox, *profile;
	const char *decision;	/* "allow", "deny", "observe"; "": the event decides nothing */
	const char *reason;	/* reason_text() */
	const char *rule;	/* the rule's text, or "default" */
	const char *policy;	/* the profile's SHA-256, hex */
};

/* A line under construction; on the stack. Field names are ours, constant, lower case. */
struct audit_line {
	struct wr w;
	size_t item;		/* where the item begins that is being written; 0: none is */
	bool list;		/* in a list */
	bool cut;		/* a field did not fit */
	uint8_t buf[AUDIT_LINE_MAX];
};
void audit_begin(struct audit_line *l, const struct audit_head *h);
/* Trusted text (still escaped), and peer bytes. */
void audit_str(struct audit_line *l, const char *field, const char *ours);
void audit_rd(struct audit_line *l, const char *field, struct rd peer);
void audit_u64(struct audit_line *l, const char *field, uint64_t v);
/*
 * A field that is a list of objects: begin, then for each item its fields between item and item_end,
 * then end. An item goes in whole or not at all: false, and the line is cut.
 */
void audit_list(struct audit_line *l, const char *field);
void audit_item(struct audit_line *l);
bool audit_item_end(struct audit_line *l);
void audit_list_end(struct audit_line *l);

#endif

/*
 * audit.h - the audit log: JSON lines, one per decision or aggregate
 *
 * Theory of operation: a part opens DIR/SRC.jsonl before it drops rights and keeps appending to it
 * (O_APPEND, one write(2) a line). Each line begins with ts, seq, src, prev in that order, then
 * what the event gives. prev is the SHA-256 (hex) of the raw line before, without its newline; 64
 * zeros in the first of all. audit_put() writes at once; audit_aggregate() aggregates by the key
 * (sandbox, what, port, reason): the first is written at once, repeats within AUDIT_WINDOW_MS
 * become one line with "count" (so a line without count stands for one). A lost line is counted and
 * reported by an event "lost" with count. A line with "cut" left fields out. Thread-safe. Peer
 * bytes go in as struct rd with audit_rd() and are escaped and cut at 256; secrets never go in.
 * Values decode from JSON to printable text: \xNN is a byte that was escaped, \\ a backslash. On
 * open, an existing file is continued: a torn last line (no newline, or not one of ours) is ended
 * with a newline, stays in the chain as it is, is counted as lost, and its number is not used
 * again. An empty file continues the rotated one that was written last.
 * Rotation: whoever may, renames the file, makes a new one and hands it over (audit_reopen); what
 * was written before is in the old one, all of it, and the new one begins with an event "rotate"
 * whose prev is the old one's last line.
 */
#ifndef BASE_AUDIT_H
#define BASE_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum { AUDIT_WINDOW_MS = 10000, AUDIT_VALUE_MAX = 256, AUDIT_LINE_MAX = 32768,
       AUDIT_KEYS_MAX = 16384 };

struct audit;

/* Create or continue DIR/SRC.jsonl, 0640 uid:gid. 0 or -errno. */
int audit_open(const char *dir, const char *src, uid_t uid, gid_t gid, struct audit **ret);
void audit_close(struct audit *a);		/* writes pending counts */
DEFINE_AUTO(audit, struct audit *, audit_close)

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

/* Written at once. 0, or -errno when the line could not be written (counted). */
int audit_put(struct audit *a, struct audit_line *l);
/*
 * Aggregated: `key` is what makes two refusals the same (sandbox, what, port, reason as one string
 * of the caller's making). Returns 0 for the first of a key, 1 for a repeat, or -errno.
 */
int audit_aggregate(struct audit *a, const char *key, struct audit_line *l);
/* Write counts whose window has passed; call about once a second. Flush all with `all`. */
void audit_tick(struct audit *a, bool all);
/* Go on in this file (O_APPEND). 0, or -errno when its first line could not be written. */
int audit_reopen(struct audit *a, int new_fd /* takes */);
bool audit_healthy(struct audit *a);				/* the last write succeeded */
/* Can lines be written? Has room for one set aside, so that the next one will be. 0 or -errno. */
int audit_ready(struct audit *a);

#endif

/*
 * audit.h - the audit log: JSON lines, one per decision or aggregate
 *
 * Theory of operation: a part opens DIR/SRC.jsonl before it drops rights and keeps appending to it
 * (O_APPEND, one write(2) a line). Each line begins with ts, seq, src, prev in that order, then
 * what the event gives. prev is the SHA-256 (hex) of the raw line before, without its newline; 64
 * zeros in the first of all. audit_put() writes at once; audit_aggregate() aggregates by the key
 * (sandbox, what, port, reason): the first is written at once, repeats within AUDIT_WINDOW_MS
 * become one line with "count" (so a line without count stands for one). A lost line is counted and
 * reported by an event "lost" with count. Thread-safe. On open, an existing file is continued: a
 * torn last line (no newline, or not one of ours) is ended with a newline, stays in the chain as it
 * is, is counted as lost, and its number is not used again. An empty file continues the rotated one
 * that was written last.
 * Rotation: whoever may, renames the file, makes a new one and hands it over (audit_reopen); what
 * was written before is in the old one, all of it, and the new one begins with an event "rotate"
 * whose prev is the old one's last line.
 */
#ifndef BASE_AUDIT_H
#define BASE_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/audit_line.h"

enum { AUDIT_WINDOW_MS = 10000, AUDIT_KEYS_MAX = 16384 };

struct audit;

/* Create or continue DIR/SRC.jsonl, 0640 uid:gid. 0 or -errno. */
int audit_open(const char *dir, const char *src, uid_t uid, gid_t gid, struct audit **ret);
void audit_close(struct audit *a);		/* writes pending counts */
DEFINE_AUTO(audit, struct audit *, audit_close)

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

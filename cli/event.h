/*
 * event.h - lines of the audit log: read, chosen, printed for people
 */
#ifndef CLI_EVENT_H
#define CLI_EVENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"
#include "policy/host_config.h"

enum { EVENT_LINE_MAX = 64 << 10, EVENT_TEXT_MAX = 1024, EVENT_FILES_MAX = 512, EVENT_TS_MAX = 40 };

/* One line. `at` is the time as sorted: ISO text. */
struct event {
	json_t *json;	/* owned */
	char *line;	/* owned, without the newline */
	const char *ts; /* borrowed from json */
};
void event_done(struct event *e);
/* False: not a JSON object, or no time in it. line is copied. */
bool event_parse(const char *line, size_t n, struct event *ret);
const char *event_field(const struct event *e, const char *name); /* "" when missing or not text */
long long event_count(const struct event *e);			  /* at least 1 */

struct event_filter {
	const char *sandbox;	  /* NULL: any */
	bool deny;		  /* refusals only */
	char since[EVENT_TS_MAX]; /* "" : from the beginning */
};
bool event_wanted(const struct event *e, const struct event_filter *f);
/* "10m", "2h30m", or the beginning of an ISO time, into f->since. False: neither. */
bool event_since(const char *text, long long now_ms, char ret[EVENT_TS_MAX]);
void event_time(long long ms, char ret[EVENT_TS_MAX]);

/* What the event is about: "A evil.example", "198.18.1.0:443/tcp", "git-upload-pack acme/payroll"; of a
 * push its refs, its outcome and its first finding. */
void event_what(const struct event *e, char *out, size_t cap);
/* One line for people, without a newline. */
void event_format(const struct event *e, bool colour, char *out, size_t cap);

/*
 * The files of the log directory, merged by time. Each keeps its place, so that a later
 * event_next() finds what was appended (or a rotated file's successor).
 */
struct event_files;
/* Positions at the end of every file when `at_end`, else at the beginning. 0 or -errno. */
int event_files_open(const struct host_config *c, bool at_end, struct event_files **ret);
void event_files_close(struct event_files *f);
DEFINE_AUTO(event_files, struct event_files *, event_files_close)
/* The next line by time. False: no whole line is left now. Lines that are not JSON are skipped,
 * counted. */
bool event_next(struct event_files *f, struct event *ret);
size_t event_broken(const struct event_files *f);
size_t event_left_out(const struct event_files *f); /* files beyond EVENT_FILES_MAX */

#endif

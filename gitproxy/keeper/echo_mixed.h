/*
 * echo_mixed.h - spellings that are chosen anew for each byte. Private to echo.c
 */
#ifndef GITPROXY_KEEPER_ECHO_MIXED_H
#define GITPROXY_KEEPER_ECHO_MIXED_H

#include "base/bytes.h"

enum echo_form {
	ECHO_PLAIN = 0,			/* as it stands */
	ECHO_ESCAPED,			/* any byte may be escaped in the way of URLs, JSON, HTML or source */
	ECHO_WRAPPED			/* lines may end anywhere: base64 */
};
struct echo_pattern { uint8_t *p; size_t n; enum echo_form form; };

/* What cannot begin or go on in any pattern is passed over quickly. */
struct echo_filter {
	bool escaped[UINT8_MAX + 1];	/* bytes of ECHO_ESCAPED */
	bool before[UINT8_MAX + 1];	/* bytes of ECHO_WRAPPED but the last */
	bool pair[1 << 12];		/* what stands on both sides of a line's end, by hash */
};
void echo_filter_add(struct echo_filter *f, const struct echo_pattern *p);

/*
 * Is one of the n patterns in the text, with at least one byte of it escaped or one line's end in it?
 * If not, *io_open becomes smaller where the text ends before one that begins there does.
 */
bool echo_mixed_in(const struct echo_filter *f, const struct echo_pattern *p, size_t n, struct rd text,
		   size_t *io_open);

#endif

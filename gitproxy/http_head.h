/*
 * http_head.h - one HTTP/1.1 request head, or an answer's
 *
 * Spec: RFC 9112 s2-s6, read strictly: wherever it lets a server choose, or two implementations are
 * known to differ, the request is refused (threats C4).
 */
#ifndef GITPROXY_HTTP_HEAD_H
#define GITPROXY_HTTP_HEAD_H

#include <stdbool.h>

#include "base/bytes.h"

enum {
	HTTP_HEAD_MAX = 16384,		/* bytes of a head, its final empty line included */
	HTTP_TARGET_MAX = 8192,
	HTTP_FIELDS_MAX = 64
};

enum http_method { HTTP_OTHER = 0, HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT };
enum http_framing { HTTP_NO_BODY = 0, HTTP_LENGTH, HTTP_CHUNKED };

/* The fields we look at. The request is rebuilt; see http_fields.h for what others do. */
enum http_field {
	HTTP_HOST, HTTP_CONTENT_LENGTH, HTTP_TRANSFER_ENCODING, HTTP_CONTENT_TYPE,
	HTTP_CONTENT_ENCODING, HTTP_GIT_PROTOCOL, HTTP_USER_AGENT, HTTP_EXPECT, HTTP_AUTHORIZATION,
	HTTP_ACCEPT, HTTP_UPGRADE, HTTP_CONNECTION, HTTP_FIELD_COUNT
};

struct http_head {			/* slices borrow from the input */
	enum http_method method;
	struct rd method_text, target;	/* target is origin-form: begins with a slash */
	struct rd lines;		/* of all fields, with their ends */
	struct rd field[HTTP_FIELD_COUNT];	/* trimmed; .p is NULL when the field is absent */
	enum http_framing framing;
	uint64_t length;		/* HTTP_LENGTH */
	bool close, upgrade;		/* Connection says so */
	bool expect_continue;
};

/* RFC 9110 s5.6.2 */
static inline bool http_token_byte(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}
/* Of a line: no control but tab. Bytes above 0x7f may stand in fields that we do not read. */
static inline bool http_line_byte(uint8_t c)
{
	return c == '\t' || (c >= ' ' && c != 0x7f);
}

static inline bool http_has(const struct http_head *h, enum http_field f) { return h->field[f].p; }

/*
 * The head at the start of `in`. PARSE_OK: *ret_used bytes were the head. PARSE_MORE: what is there
 * may still become one (never for HTTP_HEAD_MAX bytes or more). PARSE_BAD: answer 400 and close.
 */
enum parse http_head_parse(struct rd in, struct http_head *ret, size_t *ret_used);

struct http_answer {			/* slices borrow from the input */
	unsigned status;		/* 100 to 599 */
	struct rd lines;		/* of all fields, with their ends */
};
/* The same for the head of an answer. What its fields mean is not looked at. */
enum parse http_answer_parse(struct rd in, struct http_answer *ret, size_t *ret_used);

#endif

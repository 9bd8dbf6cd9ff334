/*
 * refuse.c - how a refusal is said over HTTP and to git
 *
 * Theory of operation: two lines at most, the stable word and its sentence, neither of which
 * depends on anything upstream; so a refusal cannot reveal whether a repository exists. 401 is
 * never used: git would ask for a password, or erase a stored one. git shows a text/plain body of a
 * failed GET info/refs and nothing of a failed POST, hence the packet form for the latter; JGit and
 * libgit2 show no body of any failure, and a packet in both places; git-lfs shows the message of its
 * own kind of JSON (git-lfs docs/api/batch.md), and for text a guess. Clients of package registries
 * (pip, npm) show nobody a body, but the phrase behind the status: the word is there too.
 */
#include "gitproxy/front/refuse.h"

#include <stdio.h>

#include "policy/address.h"

static const struct { enum reason reason; unsigned status; } statuses[] = {
	{ REASON_REQUEST_MALFORMED, 400 },
	{ REASON_BODY_TOO_LARGE, 413 },
	{ REASON_RATE_LIMITED, 429 },
	{ REASON_TOO_MANY_CONNECTIONS, 429 },
	{ REASON_LFS_NOT_ALLOWED, 501 },
	{ REASON_LFS_LOCKS_NOT_SUPPORTED, 501 },
	{ REASON_LFS_NEEDS_HTTPS, 501 },
	{ REASON_LFS_OBJECT_MISMATCH, 422 },
	{ REASON_UPSTREAM_UNREACHABLE, 502 },
	{ REASON_UPSTREAM_UNTRUSTED, 502 },
	{ REASON_DEADLINE_EXCEEDED, 504 },
	{ REASON_UNAVAILABLE, 503 },
	{ REASON_MIRROR_FILLING, 503 },
	{ REASON_INTERNAL_ERROR, 502 },
	{ REASON_AUDIT_UNAVAILABLE, 502 },
};

static const struct { unsigned status; const char *phrase; } phrases[] = {
	{ 101, "Switching Protocols" }, { 200, "OK" }, { 201, "Created" }, { 202, "Accepted" }, { 204, "No Content" },
	{ 206, "Partial Content" }, { 301, "Moved Permanently" }, { 302, "Found" },
	{ 303, "See Other" }, { 304, "Not Modified" }, { 307, "Temporary Redirect" },
	{ 308, "Permanent Redirect" }, { 400, "Bad Request" }, { 401, "Unauthorized" },
	{ 403, "Forbidden" }, { 404, "Not Found" }, { 405, "Method Not Allowed" },
	{ 409, "Conflict" }, { 410, "Gone" }, { 412, "Precondition Failed" },
	{ 413, "Content Too Large" }, { 415, "Unsupported Media Type" },
	{ 416, "Range Not Satisfiable" }, { 422, "Unprocessable Content" },
	{ 429, "Too Many Requests" }, { 500, "Internal Server Error" }, { 501, "Not Implemented" },
	{ 502, "Bad Gateway" }, { 503, "Service Unavailable" }, { 504, "Gateway Timeout" },
};

/* Never 401: git would ask for a password. */
static unsigned status_of(enum reason r)
{
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++)
		if (statuses[i].reason == r)
			return statuses[i].status;
	return 403;
}

const char *refuse_phrase(unsigned status)
{
	for (size_t i = 0; i < ARRAY_SIZE(phrases); i++)
		if (phrases[i].status == status)
			return phrases[i].phrase;
	return "";
}

/* What a form is called, and what stands before its packet (gitprotocol-http.txt). NULL: no packet. */
static const struct { const char *type, *before; } forms[] = {
	[REFUSE_TEXT] = { "text/plain", NULL },
	[REFUSE_NO_BODY] = { "text/plain", NULL },
	[REFUSE_FETCH_PACKET] = { "application/x-git-upload-pack-result", "" },
	[REFUSE_FETCH_REFS] = { "application/x-git-upload-pack-advertisement",
				"001e# service=git-upload-pack\n0000" },
	[REFUSE_PUSH_PACKET] = { "application/x-git-receive-pack-result", "" },
	[REFUSE_LFS] = { "application/vnd.git-lfs+json", NULL },
	[REFUSE_PUSH_REFS] = { "application/x-git-receive-pack-advertisement",
			       "001f# service=git-receive-pack\n0000" },
};

/* "ERR <text>" as one pkt-line (gitprotocol-common.txt). */
static void packet(struct wr *w, const char *before, enum reason r)
{
	size_t n = 4 + 4 + strlen(reason_text(r)) + 2 + strlen(reason_sentence(r)) + 1;

	wr_fmt(w, "%s%04zxERR %s: %s\n", before, n, reason_text(r), reason_sentence(r));
}

/* The same for who reads bands (gitprotocol-capabilities.txt, side-band-64k). */
static void band(struct wr *w, enum reason r)
{
	size_t n = 4 + 1 + sizeof("cordon: ") - 1 + strlen(reason_text(r)) + 2 + strlen(reason_sentence(r)) + 1;

	wr_fmt(w, "%04zx\3cordon: %s: %s\n", n, reason_text(r), reason_sentence(r));
}

/* Our own words: nothing in them needs escaping. */
static void write_body(struct wr *w, enum refuse_form form, enum reason r, const char *more)
{
	const char *word = reason_text(r), *sentence = reason_sentence(r);

	switch (form) {
	case REFUSE_FETCH_PACKET:
	case REFUSE_FETCH_REFS:
	case REFUSE_PUSH_REFS:
		packet(w, forms[form].before, r);
		return;
	case REFUSE_PUSH_PACKET:
		band(w, r);
		return;
	case REFUSE_LFS:
		wr_fmt(w,
		       "{\"message\": \"%s: %s%s%s\", \"documentation_url\": \"http://" CORDON_INTERNAL
		       "/\"}\n",
		       word, sentence, *more ? " " : "", more);
		return;
	case REFUSE_TEXT:
	case REFUSE_NO_BODY:
		break;
	}
	wr_fmt(w, "%s\n%s\n", word, sentence);
}

static int answer(struct stream *s, enum refuse_form form, enum reason r, unsigned status, const char *more,
		  bool close, unsigned *ret_status)
{
	char body[512], all[1024];
	struct wr b = wr_of(body, sizeof(body)), w = wr_of(all, sizeof(all));

	*ret_status = forms[form].before ? 200 : status ? status : status_of(r);
	write_body(&b, form, r, more);
	wr_fmt(&w,
	       "HTTP/1.1 %u %s (%s)\r\nX-Cordon-Reason: %s\r\nCache-Control: no-cache\r\n"
	       "Content-Type: %s\r\nContent-Length: %zu\r\n%s%s%s\r\n",
	       *ret_status, refuse_phrase(*ret_status), reason_text(r), reason_text(r),
	       forms[form].type, b.n, *ret_status == 405 ? "Allow: GET, HEAD\r\n" : "",
	       *ret_status == 503 ? "Retry-After: 2\r\n" : "", close ? "Connection: close\r\n" : "");
	if (form != REFUSE_NO_BODY)
		wr_rd_all(&w, wr_rd(&b));
	return wr_ok(&w) && wr_ok(&b) ? stream_write(s, w.p, w.n, REFUSE_WRITE_MS) : -1;
}

int refuse_answer(struct stream *s, enum refuse_form form, enum reason r, unsigned status,
		  bool close, unsigned *ret_status)
{
	return answer(s, form, r, status, "", close, ret_status);
}

int refuse_lfs(struct stream *s, enum reason r, const char *more, bool close, unsigned *ret_status)
{
	return answer(s, REFUSE_LFS, r, 0, more, close, ret_status);
}

/*
 * upstream_http.c - requests to servers that are none of git's
 *
 * Theory of operation: method, target and fields were checked when they came (keeper_ipc.h) and go
 * out as they are; framing, Host and connection handling are libcurl's. The body comes from the
 * front in frames and is never held beyond one of them. Of an answer, status and those fields that
 * http_fields.h lets pass go to the front as soon as they are complete. A redirect must lead to a
 * place that the policy grants. HTTP/1.1 alone is spoken: one request at a time is all there is.
 * With a credential the client's field of that name stays here, and what comes back must be whole
 * and plain, since it is searched for the secret (echo.c): fields that ask for compression or for
 * parts of an answer are not sent on, and an answer that is so all the same is refused. To decode it
 * here would do too, but which servers compress what nobody asked them to is not worth a decoder of
 * hostile bytes in the process that has the secrets; parts could cut a secret in two.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "gitproxy/deadline.h"
#include "gitproxy/http_account.h"
#include "gitproxy/http_fields.h"
#include "gitproxy/http_head.h"
#include "gitproxy/http_location.h"
#include "gitproxy/keeper/transfer_http.h"

enum { CONNECTION_MAX = 256, STATUS_MIN = 200, STATUS_MAX = 599, STATUS_PROXY_AUTH = 407,
       STATUS_PARTIAL = 206, STATUS_DELTA = 226 };

struct http_transfer {
	struct keeper_head head;
	struct wr text;			/* of head */
	char connection_text[CONNECTION_MAX];
	struct wr connection;		/* what the server names as of this connection alone */
	bool switches;			/* a 101 that fits what was asked for */
	bool stray;			/* its Location leads where the policy does not */
	bool doh;
	bool chunked;
	bool encoded;			/* compressed, as a rule */
	struct keeper_data frame;	/* the front's last */
	struct rd piece;		/* what of it libcurl has not taken */
	uint64_t taken;
	bool ended;			/* the front's body has */
};

/* ---- the request ---- */

static bool carries_length(const struct upstream_http *q)
{
	static const char *const always[] = { "POST", "PUT", "PATCH" };	/* RFC 9110 s8.6 */

	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		if (!strcmp(q->method, always[i]))
			return true;
	return q->has_body;
}

/* Fields that stay here beside a credential; the last two ask for a difference (RFC 3229). */
static bool held_back(const struct credential *c, struct rd name)
{
	static const char *const asking[] = { "accept-encoding", "range", "if-range", "a-im", "im" };

	for (size_t i = 0; c && i < ARRAY_SIZE(asking); i++)
		if (http_field_is(name, asking[i]))
			return true;
	return c && http_field_is(name, c->of->header);
}

/* libcurl's own headers are taken out with "Name:", empty ones are asked for with "Name;". */
static bool request_fields(const struct upstream_request *rq, struct curl_slist **list)
{
	struct rd block = rq->http->fields, name, value;
	bool ok = !rq->http->has_body || transfer_header(list, "Expect:"), accept = false;

	if (rq->credential)
		ok = ok && transfer_header(list, "Accept-Encoding: identity");
	while (ok && http_fields_next(&block, &name, &value)) {
		if (held_back(rq->credential, name))
			continue;
		accept |= rd_eq_nocase(name, "accept");
		ok = transfer_header(list, value.n ? "%.*s: %.*s" : "%.*s;", (int)name.n,
				     (const char *)name.p, (int)value.n, (const char *)value.p);
	}
	return ok && rd_done(&block) && (accept || transfer_header(list, "Accept:"));
}

/* The next frame into h->piece. 1: a piece; 0: the end; -EAGAIN; -EPROTO. */
static int next_piece(struct transfer *t, struct http_transfer *h)
{
	ssize_t n = recv(t->rq->answer, &h->frame, sizeof(h->frame), MSG_DONTWAIT | MSG_TRUNC);
	const struct upstream_http *q = t->rq->http;
	uint64_t want = q->body_length, max = want == KEEPER_UNKNOWN ? q->body_max : want;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return -EAGAIN;
	if (n == (ssize_t)sizeof(struct keeper_end) && h->frame.kind == KEEPER_END) {
		h->ended = true;
		return want == KEEPER_UNKNOWN || want == h->taken ? 0 : -EPROTO;
	}
	if (n <= (ssize_t)sizeof(struct keeper_frame) || (size_t)n > sizeof(h->frame) ||
	    h->frame.kind != KEEPER_DATA)
		return -EPROTO;
	h->piece = rd_of(h->frame.data, (size_t)n - sizeof(struct keeper_frame));
	h->taken += h->piece.n;
	return h->taken <= max ? 1 : -EPROTO;
}

static size_t on_read(char *to, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	struct http_transfer *h = t->http;
	struct rd part;
	int r = 1;

	if (!h->piece.n)
		r = t->rq->http->has_body && !h->ended ? next_piece(t, h) : 0;
	t->waits = r == -EAGAIN;
	if (r <= 0)
		return !r ? 0 : t->waits ? CURL_READFUNC_PAUSE : CURL_READFUNC_ABORT;
	t->progress = deadline_now();
	n = size * n < h->piece.n ? size * n : h->piece.n;
	if (!rd_take(&h->piece, n, &part))
		return CURL_READFUNC_ABORT;
	memcpy(to, part.p, part.n);
	return part.n;
}

/* Nothing of this request is left unread: libcurl does not ask for the end of a known length. */
static bool may_keep(struct transfer *t)
{
	struct http_transfer *h = t->http;

	return !t->rq->http->has_body || h->ended || (!h->piece.n && !next_piece(t, h));
}

/* A body that streams cannot be sent twice. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
	const struct transfer *t = arg;

	return origin == SEEK_SET && !offset && !t->http->taken ? CURL_SEEKFUNC_OK :
								  CURL_SEEKFUNC_FAIL;
}

static void ask_body(CURL *c, struct transfer *t)
{
	const struct upstream_http *q = t->rq->http;
	bool unknown = q->body_length == KEEPER_UNKNOWN;

	curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, unknown ? (curl_off_t)-1 :
								(curl_off_t)q->body_length);
	curl_easy_setopt(c, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(c, CURLOPT_READDATA, t);
	curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, on_seek);
	curl_easy_setopt(c, CURLOPT_SEEKDATA, t);
}

static void block(struct transfer *t)
{
	struct http_transfer *h = t->http;

	memset(&h->head, 0, KEEPER_HEAD_HEAD);
	h->head.length = KEEPER_UNKNOWN;
	h->text = wr_of(h->head.text, sizeof(h->head.text));
	h->connection = wr_of(h->connection_text, sizeof(h->connection_text));
	h->stray = h->doh = h->chunked = h->encoded = false;
}

bool transfer_http_begin(struct transfer *t, bool switches)
{
	if (!t->room->http)
		t->room->http = malloc(sizeof(*t->http));
	t->http = t->room->http;
	if (!t->http)
		return false;
	t->http->piece = rd_of(NULL, 0);
	t->http->taken = 0;
	t->http->ended = false;
	t->http->switches = switches;
	block(t);
	return true;
}

static bool ask(struct transfer *t, struct curl_slist **ret_headers)
{
	const struct upstream_http *q = t->rq->http;
	char url[MSG_NAME + 16], target[HTTP_TARGET_MAX + 1];
	CURL *c = t->curl;

	if (!transfer_http_begin(t, false))
		return false;
	snprintf(url, sizeof(url), "%s://%s/", q->plain ? "http" : "https", t->rq->host);
	snprintf(target, sizeof(target), "%.*s", (int)q->target.n, (const char *)q->target.p);
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_REQUEST_TARGET, target);	/* copied, as all texts are */
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	if (!strcmp(q->method, "HEAD"))
		curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
	else if (carries_length(q))
		ask_body(c, t);
	else
		t->plain = true;
	curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, q->method);
	return request_fields(t->rq, ret_headers);
}

/* ---- the answer ---- */

/* A place that the client may go to next. */
static bool location_ok(const struct transfer *t, struct rd value)
{
	const struct upstream_http *q = t->rq->http;
	struct http_location l;

	if (http_location_parse(value, !q->plain, &l) != PARSE_OK)
		return false;
	if (l.relative || !strcmp(l.host, t->rq->host))
		return true;
	return l.tls && policy_decide_port(q->policy, l.host, IPPROTO_TCP, l.port) != GRANT_NONE;
}

static void length_field(struct http_transfer *h, struct rd digits)
{
	uint64_t v = 0;
	uint8_t c;

	if (!digits.n || digits.n > 18)
		return;
	while (rd_left(&digits)) {
		if (!rd_u8(&digits, &c) || c < '0' || c > '9')
			return;
		v = v * 10 + (c - '0');
	}
	h->head.length = v;
}

/* Of an upgrade that became none only the head is passed on, and what speaks of its body is not. */
static bool passes(const struct transfer *t, struct rd name)
{
	static const char body[] = "content-";

	if (t->rq->http->upgrade && name.n >= strlen(body) &&
	    rd_eq_nocase(rd_of(name.p, strlen(body)), body))
		return false;
	return http_field_passes(name, t->http->switches ? HTTP_UPGRADE_TO_CLIENT : HTTP_TO_CLIENT);
}

static void header(struct transfer *t, struct rd line)
{
	struct http_transfer *h = t->http;
	struct rd name;

	if (!rd_until(&line, ':', &name))
		return;
	line = transfer_value(line);
	if (rd_eq_nocase(name, "content-length"))
		length_field(h, line);
	h->chunked |= rd_eq_nocase(name, "transfer-encoding");
	if (rd_eq_nocase(name, "connection") && !rd_eq_nocase(line, "keep-alive")) {	/* that one never passes */
		wr_rd_all(&h->connection, line);
		wr_str(&h->connection, ",");
	}
	h->encoded |= rd_eq_nocase(name, "content-encoding") && line.n &&
		      !rd_eq_nocase(line, "identity");
	h->doh |= rd_eq_nocase(name, "content-type") && http_is_doh_type(line);
	if (rd_eq_nocase(name, "location") && !location_ok(t, line)) {
		h->stray = true;
		return;
	}
	if (!passes(t, name) || !http_value_passes(line))
		return;
	wr_rd_all(&h->text, name);
	wr_str(&h->text, ": ");
	wr_rd_all(&h->text, line);
	wr_str(&h->text, "\n");
}

/* Could the secret be in it and not be found? */
static bool hides(struct transfer *t, long code)
{
	bool part = code == STATUS_PARTIAL || code == STATUS_DELTA;

	if (!t->rq->credential || !(t->http->encoded || part))
		return false;
	snprintf(t->out->detail, sizeof(t->out->detail),
		 "the answer is %s, so it cannot be searched for the credential's secret",
		 part ? "partial" : "encoded");
	return true;
}

static enum reason judge(struct transfer *t, unsigned code)
{
	const struct http_transfer *h = t->http;

	if (code == STATUS_SWITCHING && !h->switches) {
		snprintf(t->out->detail, sizeof(t->out->detail), "its 101 is none that was asked for");
		return t->rq->http->upgrade ? REASON_UPSTREAM_UNREACHABLE : REASON_UPGRADE_NOT_ALLOWED;
	}
	if (code == STATUS_SWITCHING)
		return wr_ok(&h->text) ? REASON_NONE : REASON_UPSTREAM_UNREACHABLE;
	if (code < STATUS_MIN || code > STATUS_MAX || !wr_ok(&h->text) || !wr_ok(&h->connection))
		return REASON_UPSTREAM_UNREACHABLE;
	if (code == STATUS_PROXY_AUTH)			/* would ask for the sandbox's secrets */
		return REASON_UPSTREAM_DENIED;
	if (hides(t, code))
		return REASON_UPSTREAM_UNTRUSTED;
	if (h->stray && code >= 300 && code < 400)
		return REASON_REDIRECT_NOT_ALLOWED;
	return h->doh ? REASON_DOH_NOT_ALLOWED : REASON_NONE;
}

/* The fields that belong to the server's connection leave the head. */
static void strip(struct http_transfer *h)
{
	char text[KEEPER_TEXT_MAX];
	struct wr kept = wr_of(text, sizeof(text));

	if (!h->connection.n || !wr_ok(&h->text))
		return;
	h->text.failed = !http_fields_without(wr_rd(&h->text), wr_rd(&h->connection), &kept);
	h->text.n = 0;
	wr_rd_all(&h->text, wr_rd(&kept));
}

bool transfer_http_answer(struct transfer *t, unsigned status)
{
	struct http_transfer *h = t->http;

	strip(h);
	t->out->status = status;
	t->out->reason = judge(t, status);
	t->answered = true;
	t->refused = t->out->reason != REASON_NONE;
	h->head.kind = KEEPER_HEAD;
	h->head.reason = t->out->reason;
	h->head.status = t->out->status;
	if (t->rq->http->upgrade)
		h->head.length = 0;
	else if (h->chunked)
		h->head.length = KEEPER_UNKNOWN;
	h->head.text_n = t->refused ? 0 : (uint32_t)h->text.n;
	if (!t->refused)
		t->head = &h->head;		/* goes out with the first of the body */
	else if (!transfer_send(t, &h->head, KEEPER_HEAD_HEAD))
		t->out->gone = true;
	return !t->refused;
}

static bool answer(struct transfer *t)
{
	long code = 0;

	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
	return transfer_http_answer(t, code > 0 ? (unsigned)code : 0);
}

static void refuse(struct transfer *t)
{
	struct keeper_head head;

	memset(&head, 0, KEEPER_HEAD_HEAD);
	head.kind = KEEPER_HEAD;
	head.reason = t->out->reason;
	head.status = t->out->status;
	transfer_send(t, &head, KEEPER_HEAD_HEAD);
}

const struct transfer_kind transfer_http = {
	.ask = ask, .block = block, .header = header, .answer = answer, .refuse = refuse,
	.at_once = true, .may_keep = may_keep,
};

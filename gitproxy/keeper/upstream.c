/*
 * upstream.c - requests to the real git server
 *
 * Theory of operation: one libcurl transfer per request, in the caller's thread. The request is
 * built from the fixed struct alone. TLS is verified against the system's or the configured
 * certificates; only https; no redirect is followed, no proxy of the environment is used, no cookie
 * is kept; where connections go is dial.c's business. The answer's status and headers are judged before the
 * first frame goes out; after that, every failure is told as one, never as an end. Handles rest in
 * a small pool keyed by sandbox and host.
 * Invariants: nothing of a sandbox but the repository's canonical path, the cleaned user agent and
 * the body's bytes reaches libcurl; upstream's headers reach the front by an allow list only.
 */
#include "gitproxy/keeper/upstream.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "gitproxy/deadline.h"
#include "gitproxy/keeper/dial.h"
#include "gitproxy/keeper/pool.h"

enum { URL_MAX = 768 };

struct upstream {
	const struct host_config *config;	/* borrowed */
	struct dial_ways *ways;
	struct pool_handles *pool;
};

struct transfer {
	struct upstream *u;
	const struct upstream_request *rq;
	struct upstream_outcome *out;
	CURL *curl;				/* borrowed */
	struct keeper_status status;
	bool typed; /* the content type is the one git's protocol demands */
	bool encoded;				/* a content encoding that we did not ask for */
	bool answered;				/* STATUS is out */
	bool heard;				/* upstream has begun to answer */
	struct dial dial;
	uint64_t started, progress;
	curl_off_t offset;			/* in the body */
	char error[CURL_ERROR_SIZE];
};

static const char *service_name(const struct keeper_open *o)
{
	return o->service == GIT_SERVICE_RECEIVE_PACK ? "git-receive-pack" : "git-upload-pack";
}

static enum reason status_reason(long code)
{
	if (code == 200)
		return REASON_NONE;
	if (code >= 300 && code < 400)
		return REASON_REDIRECT_NOT_ALLOWED;
	if (code >= 400 && code < 500) /* one word for all: says nothing about what exists */
		return REASON_UPSTREAM_DENIED;
	return REASON_UPSTREAM_UNREACHABLE;
}

int upstream_send(int answer, const void *head, size_t head_n, const void *data, size_t n,
		  uint64_t deadline)
{
	struct iovec iov[2] = { { (void *)(uintptr_t)head, head_n },
				{ (void *)(uintptr_t)data, n } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = n ? 2 : 1 };

	for (;;) {
		int r = deadline_wait(answer, POLLOUT, deadline);

		if (r < 0)
			return r;
		if (sendmsg(answer, &mh, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
}

static uint64_t send_deadline(const struct transfer *t)
{
	return deadline_in(t->u->config->idle_ms);
}

/* Judge status and headers, and tell the front. False: the transfer is over. */
static bool answer(struct transfer *t)
{
	curl_off_t length = -1;
	long code = 0;

	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
	curl_easy_getinfo(t->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	t->out->status = (unsigned)code;
	t->out->reason = status_reason(code);
	if (t->out->reason == REASON_NONE && t->encoded)
		t->out->reason = REASON_UPSTREAM_UNREACHABLE;
	if (t->out->reason == REASON_NONE && !t->typed)
		t->out->reason = REASON_DUMB_HTTP_NOT_ALLOWED;
	t->status.kind = KEEPER_STATUS;
	t->status.reason = t->out->reason;
	t->status.upstream_status = (uint32_t)code;
	t->status.length = length < 0 ? UINT64_MAX : (uint64_t)length;
	t->answered = true;
	return !upstream_send(t->rq->answer, &t->status, sizeof(t->status), NULL, 0,
			      send_deadline(t)) &&
	       t->out->reason == REASON_NONE;
}

/* A new block of headers (after 100, 103 and so on): forget the last one's. */
static void new_block(struct transfer *t)
{
	t->status = (struct keeper_status){ 0 };
	t->typed = t->encoded = false;
	t->heard = true;
}

static bool type_is(const struct transfer *t, struct rd value)
{
	char want[80];

	snprintf(want, sizeof(want), "application/x-%s-%s", service_name(t->rq->open),
		 t->rq->open->kind == GP_INFO_REFS ? "advertisement" : "result");
	return rd_eq_nocase(value, want);
}

static struct rd header_value(struct rd r)
{
	while (r.n && (r.p[0] == ' ' || r.p[0] == '\t') && rd_skip(&r, 1))
		;
	while (r.n && strchr(" \t\r\n", r.p[r.n - 1]))
		r.n--;
	return r;
}

static void header_line(struct transfer *t, struct rd line)
{
	struct keeper_header *h = &t->status.header[t->status.n_headers];
	struct rd name;
	uint32_t id;

	if (!rd_until(&line, ':', &name))
		return;
	line = header_value(line);
	if (rd_eq_nocase(name, "content-encoding"))
		t->encoded = !rd_eq_nocase(line, "identity");
	id = keeper_header_of(name);
	if (!id || t->status.n_headers == KEEPER_HEADERS_MAX || !keeper_value_set(line, h->value))
		return;
	if (id == KEEPER_CONTENT_TYPE)
		t->typed = type_is(t, line);
	h->id = id;
	t->status.n_headers++;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct rd line = rd_of(p, size * n), start = line;
	struct transfer *t = arg;

	t->progress = deadline_now();
	if (rd_prefix(&start, "HTTP/"))
		new_block(t);
	else
		header_line(t, line);
	return size * n;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct rd left = rd_of(p, size * n), part;
	struct keeper_frame head = { KEEPER_DATA };
	struct transfer *t = arg;

	if (!t->answered && !answer(t))
		return CURL_WRITEFUNC_ERROR;
	while (rd_left(&left)) {
		if (!rd_take(&left, left.n < KEEPER_DATA_MAX ? left.n : KEEPER_DATA_MAX, &part) ||
		    upstream_send(t->rq->answer, &head, sizeof(head), part.p, part.n,
				  send_deadline(t)))
			return t->out->gone = true, CURL_WRITEFUNC_ERROR;
		t->out->down += part.n;
	}
	t->progress = deadline_now();
	return size * n;
}

static size_t on_read(char *to, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	ssize_t r = pread(t->rq->body, to, size * n, t->offset);

	if (r < 0)
		return CURL_READFUNC_ABORT;
	t->offset += r;
	t->progress = deadline_now();
	return (size_t)r;
}

static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct transfer *t = arg;

	if (origin != SEEK_SET)
		return CURL_SEEKFUNC_CANTSEEK;
	t->offset = offset;
	return CURL_SEEKFUNC_OK;
}

/* About once a second: has the front gone, has upstream stopped? Not zero ends the transfer. */
static int on_progress(void *arg, curl_off_t dl, curl_off_t dn, curl_off_t ul, curl_off_t un)
{
	struct transfer *t = arg;
	const struct host_config *c = t->u->config;
	struct pollfd p = { .fd = t->rq->answer, .events = 0 };
	uint64_t now = deadline_now();

	(void)dl, (void)dn, (void)ul, (void)un;
	if (poll(&p, 1, 0) > 0)
		return t->out->gone = true;
	if (!t->heard)
		return now - t->progress > (uint64_t)c->connect_ms + c->first_byte_ms;
	return now - t->progress > c->idle_ms;
}

static bool add_header(struct curl_slist **list, const char *fmt, ...) PRINTF_LIKE(2, 3);
static bool add_header(struct curl_slist **list, const char *fmt, ...)
{
	struct curl_slist *more;
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	more = curl_slist_append(*list, text);
	if (more)
		*list = more;
	return more;
}

/* The request's own headers. libcurl's defaults that we do not want are taken out with "Name:". */
static struct curl_slist *request_headers(const struct keeper_open *o)
{
	struct curl_slist *list = NULL;
	bool ok = add_header(&list, "Expect:");

	if (o->kind == GP_INFO_REFS) {
		ok = ok && add_header(&list, "Accept: */*") &&
		     add_header(&list, "Pragma: no-cache");
	} else {
		ok = ok &&
		     add_header(&list, "Content-Type: application/x-%s-request", service_name(o)) &&
		     add_header(&list, "Accept: application/x-%s-result", service_name(o));
	}
	if (o->git_protocol)
		ok = ok && add_header(&list, "Git-Protocol: version=%u", o->git_protocol);
	if (ok)
		return list;
	curl_slist_free_all(list);
	return NULL;
}

/* What is the same in every transfer. */
static void set_common(CURL *c, struct transfer *t)
{
	const struct host_config *hc = t->u->config;

	dial_set(&t->dial, c);
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)hc->total_ms);
	curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(c, CURLOPT_BUFFERSIZE, (long)KEEPER_DATA_MAX);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->error);
}

static bool set_request(CURL *c, struct transfer *t, struct curl_slist *headers,
			struct curl_slist *addresses)
{
	const struct keeper_open *o = t->rq->open;
	char url[URL_MAX];
	int n = snprintf(url, sizeof(url), "https://%s/%s.git/%s%s", o->host, o->repo,
			 o->kind == GP_INFO_REFS ? "info/refs?service=" : "", service_name(o));

	if (n < 0 || n >= (int)sizeof(url))
		return false;
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c, CURLOPT_RESOLVE, addresses);
	if (o->user_agent[0])
		curl_easy_setopt(c, CURLOPT_USERAGENT, o->user_agent);
	if (o->kind == GP_RPC) {
		curl_easy_setopt(c, CURLOPT_POST, 1L);
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)o->body_length);
		curl_easy_setopt(c, CURLOPT_READFUNCTION, on_read);
		curl_easy_setopt(c, CURLOPT_READDATA, t);
		curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, on_seek);
		curl_easy_setopt(c, CURLOPT_SEEKDATA, t);
	}
	return true;
}

static enum reason code_reason(CURLcode code)
{
	switch ((int)code) {
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
		return REASON_UPSTREAM_UNTRUSTED;
	default:
		return REASON_UPSTREAM_UNREACHABLE;
	}
}

/* A refusal before any answer, or the end after one. */
static void finish(struct transfer *t)
{
	struct keeper_end end = { KEEPER_END, t->out->reason };

	if (t->answered && t->status.reason != REASON_NONE)
		return;				/* the STATUS said it all */
	if (t->answered) {
		upstream_send(t->rq->answer, &end, sizeof(end), NULL, 0, send_deadline(t));
		return;
	}
	t->status = (struct keeper_status){ .kind = KEEPER_STATUS, .reason = t->out->reason,
					    .upstream_status = t->out->status };
	upstream_send(t->rq->answer, &t->status, sizeof(t->status), NULL, 0, send_deadline(t));
}

static void perform(struct transfer *t)
{
	CURLcode code = curl_easy_perform(t->curl);

	if (code == CURLE_OK && !t->answered)
		answer(t);				/* an answer without a body */
	if (code != CURLE_OK && t->out->reason == REASON_NONE) {
		t->out->reason = t->dial.refused ? REASON_REBINDING_BLOCKED : code_reason(code);
		snprintf(t->out->detail, sizeof(t->out->detail), "%.150s",
			 t->error[0] ? t->error : curl_easy_strerror(code));
	}
}

static void run_with(struct transfer *t, const char *addresses)
{
	struct curl_slist *hosts = curl_slist_append(NULL, addresses);
	struct curl_slist *headers = request_headers(t->rq->open);

	if (hosts && headers && set_request(t->curl, t, headers, hosts)) {
		set_common(t->curl, t);
		perform(t);
	} else {
		t->out->reason = REASON_INTERNAL_ERROR;
	}
	curl_easy_reset(t->curl); /* nothing of this request stays in the handle */
	curl_slist_free_all(headers);
	curl_slist_free_all(hosts);
}

void upstream_run(struct upstream *u, const struct upstream_request *rq,
		  struct upstream_outcome *ret)
{
	struct transfer t = { .u = u, .rq = rq, .out = ret, .started = deadline_now() };
	char addresses[DIAL_TEXT];

	*ret = (struct upstream_outcome){ .reason = REASON_NONE };
	t.progress = t.started;
	t.dial = (struct dial){ .ways = u->ways, .private_ok = rq->private_ok };
	ret->reason = dial_find(&t.dial, rq->open->host, addresses);
	if (ret->reason == REASON_NONE) {
		t.curl = pool_take(u->pool, rq->sandbox, rq->open->host);
		if (t.curl)
			run_with(&t, addresses);
		else
			ret->reason = REASON_INTERNAL_ERROR;
		pool_give(u->pool, rq->sandbox, rq->open->host, t.curl);
	} else {
		snprintf(ret->detail, sizeof(ret->detail), "no address to dial");
	}
	finish(&t);
}

void upstream_tick(struct upstream *u)
{
	pool_tick(u->pool);
}

int upstream_new(const struct host_config *c, struct upstream **ret)
{
	AUTO(upstream) struct upstream *u = calloc(1, sizeof(*u));
	int r;

	if (!u || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -ENOMEM;
	u->config = c;
	r = dial_ways_new(c, &u->ways);
	if (!r)
		r = pool_new(&u->pool);
	if (r < 0)
		return r;
	*ret = STEAL(u);
	return 0;
}

void upstream_free(struct upstream *u)
{
	if (!u)
		return;
	pool_free(u->pool);
	dial_ways_free(u->ways);
	free(u);
}

/*
 * upstream.c - requests to real servers
 *
 * Theory of operation: one libcurl transfer per request, in the caller's thread. What is asked, and
 * which answers count, is the kind's to say (transfer.h); where connections go is dial.c's business.
 * No redirect is followed, no proxy of the environment is used, no cookie is kept. The answer's
 * status and headers are judged before the first frame goes out; after that, every failure is told
 * as one, never as an end. A credential is one more header of the request; what comes back is
 * searched for it (echo.c), and an answer that holds it is a failure before the byte that would
 * begin it goes on. Handles rest in a small pool keyed by sandbox, host, port and
 * credential.
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
#include "gitproxy/keeper/pool.h"
#include "gitproxy/keeper/transfer_http.h"
#include "gitproxy/keeper/upstream_ssh.h"
#include "gitproxy/keeper/wipe.h"

_Static_assert((int)POOL_ADDRESSES == (int)DIAL_TEXT, "a handle holds what dial_find() writes");

enum { POLL_MS = 1000, READ_MAX = 16384 /* a TLS record: libcurl never reads more */,
       WRITE_MIN = 16384, WRITE_MAX = KEEPER_DATA_MAX };

struct upstream {
	const struct host_config *config;	/* borrowed */
	struct dial_ways *ways;
	struct pool_handles *pool;
	int ssh;				/* borrowed; -1: none */
};

int upstream_send(int answer, const void *head, size_t head_n, const void *data, size_t n,
		  uint64_t deadline)
{
	struct iovec iov[2] = { { (void *)(uintptr_t)head, head_n },
				{ (void *)(uintptr_t)data, n } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = n ? 2 : 1 };

	for (;;) {
		int r;

		if (sendmsg(answer, &mh, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		r = deadline_wait(answer, POLLOUT, deadline);
		if (r < 0)
			return r;
	}
}

const struct host_config *transfer_config(const struct transfer *t)
{
	return t->u->config;
}

/* For sending to the front. */
static uint64_t front_deadline(const struct transfer *t)
{
	return deadline_in(t->u->config->idle_ms);
}

bool transfer_send(const struct transfer *t, const void *frame, size_t n)
{
	return !upstream_send(t->rq->answer, frame, n, NULL, 0, front_deadline(t));
}

bool transfer_header(struct curl_slist **list, const char *fmt, ...)
{
	AUTO(mem) char *text = NULL;
	struct curl_slist *more;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		text = NULL;		/* undefined then */
	more = text ? curl_slist_append(*list, text) : NULL;
	if (more)
		*list = more;
	return more;
}

struct rd transfer_value(struct rd r)
{
	while (r.n && (r.p[0] == ' ' || r.p[0] == '\t') && rd_skip(&r, 1))
		;
	while (r.n && strchr(" \t\r\n", r.p[r.n - 1]))
		r.n--;
	return r;
}

/* The answer's head, unless the credential is in it. */
static bool begin(struct transfer *t)
{
	return t->answered || (!t->echoed && t->kind->answer(t));
}

static bool is_interim(const struct transfer *t)
{
	long code = 0;

	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
	return code < 200 && code != STATUS_SWITCHING;	/* nothing comes after that one */
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct rd line = rd_of(p, size * n), start = line;
	struct transfer *t = ((const struct pool_handle *)arg)->transfer;

	t->progress = deadline_now();
	for (size_t i = 0; i < ARRAY_SIZE(t->scan); i++)
		t->echoed |= echo_in(t->scan[i].echo, line);
	if (t->answered || (t->headed && !is_interim(t)))	/* a trailer never becomes a header */
		return size * n;
	if (rd_prefix(&start, "HTTP/")) {
		t->heard = true;
		t->headed = false;
		t->kind->block(t);	/* after 100, 103 and so on there is another */
		return size * n;
	}
	if (transfer_value(line).n) {
		t->kind->header(t, line);
		return size * n;
	}
	t->headed = true;
	return !t->kind->at_once || is_interim(t) || begin(t) ? size * n : 0;
}

/* Of the answer, to the front: what waits. */
bool transfer_send_on(struct transfer *t)
{
	struct keeper_frame frame = { KEEPER_DATA };
	const struct keeper_head *h = t->head;
	size_t n = t->data_n;

	t->head = NULL;
	t->data_n = 0;
	if (!h && !n)
		return true;
	if (upstream_send(t->rq->answer, h ? (const void *)h : &frame,
			  h ? KEEPER_HEAD_HEAD + h->text_n : sizeof(frame), t->data->data, n,
			  front_deadline(t)))
		return !(t->out->gone = true);
	return true;
}

/* Bytes of the answer, gathered into frames: whoever waits sends on first. */
bool transfer_pass_on(struct transfer *t, struct rd left)
{
	while (rd_left(&left)) {
		size_t room = KEEPER_DATA_MAX - t->data_n;
		struct rd part;

		if (!room && !transfer_send_on(t))
			return false;
		if (!room)
			continue;
		if (!rd_take(&left, left.n < room ? left.n : room, &part))
			return false;
		memcpy(t->data->data + t->data_n, part.p, part.n);
		t->data_n += part.n;
		t->out->down += part.n;
	}
	return true;
}

static bool give(struct transfer *t, struct rd data)
{
	return t->kind->take ? t->kind->take(t, data) : transfer_pass_on(t, data);
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct transfer *t = ((const struct pool_handle *)arg)->transfer;
	struct rd pass = rd_of(p, size * n);

	if (!begin(t))
		return CURL_WRITEFUNC_ERROR;
	for (size_t i = 0; i < ARRAY_SIZE(t->scan) && !t->echoed; i++)
		t->echoed |= !echo_scan_next(&t->scan[i], pass, &pass);
	if (t->echoed || !give(t, pass))
		return CURL_WRITEFUNC_ERROR;
	t->progress = deadline_now();
	return size * n;
}

/* Has the front gone, or upstream stopped? */
static bool is_over(struct transfer *t, const struct pollfd *front)
{
	const struct host_config *c = t->u->config;
	uint64_t now = deadline_now();

	if (front->revents & (POLLERR | POLLHUP | POLLNVAL)) {
		t->out->gone = !t->refused;	/* it may leave once it knows of a refusal */
		return true;
	}
	if (!t->heard && now - t->progress > (uint64_t)c->connect_ms + c->first_byte_ms)
		t->late = "no answer within git.timeouts.first_byte";
	else if (t->heard && now - t->progress > c->idle_ms)
		t->late = "no byte within git.timeouts.idle";
	return t->late != NULL;
}

/* What is the same in every transfer of the handle. */
static void set_common(struct pool_handle *h, const struct host_config *hc)
{
	CURL *c = h->easy;

	dial_set(&h->dial, c);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)hc->total_ms);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, h);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, h);
	curl_easy_setopt(c, CURLOPT_BUFFERSIZE, (long)READ_MAX);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->error);
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

/* The answer's end, perhaps with its head, if that still waits. */
static void finish_answer(struct transfer *t)
{
	bool whole = t->out->reason == REASON_NONE;
	bool kept = whole && t->rq->may_keep && t->kind->may_keep && t->kind->may_keep(t);
	struct keeper_end end = { KEEPER_END, t->out->reason, kept };
	struct keeper_head *h = whole ? t->head : NULL;

	if (h)
		h->whole = true;
	if (h)
		h->kept = kept;
	t->out->kept = transfer_send_on(t) && (h || transfer_send(t, &end, sizeof(end))) && kept;
}

/* A refusal before any answer, or the end after one. */
static void finish(struct transfer *t)
{
	if (t->kind->quiet)
		return;
	if (t->answered && !t->refused)
		finish_answer(t);
	else if (!t->refused)			/* else the head said it all */
		t->kind->refuse(t);
}

/* What became of the transfer that has ended. */
static CURLcode result_of(CURLM *multi)
{
	int left;
	CURLMsg *m = curl_multi_info_read(multi, &left);

	return m && m->msg == CURLMSG_DONE ? m->data.result : CURLE_ABORTED_BY_CALLBACK;
}

/* What libcurl has is with the front: wait for more, for the front's next piece, or for its end. */
static bool await(struct transfer *t, struct sockets *s)
{
	struct pollfd *front = &s->fd[0];

	*front = (struct pollfd){ .fd = t->rq->answer, .events = t->waits ? POLLIN : 0 };
	sockets_wait(s, POLL_MS);
	if (is_over(t, front))
		return false;
	if (t->waits && front->revents) {
		t->waits = false;
		curl_easy_pause(t->curl, CURLPAUSE_CONT);
	}
	return true;
}

/*
 * Run to the end. The front's socket is watched beside libcurl's own: a body that waits for its next
 * piece goes on when that comes, and a front that has gone is noticed at once.
 * The handle stays in: libcurl would let go of a connection that was only made.
 */
static CURLcode run(struct transfer *t, struct pool_handle *h)
{
	CURLMcode m = curl_multi_add_handle(h->multi, t->curl);
	int running = 1;

	while (m == CURLM_OK && running) {
		m = sockets_turn(&h->sockets, &running);
		if (m == CURLM_OK && running && !transfer_send_on(t))
			return CURLE_WRITE_ERROR;
		if (m == CURLM_OK && running && !await(t, &h->sockets))
			return CURLE_ABORTED_BY_CALLBACK;
	}
	return m != CURLM_OK ? CURLE_OUT_OF_MEMORY : result_of(h->multi);
}

/* What was held back. */
static bool give_rest(struct transfer *t)
{
	struct rd pass = echo_scan_end(&t->scan[0]);

	t->echoed |= !echo_scan_next(&t->scan[1], pass, &pass);
	return !t->echoed && give(t, pass) && give(t, echo_scan_end(&t->scan[1]));
}

/* libcurl has read an answer to its end. */
static void complete(struct transfer *t)
{
	if (!t->headed)
		t->out->reason = REASON_UPSTREAM_UNREACHABLE;	/* it ended inside the headers */
	else
		begin(t);				/* an answer without a body */
	if (t->answered && t->out->reason == REASON_NONE && !t->echoed && give_rest(t) && t->kind->whole)
		t->kind->whole(t);
}

static CURLcode perform(struct transfer *t, struct pool_handle *h)
{
	CURLcode code = run(t, h);
	curl_off_t connected = 0;		/* after how many us; 0: never */

	if (code == CURLE_OK && t->kind->speak)
		t->kind->speak(t);
	else if (code == CURLE_OK)
		complete(t);
	curl_multi_remove_handle(h->multi, t->curl);
	for (size_t i = 0; i < ARRAY_SIZE(t->scan); i++)
		t->echoed |= echo_in(t->scan[i].echo, rd_str(h->error));
	if (t->echoed) {
		t->out->reason = REASON_UPSTREAM_UNTRUSTED;
		snprintf(t->out->detail, sizeof(t->out->detail), "the answer holds the secret of credential %.63s",
			 t->rq->credential ? t->rq->credential->of->name : "that it came by");
	}
	curl_easy_getinfo(t->curl, CURLINFO_PRETRANSFER_TIME_T, &connected);
	if (code == CURLE_OPERATION_TIMEDOUT && connected)
		t->late = "not complete within git.timeouts.total";
	if (t->late && t->out->reason == REASON_NONE) {
		t->out->reason = REASON_DEADLINE_EXCEEDED;
		snprintf(t->out->detail, sizeof(t->out->detail), "%s", t->late);
	} else if (code != CURLE_OK && t->out->reason == REASON_NONE) {
		t->out->reason = t->dial.refused ? REASON_REBINDING_BLOCKED : code_reason(code);
		snprintf(t->out->detail, sizeof(t->out->detail), "%.150s",
			 h->error[0] && !t->rq->lfs /* whose URLs are secret */ ? h->error : curl_easy_strerror(code));
	}
	return code;
}

/* Addresses that libcurl does not know yet. They stay: its own search for some is switched off (dial.c). */
static bool tell_addresses(struct pool_handle *h, struct curl_slist **ret)
{
	*ret = h->told ? NULL : curl_slist_append(NULL, h->addresses);
	curl_easy_setopt(h->easy, CURLOPT_RESOLVE, *ret);
	return h->told || *ret;
}

/* Nothing of a request stays in the handle. What all of them set does, unless this one has set more. */
static void forget(struct transfer *t, struct pool_handle *h)
{
	if (t->plain) {
		curl_easy_setopt(h->easy, CURLOPT_RESOLVE, NULL);
		curl_easy_setopt(h->easy, CURLOPT_HTTPHEADER, NULL);
		curl_easy_setopt(h->easy, CURLOPT_REQUEST_TARGET, NULL);
		curl_easy_setopt(h->easy, CURLOPT_CUSTOMREQUEST, NULL);
	} else {
		curl_easy_reset(h->easy);
	}
	h->set = t->plain;
	h->transfer = NULL;
	h->dial = NULL;
	h->error[0] = '\0';
}

static void run_with(struct transfer *t, struct pool_handle *h)
{
	const struct credential *credential = t->rq->credential;
	struct curl_slist *headers = NULL, *hosts = NULL, secret = { 0 };

	h->transfer = t;
	h->dial = &t->dial;
	if (!h->set)
		set_common(h, t->u->config);
	if (tell_addresses(h, &hosts) && t->kind->ask(t, &headers)) {
		/* Not copied anywhere: libcurl reads the list while it performs. */
		secret = (struct curl_slist){ credential ? credential->header : NULL, headers };
		curl_easy_setopt(t->curl, CURLOPT_HTTPHEADER, credential ? &secret : headers);
		/* All of it is wiped (wipe.c), also where just a head went through. */
		curl_easy_setopt(t->curl, CURLOPT_UPLOAD_BUFFERSIZE, (long)(t->plain ? WRITE_MIN : WRITE_MAX));
		h->told = perform(t, h) == CURLE_OK;
		t->plain &= h->told;
	} else {
		t->out->reason = REASON_INTERNAL_ERROR;
	}
	forget(t, h);
	curl_slist_free_all(headers);
	curl_slist_free_all(hosts);
}

/* Requests that follow each other closely ask for the name once. */
static enum reason find(struct transfer *t, struct pool_handle *h)
{
	enum reason reason;
	bool asked = t->dial.private_ok;

	if (h->found && h->private_asked == asked && deadline_now() - h->found < POOL_FRESH_MS) {
		t->dial.private_ok = h->private_ok;
		return REASON_NONE;
	}
	h->found = 0;
	h->told = false;
	reason = dial_find(&t->dial, t->rq->host, h->addresses);
	if (reason != REASON_NONE)
		return reason;
	h->found = deadline_now();
	h->private_asked = asked;
	h->private_ok = t->dial.private_ok;
	return REASON_NONE;
}

static void run_on(struct transfer *t, struct pool_handle *h)
{
	struct upstream_outcome *out = t->out;

	if (!h || !t->room) {
		out->reason = REASON_INTERNAL_ERROR;
		return;
	}
	t->curl = h->easy;
	out->reason = find(t, h);
	if (out->reason == REASON_NONE)
		run_with(t, h);
	else
		snprintf(out->detail, sizeof(out->detail), "no address to dial");
}

/* A connection that nobody used before, nor will after: it becomes a tunnel, or may be used but once. */
static void run_alone(struct transfer *t, const struct pool_key *key)
{
	struct pool_handle *h = pool_handle_new(key);

	run_on(t, h);
	pool_handle_free(h);
}

static void run_pooled(struct transfer *t, const struct pool_key *key)
{
	struct pool_handle *h = pool_take(t->u->pool, key);

	run_on(t, h);
	pool_give(t->u->pool, h);
}

static const struct transfer_kind *kind_of(const struct upstream_request *rq)
{
	if (rq->lfs)
		return rq->lfs->step == UPSTREAM_LFS_GET ? &transfer_lfs_get : &transfer_lfs;
	if (!rq->http)
		return &transfer_git;
	return rq->http->upgrade ? &transfer_upgrade : &transfer_http;
}

void upstream_room_free(struct upstream_room *r)
{
	if (r)
		free(r->http);
	free(r);
}

/* The one that there is, or a new one. NULL: no memory. */
static struct upstream_room *room_of(struct upstream_room **at)
{
	struct upstream_room *r = *at ? *at : malloc(sizeof(*r));

	if (r && !*at)
		r->http = NULL;
	return *at = r;
}

static void run_http(struct upstream *u, const struct upstream_request *rq, struct upstream_outcome *ret)
{
	struct transfer t = { .u = u, .rq = rq, .out = ret, .started = deadline_now(),
			      .kind = kind_of(rq) };
	struct pool_key key = { .sandbox = rq->sandbox,
				.identity = rq->credential ? rq->credential->identity : 0 };
	struct upstream_room *own = NULL, **room = rq->room ? rq->room : &own;

	*ret = (struct upstream_outcome){ .reason = REASON_NONE };
	t.progress = t.started;
	t.dial = (struct dial){ .ways = u->ways, .private_ok = rq->private_ok,
				.plain = rq->http && rq->http->plain };
	echo_scan_init(&t.scan[0], rq->lfs ? rq->lfs->echo[0] : rq->credential ? rq->credential->echo : NULL);
	echo_scan_init(&t.scan[1], rq->lfs ? rq->lfs->echo[1] : NULL);
	key.port = dial_port(&t.dial);
	snprintf(key.host, sizeof(key.host), "%s", rq->host);
	t.room = room_of(room);
	t.data = t.room ? &t.room->data : NULL;
	if (t.kind->speak || rq->push)	/* libcurl asks again when a connection that was kept has died */
		run_alone(&t, &key);
	else
		run_pooled(&t, &key);
	finish(&t);
	echo_scan_done(&t.scan[0]);
	echo_scan_done(&t.scan[1]);
	free(t.commands);
	upstream_room_free(own);
	lfs_transfer_free(t.lfs);
}

/* Where case is ignored upstream may still insist on a spelling: it is told, and asked once more by that. */
static void run_again(struct upstream *u, const struct upstream_request *rq, struct upstream_outcome *ret)
{
	struct upstream_request again = *rq;
	struct keeper_open open = *rq->open;

	memcpy(open.repo, ret->respelled, sizeof(open.repo));
	again.open = &open;
	again.respelled = true;
	run_http(u, &again, ret);
}

void upstream_run(struct upstream *u, const struct upstream_request *rq, struct upstream_outcome *ret)
{
	const struct upstream_ssh ssh = { u->config, u->ways, u->ssh };

	if (rq->open && !rq->lfs && rq->credential && rq->credential->of->kind == CREDENTIAL_SSH) {
		upstream_ssh_run(&ssh, rq, ret);
		return;
	}
	run_http(u, rq, ret);
	if (ret->respelled[0])
		run_again(u, rq, ret);
}

const struct dial_ways *upstream_ways(const struct upstream *u)
{
	return u->ways;
}

void upstream_tick(struct upstream *u)
{
	pool_tick(u->pool);
}

int upstream_new(const struct host_config *c, int ssh, struct upstream **ret)
{
	AUTO(upstream) struct upstream *u = calloc(1, sizeof(*u));
	int r;

	if (!u || wipe_libraries() < 0)
		return -ENOMEM;
	u->config = c;
	u->ssh = ssh;
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

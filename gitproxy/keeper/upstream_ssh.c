/*
 * upstream_ssh.c - requests of cordon-mirror to a git server that is reached by ssh
 *
 * Theory of operation: a connection for each request, since a pack may take long and the mirror asks
 * seldom. The keeper resolves and filters; ssh is told one address, and the next when that one cannot
 * be reached. What git says first tells which protocol the server speaks: v2 is passed on packet by
 * packet up to the flush that ends an answer; for v0, ssh_v0.c says the same in the other's words. To
 * the mirror it looks like an answer of an HTTP upstream: STATUS, DATA, END, and a failure after the
 * first byte is told as one. Of what a sandbox sent only packs get here, behind commands that were
 * written here: the mirror writes its requests itself, and what of v0 is not a plain answer to such a
 * request is a failure.
 * A push is v0 always. The server's own capabilities decide what is asked of it; its report, packets up
 * to a flush, is passed on as it comes, also when it would not take the pack to its end. It is sent once.
 */
#include "gitproxy/keeper/upstream_ssh.h"

#include <errno.h>
#include <stdio.h>

#include "gitproxy/deadline.h"
#include "gitproxy/keeper/ssh_stream.h"
#include "gitproxy/keeper/ssh_v0.h"
#include "gitproxy/keeper/ssh_why.h"
#include "gitproxy/mirror/push_advert.h"

enum { END_MS = 5000, BYE_MS = 1000, V2_ADVERT_MAX = 64 << 10, BODY_MAX = 32 << 20, TRIES_MAX = 4 };

struct call {
	const struct upstream_ssh *u;
	const struct upstream_request *rq;
	struct upstream_outcome *out;
	struct ssh_stream s;
	uint64_t total;			/* deadline */
	bool v2, answered, plain;	/* plain: its report is not asked for, so the end is that of git */
	uint8_t *text;			/* the advertisement as it came; heap */
	size_t text_n, text_cap;
	uint8_t *body;			/* of the request; heap */
	size_t body_n;
	uint8_t data[KEEPER_DATA_MAX];	/* for the next frame */
	size_t data_n;
};

static void call_free(struct call *c)
{
	if (!c)
		return;
	ssh_stream_done(&c->s);
	free(c->text);
	free(c->body);
	free(c);
}
DEFINE_AUTO(call, struct call *, call_free)

/* ---- to the mirror ---- */

static int send_frame(struct call *c, const void *head, size_t head_n, const void *data, size_t n)
{
	int r = upstream_send(c->rq->answer, head, head_n, data, n, deadline_in(c->u->config->idle_ms));

	return r < 0 ? -ECANCELED : 0;		/* it has gone, or does not listen */
}

static bool pushes(const struct call *c)
{
	return c->rq->open->service == GIT_SERVICE_RECEIVE_PACK;
}

static uint32_t push_asked(const struct call *c)
{
	const struct upstream_push *p = c->rq->push;

	return p && p->sent ? p->list->upstream | KEEPER_PUSH_SENT : 0;
}

static int flush_data(struct call *c)
{
	struct keeper_status st = { .kind = KEEPER_STATUS, .length = KEEPER_UNKNOWN, .push = push_asked(c) };
	struct keeper_frame head = { KEEPER_DATA };
	int r = c->answered ? 0 : send_frame(c, &st, sizeof(st), NULL, 0);

	c->answered = true;
	if (!r && c->data_n)
		r = send_frame(c, &head, sizeof(head), c->data, c->data_n);
	c->out->down += c->data_n;
	c->data_n = 0;
	return r;
}

static int put(struct call *c, struct rd bytes)
{
	while (rd_left(&bytes)) {
		size_t room = sizeof(c->data) - c->data_n, n = bytes.n < room ? bytes.n : room;
		int r = 0;

		if (!rd_copy(&bytes, c->data + c->data_n, n))
			return -EIO;
		c->data_n += n;
		if (c->data_n == sizeof(c->data))
			r = flush_data(c);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- what git says first ---- */

static void wait_until(struct call *c, uint64_t ms)
{
	uint64_t until = deadline_in(ms);

	c->s.until = until < c->total ? until : c->total;
}

static int next(struct call *c, struct pkt *ret)
{
	wait_until(c, c->u->config->idle_ms);
	return ssh_stream_pkt(&c->s, ret);
}

static int keep_text(struct call *c, struct rd bytes)
{
	size_t max = c->v2 ? V2_ADVERT_MAX : SSH_V0_TEXT_MAX, cap = c->text_cap ? 2 * c->text_cap : 16384;
	uint8_t *more;

	if (c->text_n + bytes.n > max)
		return -EFBIG;
	while (cap < c->text_n + bytes.n)
		cap *= 2;
	if (!c->text || c->text_n + bytes.n > c->text_cap) {
		more = realloc(c->text, cap);
		if (!more)
			return -ENOMEM;
		c->text = more;
		c->text_cap = cap;
	}
	memcpy(c->text + c->text_n, bytes.p, bytes.n);
	c->text_n += bytes.n;
	return 0;
}

/* git or the program before it refuses in words, such as ERR access denied. */
static int says_no(struct call *c, struct rd text)
{
	c->out->reason = REASON_UPSTREAM_DENIED;
	snprintf(c->out->detail, sizeof(c->out->detail), "git on the server: %.*s", text.n > 120 ? 120 : (int)text.n,
		 (const char *)text.p);
	return -EACCES;
}

static int read_advert(struct call *c)
{
	struct pkt pkt;
	struct rd text;
	int r;

	wait_until(c, (uint64_t)c->u->config->connect_ms + c->u->config->first_byte_ms);
	r = ssh_stream_pkt(&c->s, &pkt);
	if (r < 0)
		return r;
	text = pkt_text(&pkt);
	c->v2 = rd_eq_str(text, "version 2");
	if (rd_eq_str(text, "version 1"))
		r = next(c, &pkt);
	while (!r) {
		text = pkt_text(&pkt);
		if (pkt.type == PKT_DATA && rd_prefix(&text, "ERR "))
			return says_no(c, text);
		r = keep_text(c, ssh_stream_raw(&c->s, &pkt));
		if (r < 0 || pkt.type == PKT_FLUSH)
			break;
		r = next(c, &pkt);
	}
	return r;
}

/* ---- protocol v2 ---- */

static int v2_advert(struct call *c)
{
	static const char before[] = "001e# service=git-upload-pack\n0000";
	int r = put(c, rd_str(before));

	return r < 0 ? r : put(c, rd_of(c->text, c->text_n));
}

/* An answer of its own, as over HTTP: the asker hears why, and that it may ask is not in question. */
static bool is_error(const struct pkt *pkt)
{
	struct rd text = pkt->data;

	return pkt->type == PKT_DATA && rd_prefix(&text, "ERR ");
}

/* Its answer: packets up to the flush. */
static int v2_answer(struct call *c)
{
	struct pkt pkt;
	int r = ssh_stream_write(&c->s, rd_of(c->body, c->body_n));

	while (!r) {
		r = next(c, &pkt);
		if (!r)
			r = put(c, ssh_stream_raw(&c->s, &pkt));
		if (!r && (pkt.type == PKT_FLUSH || is_error(&pkt)))
			break;
	}
	return r;
}

/* ---- protocol v0 ---- */

static int v0_made(struct call *c, bool (*make)(const struct v0_advert *, struct rd, struct wr *), const struct v0_advert *a,
		   size_t cap, bool upstream)
{
	AUTO(mem) uint8_t *text = malloc(cap);
	struct wr w = wr_of(text, text ? cap : 0);

	if (!text)
		return -ENOMEM;
	if (!make(a, rd_of(c->body, c->body_n), &w))
		return -EOPNOTSUPP;
	return upstream ? ssh_stream_write(&c->s, wr_rd(&w)) : put(c, wr_rd(&w));
}

static bool make_advert(const struct v0_advert *a, struct rd body, struct wr *w)
{
	(void)body;
	return v0_write_advert(a, w);
}

/* ACK or NAK, then the pack by side band, then a flush. */
static int v0_pack(struct call *c)
{
	static const char section[] = "000dpackfile\n";
	bool begun = false;
	struct pkt pkt;
	int r;

	for (r = next(c, &pkt); !r; r = next(c, &pkt)) {
		struct rd text = pkt_text(&pkt);
		bool band = pkt.type == PKT_DATA && pkt.data.n && pkt.data.p[0] >= 1 && pkt.data.p[0] <= 3;

		if (!begun && is_error(&pkt))
			return put(c, ssh_stream_raw(&c->s, &pkt));
		if (!begun && !band && (rd_prefix(&text, "ACK ") || rd_eq_str(text, "NAK")))
			continue;
		if (!band && (pkt.type != PKT_FLUSH || !begun))
			return -EBADMSG;
		if (!begun)
			r = put(c, rd_str(section));
		begun = true;
		if (!r)
			r = put(c, ssh_stream_raw(&c->s, &pkt));
		if (r || pkt.type == PKT_FLUSH)
			return r;
	}
	return r;
}

static int v0_answer(struct call *c)
{
	struct v0_advert a;
	int r;

	if (v0_advert_parse(rd_of(c->text, c->text_n), &a) != PARSE_OK)
		return -EBADMSG;
	if (c->rq->open->kind == GP_INFO_REFS)
		return v0_made(c, make_advert, &a, V2_ADVERT_MAX, false);
	if (v0_command_of(rd_of(c->body, c->body_n)) == V0_LS_REFS)
		return v0_made(c, v0_answer_refs, &a, v0_refs_bound(&a), false);
	r = v0_made(c, v0_write_fetch, &a, c->body_n + V2_ADVERT_MAX, true);
	return r < 0 ? r : v0_pack(c);
}

/* ---- a push ---- */

static int push_advert(struct call *c)
{
	static const char before[] = "001f# service=git-receive-pack\n0000";
	int r = put(c, rd_str(before));

	return r < 0 ? r : put(c, rd_of(c->text, c->text_n));
}

/* What it can of what is wanted. What changes what a push means must not be left out. */
static int push_agree(struct call *c, struct push_list *l)
{
	struct push_advert a;

	if (push_advert_parse(rd_of(c->text, c->text_n), &a) != PARSE_OK)
		return -EBADMSG;
	l->upstream &= a.upstream;
	c->plain = !(l->upstream & (PUSH_REPORT_STATUS | PUSH_SIDE_BAND));
	return a.format == l->format && push_list_ok(rd_of(l, push_list_size(l))) ? 0 : -EOPNOTSUPP;
}

static int push_commands(struct call *c, const struct push_list *l)
{
	size_t cap = push_list_bound(l);
	AUTO(mem) uint8_t *text = malloc(cap);
	struct wr w = wr_of(text, text ? cap : 0);

	if (!push_list_write(&w, l))
		return -ENOMEM;
	c->rq->push->sent = true;
	wait_until(c, c->u->config->idle_ms);
	return ssh_stream_write(&c->s, wr_rd(&w));
}

static int push_pack(struct call *c)
{
	uint64_t n = c->rq->push->pack_bytes, at = 0;
	int r = 0;

	while (!r && at < n) {
		ssize_t got = pread(c->rq->body, c->data, sizeof(c->data), (off_t)at);

		if (got <= 0)
			return -EIO;
		at += (uint64_t)got;
		wait_until(c, c->u->config->idle_ms);
		r = ssh_stream_write(&c->s, rd_of(c->data, (size_t)got));
	}
	return r;
}

static int push_report(struct call *c)
{
	struct pkt pkt;
	int r = 0;

	do {
		r = next(c, &pkt);
		if (!r)
			r = put(c, ssh_stream_raw(&c->s, &pkt));
		if (!r && pkt.type == PKT_DATA)
			r = flush_data(c);		/* somebody waits for what hooks say */
	} while (!r && pkt.type != PKT_FLUSH);
	return r;
}

/* Without a report only how git ends tells anything. */
static int push_end(struct call *c)
{
	struct ssh_ended e;
	struct pkt pkt;
	int r = next(c, &pkt);

	if (!r)
		return -EBADMSG;
	if (r == -EPIPE)
		r = ssh_stream_end(&c->s, deadline_in(END_MS), &e);
	return r < 0 ? r : e.result || e.status ? -EIO : 0;
}

static int push(struct call *c)
{
	struct push_list *l = c->rq->push->list;
	int r = push_agree(c, l);

	if (!r)
		r = push_commands(c, l);
	if (!r)
		r = push_pack(c);
	if (r < 0 && r != -EPIPE)
		return r;
	return c->plain ? (r < 0 ? r : push_end(c)) : push_report(c);	/* it may say why it stopped to read */
}

static int push_answer(struct call *c)
{
	if (c->v2)
		return -EBADMSG;
	if (c->rq->open->kind == GP_INFO_REFS)
		return push_advert(c);
	return c->rq->push ? push(c) : -EINVAL;
}

/* ---- one connection ---- */

static int answer(struct call *c)
{
	int r = read_advert(c);

	if (r < 0)
		return r;
	if (pushes(c))
		return push_answer(c);
	if (!c->v2)
		return v0_answer(c);
	return c->rq->open->kind == GP_INFO_REFS ? v2_advert(c) : v2_answer(c);
}

/* ssh has ended, or git on the other side has. */
static void hear_why(struct call *c)
{
	const struct host_credential *h = c->rq->credential->of;
	struct ssh_ended e;
	int r = ssh_stream_end(&c->s, deadline_in(END_MS), &e);
	char text[SSH_WHY_TEXT];

	if (r < 0 || e.result < 0) {
		c->out->reason = REASON_INTERNAL_ERROR;
		snprintf(c->out->detail, sizeof(c->out->detail), "ssh: %s", strerror(r < 0 ? -r : -e.result));
		return;
	}
	c->out->reason = ssh_why(e.status, rd_of(c->s.said, c->s.said_n), h, text);
	snprintf(c->out->detail, sizeof(c->out->detail), "%s", text);
}

static void judge(struct call *c, int r)
{
	static const struct { int error; enum reason reason; const char *why; } rows[] = {
		{ -ETIMEDOUT, REASON_DEADLINE_EXCEEDED, "no byte within the times of git.timeouts" },
		{ -EBADMSG, REASON_UPSTREAM_UNTRUSTED, "what answers there does not speak git's protocol" },
		{ -EFBIG, REASON_UPSTREAM_UNTRUSTED, "too many references" },
		{ -EOPNOTSUPP, REASON_UPSTREAM_UNTRUSTED, "its git speaks protocol v0 and lacks what is needed" },
	};

	if (c->out->reason != REASON_NONE)
		return;
	c->out->gone = r == -ECANCELED;
	if (r == -EPIPE) {
		hear_why(c);
		return;
	}
	c->out->reason = REASON_INTERNAL_ERROR;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].error == r) {
			c->out->reason = rows[i].reason;
			snprintf(c->out->detail, sizeof(c->out->detail), "%s", rows[i].why);
		}
}

/* So that the server sees an end, not a break. */
static void say_bye(struct call *c)
{
	struct ssh_ended e;

	wait_until(c, BYE_MS);
	if (c->rq->open->kind == GP_INFO_REFS || c->v2 || v0_command_of(rd_of(c->body, c->body_n)) == V0_LS_REFS)
		(void)!ssh_stream_write(&c->s, rd_str("0000"));
	(void)!ssh_stream_end(&c->s, deadline_in(BYE_MS), &e);
}

static bool try_one(struct call *c, const struct addr *to)
{
	struct ssh_start q = { .credential = (uint16_t)(c->rq->credential->of - c->u->config->credentials),
			       .service = c->rq->open->service, .to = *to };
	int r;

	*c->out = (struct upstream_outcome){ 0 };
	c->text_n = 0;
	if (!msg_text_set(q.repo, sizeof(q.repo), c->rq->open->repo))
		r = -EINVAL;
	else
		r = ssh_stream_open(&c->s, c->u->spawner, &q, c->rq->answer);
	if (!r)
		r = answer(c);
	if (!r)
		r = flush_data(c);
	if (r < 0)
		judge(c, r);
	return r < 0 && !c->answered && !push_asked(c) && c->out->reason == REASON_UPSTREAM_UNREACHABLE;
}

static int read_body(struct call *c)
{
	uint64_t n = c->rq->open->body_length, got = 0;

	if (c->rq->open->kind != GP_RPC || pushes(c))
		return 0;
	c->body = n && n <= BODY_MAX ? malloc(n) : NULL;
	if (!c->body)
		return -ENOMEM;
	while (got < n) {
		ssize_t r = pread(c->rq->body, c->body + got, n - got, (off_t)got);

		if (r <= 0)
			return -EIO;
		got += (uint64_t)r;
	}
	c->body_n = n;
	return 0;
}

static void try_all(struct call *c)
{
	struct dial dial = { .ways = c->u->ways, .private_ok = c->rq->private_ok };
	struct dial_addresses to;

	c->out->reason = dial_addresses(&dial, c->rq->host, &to);
	if (c->out->reason != REASON_NONE) {
		snprintf(c->out->detail, sizeof(c->out->detail), "no address to dial");
		return;
	}
	for (size_t i = 0; i < to.n && i < TRIES_MAX; i++) {
		ssh_stream_done(&c->s);
		if (!try_one(c, &to.addr[i]))
			return;
	}
}

/* A refusal before any answer, or the end after one; then the connection may take its time. */
static void finish(struct call *c)
{
	struct keeper_status st = { .kind = KEEPER_STATUS, .reason = c->out->reason, .push = push_asked(c) };
	struct keeper_end e = { KEEPER_END, c->out->reason };

	if (c->out->gone)
		return;
	if (c->answered)
		send_frame(c, &e, sizeof(e), NULL, 0);
	else
		send_frame(c, &st, sizeof(st), NULL, 0);
	if (c->out->reason == REASON_NONE)
		say_bye(c);
}

void upstream_ssh_run(const struct upstream_ssh *u, const struct upstream_request *rq, struct upstream_outcome *ret)
{
	AUTO(call) struct call *c = calloc(1, sizeof(*c));
	struct keeper_status st = { .kind = KEEPER_STATUS, .reason = REASON_INTERNAL_ERROR };

	*ret = (struct upstream_outcome){ .reason = REASON_INTERNAL_ERROR };
	if (!c || u->spawner < 0) {
		upstream_send(rq->answer, &st, sizeof(st), NULL, 0, deadline_in(END_MS));
		return;
	}
	c->u = u;
	c->rq = rq;
	c->out = ret;
	c->total = deadline_in(u->config->total_ms);
	c->s.in = c->s.out = c->s.err = c->s.life = -1;
	if (!read_body(c))
		try_all(c);
	finish(c);
}

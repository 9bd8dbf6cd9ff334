/*
 * internal.c - http://cordon.internal/: what a sandbox may know of its own policy
 *
 * Theory of operation: every sandbox may resolve and reach this name; the ruleset brings its port
 * 80 and 443 here, and nothing is ever sent on. Who asks is told by the peer's address, as
 * everywhere, so a sandbox sees its own policy and its own refusals and no one else's; nothing in a
 * request chooses. Pages are made in memory and sent whole. Each sandbox may ask PAGES_PER_SECOND
 * times, since a page costs more than its request; the connections themselves count as all others.
 * Invariants: read-only; of what a sandbox sent nothing comes back but printable ASCII.
 */
#include "gitproxy/front/internal.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "gitproxy/front/refuse.h"
#include "policy/describe.h"

enum { PAGES_PER_SECOND = 10, PATH_SHOWN = 256, STATUS_NOT_FOUND = 404, STATUS_METHOD = 405 };

struct page {
	const char *type;
	char *text;			/* heap */
	size_t n;
};

/* What a request comes to: a page, or a reason and the status that goes with it. */
struct asked {
	enum internal_page page;
	bool json;
	enum reason reason;
	unsigned status;		/* 0: the reason's own */
};

/* ---- pages ---- */

static int policy_json(FILE *to, const struct view_sandbox *sb)
{
	int r;

	fputs("{\"sandbox\":", to);
	describe_json_string(to, sb->name);
	fputs(",\"profile\":", to);
	describe_json_string(to, policy_name(sb->policy));
	fprintf(to, ",\"sha256\":\"%s\",\"policy\":", policy_sha256(sb->policy));
	r = policy_describe_json(sb->policy, to);
	fputs("}\n", to);
	return r;
}

static int policy_text(FILE *to, const struct view_sandbox *sb)
{
	size_t n;
	const char *canonical = policy_canonical(sb->policy, &n);

	fprintf(to,
		"# Sandbox %s, profile %s, SHA-256 %s\n"
		"# What is not listed here is refused.\n"
		"#   http://" CORDON_INTERNAL "/refusals  what was refused last, and why\n"
		"#   http://" CORDON_INTERNAL "/ca.pem    the certificate to trust\n",
		sb->name, policy_name(sb->policy), policy_sha256(sb->policy));
	fwrite(canonical, 1, n, to);
	return 0;
}

static void time_text(uint64_t at_ms, char out[32])
{
	time_t t = (time_t)(at_ms / 1000);
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
		out[0] = '\0';
}

static void refusals_json(FILE *to, const struct view_sandbox *sb, const struct msg_recent *m)
{
	char at[32];

	fputs("{\"sandbox\":", to);
	describe_json_string(to, sb->name);
	fputs(",\"refusals\":[", to);
	for (uint32_t i = 0; i < m->n; i++) {
		enum reason reason = (enum reason)m->refusal[i].reason;

		time_text(m->refusal[i].at_ms, at);
		fprintf(to, "%s{\"time\":\"%s\",\"reason\":\"%s\",\"sentence\":", i ? "," : "", at,
			reason_text(reason));
		describe_json_string(to, reason_sentence(reason));
		fputs(",\"what\":", to);
		describe_json_string(to, m->refusal[i].what);
		fputc('}', to);
	}
	fputs("]}\n", to);
}

static void refusals_text(FILE *to, const struct msg_recent *m)
{
	char at[32];

	for (uint32_t i = 0; i < m->n; i++) {
		enum reason reason = (enum reason)m->refusal[i].reason;

		time_text(m->refusal[i].at_ms, at);
		fprintf(to, "%s %s: %s\n    %s\n", at, reason_text(reason), m->refusal[i].what,
			reason_sentence(reason));
	}
	if (!m->n)
		fputs("Nothing was refused.\n", to);
}

static int write_refusals(FILE *to, const struct session *s, const struct view_sandbox *sb, bool json)
{
	struct msg_recent m;
	int r = ask_recent(s->env->ask, s->env->view, sb->id, &m);

	if (r < 0)
		return r;
	if (json)
		refusals_json(to, sb, &m);
	else
		refusals_text(to, &m);
	return 0;
}

static int write_page(FILE *to, const struct session *s, const struct view_sandbox *sb,
		      const struct asked *a)
{
	switch (a->page) {
	case INTERNAL_POLICY:
		return a->json ? policy_json(to, sb) : policy_text(to, sb);
	case INTERNAL_REFUSALS:
		return write_refusals(to, s, sb, a->json);
	case INTERNAL_CA:
		return ca_text_write(s->env->ca_text, to);
	case INTERNAL_NONE:
		break;
	}
	return -EINVAL;
}

static int page_make(const struct session *s, const struct view_sandbox *sb, const struct asked *a,
		     struct page *ret)
{
	FILE *to = open_memstream(&ret->text, &ret->n);
	int r;

	if (!to)
		return -ENOMEM;
	r = write_page(to, s, sb, a);
	if (fclose(to))
		r = -ENOMEM;
	ret->type = a->page == INTERNAL_CA ? "application/x-pem-file" :
		    a->json		   ? "application/json" :
					     "text/plain; charset=utf-8";
	return r;
}

static int page_send(struct session *s, const struct page *p, bool body, bool close)
{
	char head[512];
	struct wr w = wr_of(head, sizeof(head));
	int r;

	wr_fmt(&w,
	       "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nVary: Accept\r\n"
	       "X-Content-Type-Options: nosniff\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s\r\n",
	       p->type, p->n, close ? "Connection: close\r\n" : "");
	if (!wr_ok(&w))
		return -ENOBUFS;
	r = stream_write(&s->stream, w.p, w.n, REFUSE_WRITE_MS);
	return !r && body ? stream_write(&s->stream, p->text, p->n, REFUSE_WRITE_MS) : r;
}

/* ---- requests ---- */

static enum reason judge(const struct session *s, const struct view_sandbox *sb,
			 const struct http_head *h, bool host_ok, struct asked *io)
{
	if (!h || h->framing != HTTP_NO_BODY)
		return REASON_REQUEST_MALFORMED;
	if (!host_ok)
		return REASON_HOST_MISMATCH;
	io->page = internal_page_of(h->target);
	io->json = internal_wants_json(h->field[HTTP_ACCEPT]);
	io->status = STATUS_NOT_FOUND;
	if (io->page == INTERNAL_NONE)
		return REASON_PATH_NOT_ALLOWED;
	io->status = STATUS_METHOD;
	if (h->method != HTTP_GET && h->method != HTTP_HEAD)
		return REASON_METHOD_NOT_ALLOWED;
	io->status = 0;
	return budget_take(s->env->pages, sb->id, PAGES_PER_SECOND) ? REASON_NONE :
								      REASON_RATE_LIMITED;
}

static void audit(const struct session *s, const struct view_sandbox *sb, const struct http_head *h,
		  const struct asked *a)
{
	bool refused = a->reason != REASON_NONE;
	struct audit_head head = { .event = "internal",
				   .sandbox = sb->name,
				   .profile = policy_name(sb->policy),
				   .decision = refused ? "deny" : "allow",
				   .reason = reason_text(a->reason),
				   .rule = "default",
				   .policy = policy_sha256(sb->policy) };
	char key[MSG_LABEL + MSG_NAME];
	struct audit_line l;

	audit_begin(&l, &head);
	audit_str(&l, "host", CORDON_INTERNAL);
	audit_u64(&l, "port", s->port);
	if (h) {
		audit_rd(&l, "method", h->method_text);
		audit_rd(&l, "path", rd_of(h->target.p, h->target.n < PATH_SHOWN ? h->target.n : PATH_SHOWN));
	}
	snprintf(key, sizeof(key), "%s|" CORDON_INTERNAL "|%d|%s", sb->name, a->page, head.reason);
	audit_aggregate(s->env->audit, key, &l);
}

static int refuse(struct session *s, const struct http_head *h, const struct asked *a, bool *io_close)
{
	enum refuse_form form = h && h->method == HTTP_HEAD ? REFUSE_NO_BODY : REFUSE_TEXT;
	unsigned status;

	*io_close |= !h || h->framing != HTTP_NO_BODY;	/* what follows cannot be told from a request */
	return refuse_answer(&s->stream, form, a->reason, a->status, *io_close, &status);
}

int internal_serve(struct session *s, const struct view_sandbox *sb, const struct http_head *h,
		   bool host_ok, bool close)
{
	struct asked a = { 0 };
	struct page p = { 0 };
	int r;

	close |= h && h->close;
	a.reason = judge(s, sb, h, host_ok, &a);
	if (a.reason == REASON_NONE && page_make(s, sb, &a, &p) < 0)
		a.reason = a.page == INTERNAL_REFUSALS ? REASON_UNAVAILABLE : /* netd's to tell */
							 REASON_INTERNAL_ERROR;
	audit(s, sb, h, &a);
	if (a.reason == REASON_NONE)
		r = page_send(s, &p, h->method == HTTP_GET, close);
	else
		r = refuse(s, h, &a, &close);
	free(p.text);
	return r < 0 ? r : !close;
}

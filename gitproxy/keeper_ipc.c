/*
 * keeper_ipc.c - what the front asks of the keeper, checked
 *
 * Theory of operation: both sides fill fixed structs and both check what they get, since the reason
 * for two processes is that one of them may be taken over. A struct that does not pass ends the
 * request (an answer) or the whole unit (a request: our own front never sends one).
 */
#include "gitproxy/keeper_ipc.h"

#include "gitproxy/http_fields.h"
#include "gitproxy/http_head.h"

enum { STATUS_SWITCHING = 101 };

static const char *const header_names[KEEPER_HEADER_COUNT] = {
	[KEEPER_CONTENT_TYPE] = "content-type",
	[KEEPER_CACHE_CONTROL] = "cache-control",
	[KEEPER_EXPIRES] = "expires",
	[KEEPER_PRAGMA] = "pragma",
	[KEEPER_FINDING] = "x-cordon-finding",
};

const char *keeper_source_text(uint32_t source)
{
	static const char *const texts[KEEPER_SOURCE_COUNT] = {
		[KEEPER_FROM_UPSTREAM] = "upstream", [KEEPER_FROM_MIRROR] = "mirror",
		[KEEPER_FROM_SPOOL] = "spool", [KEEPER_FROM_STALE] = "stale",
	};

	return source < KEEPER_SOURCE_COUNT ? texts[source] : "";
}

const char *keeper_header_name(uint32_t id)
{
	return id < KEEPER_HEADER_COUNT ? header_names[id] : NULL;
}

uint32_t keeper_header_of(struct rd name)
{
	for (uint32_t i = 1; i < KEEPER_HEADER_COUNT; i++)
		if (rd_eq_nocase(name, header_names[i]))
			return i;
	return 0;
}

static bool printable(struct rd r)
{
	uint8_t c;

	while (rd_left(&r))
		if (!rd_u8(&r, &c) || c < ' ' || c > '~')
			return false;
	return true;
}

bool keeper_value_set(struct rd value, char out[KEEPER_VALUE])
{
	struct wr w = wr_of(out, KEEPER_VALUE - 1);

	out[0] = '\0';
	if (!printable(value) || !wr_rd_all(&w, value))
		return false;
	out[w.n] = '\0';
	return true;
}

void keeper_agent_set(struct rd value, char out[KEEPER_AGENT])
{
	size_t n = 0;
	uint8_t c;

	while (n < KEEPER_AGENT - 1 && rd_left(&value) && rd_u8(&value, &c))
		out[n++] = c >= ' ' && c <= '~' ? (char)c : '_';
	out[n] = '\0';
}

/* Terminated, and printable up to there. */
static bool text_ok(const char *text, size_t n)
{
	return msg_text_ok(text, n) && printable(rd_str(text));
}

static bool host_ok(const char *name)
{
	char again[POLICY_NAME_MAX + 1];

	return text_ok(name, MSG_NAME) && name_canonical(rd_str(name), again) &&
	       !strcmp(name, again);
}

bool keeper_sign_ok(const struct keeper_sign *s)
{
	return host_ok(s->name);
}

bool keeper_cert_ok(const struct keeper_cert *c)
{
	return c->result < 0 || (!c->result && c->der_len && c->der_len <= KEEPER_DER_MAX);
}

/* The body that each kind has. */
static bool body_ok(const struct keeper_open *o)
{
	bool push = o->service == GIT_SERVICE_RECEIVE_PACK;
	uint64_t n = o->body_length;

	switch (o->kind) {
	case GP_INFO_REFS:
		return !n;
	case GP_RPC:
		return push == (n == KEEPER_UNKNOWN);
	case GP_LFS_BATCH:
		return n && !(n % sizeof(struct lfs_object)) && n / sizeof(struct lfs_object) <= LFS_BATCH_MAX;
	case GP_LFS_OBJECT:
		return push ? n == KEEPER_UNKNOWN : !n;
	case GP_LFS_VERIFY:
		return push && !n;
	}
	return false;
}

bool keeper_open_ok(const struct keeper_open *o)
{
	if (o->service != GIT_SERVICE_UPLOAD_PACK && o->service != GIT_SERVICE_RECEIVE_PACK)
		return false;
	if (o->git_protocol > 2 || (o->git_protocol && gp_kind_is_lfs(o->kind)) || !body_ok(o))
		return false;
	return host_ok(o->host) && text_ok(o->repo, sizeof(o->repo)) &&
	       gp_repo_valid(rd_str(o->repo), true) &&
	       text_ok(o->user_agent, sizeof(o->user_agent));
}

/* No new name, or a possible one where there may be one. */
static bool moved_ok(const struct keeper_status *s)
{
	if (!text_ok(s->moved, sizeof(s->moved)))
		return false;
	return !s->moved[0] || (s->reason == REASON_REDIRECT_NOT_ALLOWED &&
				gp_repo_valid(rd_str(s->moved), true));
}

bool keeper_status_ok(const struct keeper_status *s)
{
	if (s->kind != KEEPER_STATUS || s->reason >= REASON_COUNT ||
	    s->n_headers > KEEPER_HEADERS_MAX || !moved_ok(s) ||
	    s->source >= KEEPER_SOURCE_COUNT || s->file >= KEEPER_FILES || (s->file && s->reason != REASON_NONE) ||
	    (s->file == KEEPER_FILE_WHOLE && s->length == KEEPER_UNKNOWN))
		return false;
	for (uint32_t i = 0; i < s->n_headers; i++)
		if (!keeper_header_name(s->header[i].id) ||
		    !text_ok(s->header[i].value, KEEPER_VALUE))
			return false;
	return true;
}

static bool method_ok(const char *text)
{
	struct rd r;
	uint8_t c;

	if (!text_ok(text, KEEPER_METHOD) || !text[0])
		return false;
	for (r = rd_str(text); rd_left(&r);)
		if (!rd_u8(&r, &c) || c < 'A' || c > 'Z')
			return false;
	return true;
}

/* A body has no defined meaning there, and a server that takes it for the next request is a second one. */
static bool bodyless(const struct keeper_http *q)
{
	return !strcmp(q->method, "GET") || !strcmp(q->method, "HEAD");
}

bool keeper_http_ok(const struct keeper_http *q)
{
	if (!method_ok(q->method) || (q->has_body && bodyless(q)))
		return false;
	if (q->has_body > 1 || (!q->has_body && q->body_length))
		return false;
	if (q->upgrade > 1 || (q->upgrade && (q->has_body || strcmp(q->method, "GET"))))
		return false;
	return (q->port == 443 || q->port == 80) && host_ok(q->host);
}

bool keeper_end_ok(const struct keeper_end *e)
{
	return e->kind == KEEPER_END && e->reason < REASON_COUNT &&
	       e->kept <= (e->reason == REASON_NONE);
}

static bool status_ok(const struct keeper_head *h)
{
	return h->status == STATUS_SWITCHING || (h->status >= 200 && h->status <= 599);
}

bool keeper_head_split(const struct keeper_head *h, size_t n, struct rd *ret_text,
		       struct rd *ret_data)
{
	*ret_data = rd_of(h->text, n);
	if (h->kind != KEEPER_HEAD || h->reason >= REASON_COUNT || h->text_n > KEEPER_TEXT_MAX ||
	    h->whole > 1 || h->kept > h->whole || !rd_take(ret_data, h->text_n, ret_text))
		return false;
	if (h->reason != REASON_NONE)
		return !n && !h->whole;
	return ret_data->n <= KEEPER_DATA_MAX && status_ok(h) &&
	       http_fields_ok(*ret_text, h->status == STATUS_SWITCHING ? HTTP_UPGRADE_TO_CLIENT :
									 HTTP_TO_CLIENT);
}

static bool target_ok(struct rd r)
{
	uint8_t c;

	if (!r.n || r.n > HTTP_TARGET_MAX || r.p[0] != '/')
		return false;
	while (rd_left(&r))
		if (!rd_u8(&r, &c) || c <= ' ' || c > '~' || c == '#')
			return false;
	return true;
}

bool keeper_text_split(const struct keeper_text *t, size_t n, struct rd *ret_target,
		       struct rd *ret_fields)
{
	*ret_fields = rd_of(t->text, n);
	return t->kind == KEEPER_TEXT && n <= KEEPER_TEXT_MAX && keeper_http_ok(&t->http) &&
	       rd_until(ret_fields, '\n', ret_target) && target_ok(*ret_target) &&
	       http_fields_ok(*ret_fields, t->http.upgrade ? HTTP_UPGRADE_TO_SERVER : HTTP_TO_SERVER);
}

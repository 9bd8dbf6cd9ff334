/*
 * upstream_git.c - requests to the real git server
 *
 * Theory of operation: the request is built from the fixed struct alone. Only a 200 of the content
 * type that git's protocol demands is an answer; of its headers those of keeper_ipc.h are passed on.
 * No redirect is followed here: the front is told a repository's new name, and may ask anew. Where the host
 * ignores case, a name that differs in nothing else is no new one, and upstream.c asks by it.
 * A push is sent once: whatever happens then, it is for whoever asked to find out what became of it.
 * Invariants: nothing of a sandbox but the repository's canonical path, the cleaned user agent and
 * the body's bytes reaches libcurl.
 */
#include <stdio.h>
#include <unistd.h>

#include "gitproxy/deadline.h"
#include "gitproxy/git_moved.h"
#include "gitproxy/keeper/transfer.h"

enum { URL_MAX = 768 };

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

/* As git means them: the same request, elsewhere. */
static bool keeps_method(long code)
{
	return code == 301 || code == 302 || code == 307 || code == 308;
}

/* The request's own headers. libcurl's defaults that we do not want are taken out with "Name:". */
static struct curl_slist *request_headers(const struct keeper_open *o)
{
	struct curl_slist *list = NULL;
	bool ok = transfer_header(&list, "Expect:");

	if (o->kind == GP_INFO_REFS) {
		ok = ok && transfer_header(&list, "Accept: */*") &&
		     transfer_header(&list, "Pragma: no-cache");
	} else {
		ok = ok &&
		     transfer_header(&list, "Content-Type: application/x-%s-request", service_name(o)) &&
		     transfer_header(&list, "Accept: application/x-%s-result", service_name(o));
	}
	if (o->git_protocol)
		ok = ok && transfer_header(&list, "Git-Protocol: version=%u", o->git_protocol);
	if (ok)
		return list;
	curl_slist_free_all(list);
	return NULL;
}

static uint64_t body_bytes(const struct transfer *t)
{
	return t->rq->push ? t->commands_n + t->rq->push->pack_bytes : t->rq->open->body_length;
}

/* Of the commands of a push, or else of the file behind them. */
static ssize_t body_at(const struct transfer *t, char *to, size_t n, curl_off_t offset)
{
	size_t first = t->commands_n;
	struct rd left = rd_of(t->commands, first);

	if ((uint64_t)offset >= first)
		return t->rq->body < 0 ? 0 : pread(t->rq->body, to, n, offset - (curl_off_t)first);
	if (!rd_skip(&left, (size_t)offset))
		return -1;
	n = n < left.n ? n : left.n;
	return rd_copy(&left, to, n) ? (ssize_t)n : -1;
}

static size_t on_read(char *to, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	ssize_t r = body_at(t, to, size * n, t->offset);

	if (r < 0)
		return CURL_READFUNC_ABORT;
	t->offset += r;
	if (t->rq->push) {
		t->rq->push->sent = true;
		t->rq->push->cut = (uint64_t)t->offset < body_bytes(t);
	}
	t->progress = deadline_now();
	return (size_t)r;
}

static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct transfer *t = arg;

	if (origin != SEEK_SET || t->rq->push)
		return CURL_SEEKFUNC_CANTSEEK;
	t->offset = offset;
	return CURL_SEEKFUNC_OK;
}

static bool write_commands(struct transfer *t)
{
	const struct push_list *l = t->rq->push->list;
	size_t cap = push_list_bound(l);
	struct wr w;

	t->commands = malloc(cap);
	w = wr_of(t->commands, t->commands ? cap : 0);
	if (!push_list_write(&w, l))
		return false;
	t->commands_n = w.n;
	return true;
}

static bool ask(struct transfer *t, struct curl_slist **ret_headers)
{
	const struct keeper_open *o = t->rq->open;
	CURL *c = t->curl;
	char url[URL_MAX];
	int n = snprintf(url, sizeof(url), "https://%s/%s.git/%s%s", o->host, o->repo,
			 o->kind == GP_INFO_REFS ? "info/refs?service=" : "", service_name(o));

	*ret_headers = request_headers(o);
	if (n < 0 || n >= (int)sizeof(url) || !*ret_headers || (t->rq->push && !write_commands(t)))
		return false;
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	if (o->user_agent[0])
		curl_easy_setopt(c, CURLOPT_USERAGENT, o->user_agent);
	if (o->kind == GP_RPC) {
		curl_easy_setopt(c, CURLOPT_POST, 1L);
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_bytes(t));
		curl_easy_setopt(c, CURLOPT_READFUNCTION, on_read);
		curl_easy_setopt(c, CURLOPT_READDATA, t);
		curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, on_seek);
		curl_easy_setopt(c, CURLOPT_SEEKDATA, t);
	}
	return true;
}

static uint32_t push_asked(const struct transfer *t)
{
	const struct upstream_push *p = t->rq->push;

	return p && p->sent ? p->list->upstream | KEEPER_PUSH_SENT | (p->cut ? KEEPER_PUSH_CUT : 0) : 0;
}

/* The same repository in upstream's spelling. Nothing is told then. */
static bool respell(struct transfer *t)
{
	const char *repo = t->rq->open->repo;

	if (!t->status.moved[0] || strcasecmp(t->status.moved, repo) || t->rq->respelled ||
	    !host_config_ignores_case(transfer_config(t), t->rq->host))
		return false;
	memcpy(t->out->respelled, t->status.moved, sizeof(t->out->respelled));
	t->answered = t->refused = true;
	return true;
}

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
	if (t->out->reason != REASON_REDIRECT_NOT_ALLOWED || !keeps_method(code))
		t->status.moved[0] = '\0';
	if (respell(t))
		return false;
	t->status.kind = KEEPER_STATUS;
	t->status.reason = t->out->reason;
	t->status.upstream_status = (uint32_t)code;
	t->status.length = length < 0 ? UINT64_MAX : (uint64_t)length;
	t->status.push = push_asked(t);
	t->answered = true;
	t->refused = t->out->reason != REASON_NONE;
	return transfer_send(t, &t->status, sizeof(t->status)) && !t->refused;
}

static void block(struct transfer *t)
{
	t->status = (struct keeper_status){ 0 };
	t->typed = t->encoded = false;
	t->out->detail[0] = '\0';
}

/* Shown in the audit; of use only when it is the same request under another name. */
static void location(struct transfer *t, struct rd value)
{
	const struct keeper_open *o = t->rq->open;

	snprintf(t->out->detail, sizeof(t->out->detail), "redirects to %.*s",
		 (int)(value.n < sizeof(t->out->detail) ? value.n : sizeof(t->out->detail)),
		 (const char *)value.p);
	if (gp_moved_parse(value, o->host, (enum gp_kind)o->kind, (enum git_service)o->service,
			   t->status.moved) != PARSE_OK || !strcmp(t->status.moved, o->repo))
		t->status.moved[0] = '\0';
}

static bool type_is(const struct transfer *t, struct rd value)
{
	char want[80];

	snprintf(want, sizeof(want), "application/x-%s-%s", service_name(t->rq->open),
		 t->rq->open->kind == GP_INFO_REFS ? "advertisement" : "result");
	return rd_eq_nocase(value, want);
}

static void header(struct transfer *t, struct rd line)
{
	struct keeper_header *h = &t->status.header[t->status.n_headers];
	struct rd name;
	uint32_t id;

	if (!rd_until(&line, ':', &name))
		return;
	line = transfer_value(line);
	if (rd_eq_nocase(name, "content-encoding"))
		t->encoded = !rd_eq_nocase(line, "identity");
	if (rd_eq_nocase(name, "location"))
		location(t, line);
	id = keeper_header_of(name);
	if (!id || t->status.n_headers == KEEPER_HEADERS_MAX || !keeper_value_set(line, h->value))
		return;
	if (id == KEEPER_CONTENT_TYPE)
		t->typed = type_is(t, line);
	h->id = id;
	t->status.n_headers++;
}

static void refuse(struct transfer *t)
{
	t->status = (struct keeper_status){ .kind = KEEPER_STATUS, .reason = t->out->reason,
					    .upstream_status = t->out->status, .push = push_asked(t) };
	transfer_send(t, &t->status, sizeof(t->status));
}

const struct transfer_kind transfer_git = {
	.ask = ask, .block = block, .header = header, .answer = answer, .refuse = refuse,
};

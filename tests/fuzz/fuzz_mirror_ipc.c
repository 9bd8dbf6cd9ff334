/*
 * fuzz_mirror_ipc.c - messages of a keeper or a mirror that has gone bad, and of `cordon mirror`
 *
 * The first byte says which struct it is, the others are its bytes; what is missing is zero. Whatever is let
 * through must be what its reader takes it for: text with an end, numbers that index tables, names that can
 * be asked for.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "base/msg_mirror.h"
#include "gitproxy/mirror_ipc.h"

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void ended(const char *text, size_t n)
{
	must(memchr(text, '\0', n));
}

static void name(const char *host, const char *repo)
{
	char canonical[POLICY_NAME_MAX + 1];

	ended(host, MSG_NAME);
	ended(repo, GP_REPO_MAX + 1);
	must(name_canonical(rd_str(host), canonical) && !strcmp(canonical, host));
	must(gp_repo_valid(rd_str(repo), true));
}

static void opened(const struct keeper_open *o)
{
	name(o->host, o->repo);
	ended(o->user_agent, sizeof(o->user_agent));
	must(o->service == GIT_SERVICE_UPLOAD_PACK ? o->git_protocol == 2 : !o->git_protocol);
}

static void on_serve(const void *m)
{
	const struct mirror_serve *s = m;

	if (!mirror_serve_ok(s))
		return;
	opened(&s->open);
	ended(s->domain.credential, sizeof(s->domain.credential));
	must(!gp_kind_is_lfs(s->open.kind) ||
	     (s->open.kind == GP_LFS_OBJECT && s->open.service == GIT_SERVICE_RECEIVE_PACK && s->lfs_size <= LFS_SIZE_MAX));
	must(!mirror_is_push(s) || s->open.body_length == KEEPER_UNKNOWN);
}

static void on_verdict(const void *m)
{
	const struct mirror_verdict *v = m;

	if (!mirror_verdict_ok(v))
		return;
	must(*reason_text((enum reason)v->reason) || v->reason == REASON_NONE);
	ended(v->detail, sizeof(v->detail));
}

static void on_ask(const void *m)
{
	const struct mirror_ask *a = m;

	if (mirror_ask_ok(a))
		opened(&a->open);
}

static void on_whose(const void *m)
{
	const struct mirror_whose *w = m;

	if (mirror_whose_ok(w))
		name(w->host, w->repo);
}

static void on_domain(const void *m)
{
	const struct mirror_domain_of *d = m;

	if (!mirror_domain_of_ok(d))
		return;
	ended(d->domain.credential, sizeof(d->domain.credential));
	if (d->reason == REASON_NONE)
		name("a", d->repo);
}

static void on_event(const void *m)
{
	const struct mirror_event *e = m;

	if (!mirror_event_ok(e))
		return;
	must(*mirror_what_text((enum mirror_what)e->what));
	name(e->host, e->repo);
	ended(e->credential, sizeof(e->credential));
}

static void on_pushed(const void *m)
{
	const struct mirror_pushed *p = m;

	if (!mirror_pushed_ok(p))
		return;
	must(*push_outcome_text((enum push_outcome)p->outcome));
	must(p->commands <= PUSHED_LIST_MAX && p->findings <= PUSHED_LIST_MAX);
	ended(p->detail, sizeof(p->detail));
}

static void on_command(const void *m)
{
	const struct mirror_pushed_command *c = m;

	if (mirror_pushed_command_ok(c))
		ended(c->ref, sizeof(c->ref));
}

static void on_finding(const void *m)
{
	const struct mirror_pushed_finding *f = m;

	if (!mirror_pushed_finding_ok(f))
		return;
	ended(f->rule, sizeof(f->rule));
	ended(f->fingerprint, sizeof(f->fingerprint));
	ended(f->path, sizeof(f->path));
	ended(f->weight, sizeof(f->weight));
}

static void on_do(const void *m)
{
	const struct msg_mirror_do *d = m;

	if (!msg_mirror_do_ok(d))
		return;
	ended(d->host, sizeof(d->host));
	ended(d->repo, sizeof(d->repo));
	must(!*d->host == !*d->repo);
}

static void on_row(const void *m)
{
	const struct msg_mirror_row *r = m;

	if (!msg_mirror_row_ok(r))
		return;
	ended(r->state, sizeof(r->state));
	ended(r->text, sizeof(r->text));
}

static void on_lfs(const void *m)
{
	const struct mirror_lfs *l = m;

	if (mirror_lfs_ok(l))
		must(l->n && l->n <= LFS_BATCH_MAX && l->object.size <= LFS_SIZE_MAX);
}

static const struct { size_t n; void (*fn)(const void *m); } kinds[] = {
	{ sizeof(struct mirror_serve), on_serve },
	{ sizeof(struct mirror_verdict), on_verdict },
	{ sizeof(struct mirror_ask), on_ask },
	{ sizeof(struct mirror_whose), on_whose },
	{ sizeof(struct mirror_domain_of), on_domain },
	{ sizeof(struct mirror_event), on_event },
	{ sizeof(struct mirror_pushed), on_pushed },
	{ sizeof(struct mirror_pushed_command), on_command },
	{ sizeof(struct mirror_pushed_finding), on_finding },
	{ sizeof(struct msg_mirror_do), on_do },
	{ sizeof(struct msg_mirror_row), on_row },
	{ sizeof(struct mirror_lfs), on_lfs },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	size_t kind = n ? data[0] % ARRAY_SIZE(kinds) : 0;
	void *m;

	if (!n || n - 1 > kinds[kind].n)
		return 0;
	m = calloc(1, kinds[kind].n);		/* of its exact size */
	if (!m)
		return 0;
	memcpy(m, data + 1, n - 1);
	kinds[kind].fn(m);
	free(m);
	return 0;
}

/*
 * mirror_ipc.c - what the keeper and cordon-mirror ask of each other, checked
 */
#include "gitproxy/mirror_ipc.h"

static bool reads(const struct keeper_open *o)
{
	/* none of LFS has one */
	return keeper_open_ok(o) && o->service == GIT_SERVICE_UPLOAD_PACK && o->git_protocol == 2;
}

static bool pushes(const struct keeper_open *o)
{
	return keeper_open_ok(o) && o->service == GIT_SERVICE_RECEIVE_PACK && !o->git_protocol &&
	       !gp_kind_is_lfs(o->kind);
}

static bool domain_ok(const struct mirror_domain *d)
{
	return msg_plain_ok(d->credential, sizeof(d->credential));
}

/* An object of LFS. */
static bool brings(const struct mirror_serve *s)
{
	return keeper_open_ok(&s->open) && s->open.kind == GP_LFS_OBJECT &&
	       s->open.service == GIT_SERVICE_RECEIVE_PACK && s->lfs_size <= LFS_SIZE_MAX;
}

bool mirror_lfs_ok(const struct mirror_lfs *l)
{
	return l->n && l->n <= LFS_BATCH_MAX && l->object.size <= LFS_SIZE_MAX;
}

bool mirror_serve_ok(const struct mirror_serve *s)
{
	return domain_ok(&s->domain) && s->stale_ok <= 1 && s->only <= 1 &&
	       (reads(&s->open) || pushes(&s->open) || brings(s));
}

bool mirror_is_push(const struct mirror_serve *s)
{
	return s->open.service == GIT_SERVICE_RECEIVE_PACK && s->open.kind == GP_RPC;
}

bool mirror_verdict_ok(const struct mirror_verdict *v)
{
	return v->how <= MIRROR_UPSTREAM && v->reason < REASON_COUNT && v->gone <= 1 &&
	       msg_plain_ok(v->detail, sizeof(v->detail));
}

bool mirror_ask_ok(const struct mirror_ask *a)
{
	return domain_ok(&a->domain) && a->large <= 1 &&
	       (reads(&a->open) || (pushes(&a->open) && a->open.kind == GP_INFO_REFS));
}

static bool repository_ok(const char *host, size_t host_n, const char *repo, size_t repo_n)
{
	char name[POLICY_NAME_MAX + 1];

	return msg_text_ok(host, host_n) && msg_text_ok(repo, repo_n) && name_canonical(rd_str(host), name) &&
	       !strcmp(name, host) && gp_repo_valid(rd_str(repo), true);
}

bool mirror_whose_ok(const struct mirror_whose *w)
{
	return repository_ok(w->host, sizeof(w->host), w->repo, sizeof(w->repo));
}

bool mirror_domain_of_ok(const struct mirror_domain_of *d)
{
	return d->reason < REASON_COUNT && domain_ok(&d->domain) && msg_text_ok(d->repo, sizeof(d->repo)) &&
	       (d->reason == REASON_NONE ? gp_repo_valid(rd_str(d->repo), true) : !d->repo[0]);
}

bool mirror_event_ok(const struct mirror_event *e)
{
	return e->what >= MIRROR_REFRESHED && e->what < MIRROR_WHATS &&
	       repository_ok(e->host, sizeof(e->host), e->repo, sizeof(e->repo)) &&
	       msg_plain_ok(e->credential, sizeof(e->credential));
}

bool mirror_push_ok(const struct mirror_push *p)
{
	return p->pack_bytes <= INT64_MAX;
}

/* What was forwarded has no reason to be refused, and all else has one. */
bool mirror_pushed_ok(const struct mirror_pushed *p)
{
	return p->outcome < PUSH_OUTCOMES && p->reason < REASON_COUNT &&
	       (p->outcome == PUSH_FORWARDED) == (p->reason == REASON_NONE) &&
	       p->commands <= PUSHED_LIST_MAX && p->commands <= p->n_commands &&
	       p->findings <= PUSHED_LIST_MAX && p->findings <= p->n_findings && p->format <= OBJECT_SHA256 &&
	       msg_plain_ok(p->detail, sizeof(p->detail));
}

bool mirror_pushed_command_ok(const struct mirror_pushed_command *c)
{
	return c->op <= PUSH_DELETE && c->accepted <= 1 && c->reason < REASON_COUNT &&
	       !(c->accepted && c->reason != REASON_NONE) && msg_text_ok(c->ref, sizeof(c->ref));
}

bool mirror_pushed_finding_ok(const struct mirror_pushed_finding *f)
{
	return msg_plain_ok(f->weight, sizeof(f->weight)) && msg_plain_ok(f->rule, sizeof(f->rule)) &&
	       msg_plain_ok(f->fingerprint, sizeof(f->fingerprint)) && msg_text_ok(f->path, sizeof(f->path));
}

const char *push_outcome_text(enum push_outcome o)
{
	static const char *const text[PUSH_OUTCOMES] = {
		[PUSH_REJECTED] = "rejected", [PUSH_FORWARDED] = "forwarded",
		[PUSH_UPSTREAM_REJECTED] = "upstream_rejected", [PUSH_INDETERMINATE] = "indeterminate",
	};

	return (unsigned)o < PUSH_OUTCOMES ? text[o] : "";
}

const char *mirror_what_text(enum mirror_what w)
{
	static const char *const text[MIRROR_WHATS] = {
		[MIRROR_REFRESHED] = "refreshed", [MIRROR_EVICTED] = "evicted", [MIRROR_REMOVED] = "removed",
		[MIRROR_DAMAGED] = "damaged", [MIRROR_MAINTAINED] = "maintained", [MIRROR_TOO_LARGE] = "too_large",
		[MIRROR_REPLACED] = "replaced",
	};

	return (unsigned)w < MIRROR_WHATS && text[w] ? text[w] : "";
}

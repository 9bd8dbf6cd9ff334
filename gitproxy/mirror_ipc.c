/*
 * mirror_ipc.c - what the keeper and cordon-mirror ask of each other, checked
 */
#include "gitproxy/mirror_ipc.h"

static bool reads(const struct keeper_open *o)
{
	return keeper_open_ok(o) && o->service == GIT_SERVICE_UPLOAD_PACK && o->git_protocol == 2;
}

static bool domain_ok(const struct mirror_domain *d)
{
	return msg_plain_ok(d->credential, sizeof(d->credential));
}

bool mirror_serve_ok(const struct mirror_serve *s)
{
	return domain_ok(&s->domain) && s->stale_ok <= 1 && reads(&s->open);
}

bool mirror_verdict_ok(const struct mirror_verdict *v)
{
	return v->how <= MIRROR_UPSTREAM && v->reason < REASON_COUNT && v->gone <= 1 &&
	       msg_plain_ok(v->detail, sizeof(v->detail));
}

bool mirror_ask_ok(const struct mirror_ask *a)
{
	return domain_ok(&a->domain) && reads(&a->open);
}

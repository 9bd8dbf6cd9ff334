/*
 * recent.c - what each sandbox was refused last, for cordon.internal
 *
 * Theory of operation: a short list for each sandbox that was ever refused anything, newest first;
 * the same refusal again moves to the front. The kernel's refusals and the inspector's come from
 * this process, those of the resolver and the proxy from REFUSED. Whoever shows the list shows it
 * to its own sandbox alone, so the worst that a part which was taken over can do here is to lie to
 * it. Lists live as long as their sandbox, and no longer than this process.
 */
#include "netd/recent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "netd/registry.h"
#include "policy/mark.h"

struct recent {
	struct netd *n;
	struct msg_recent *of[MARK_SANDBOX_MAX + 1];	/* touched pages only */
};

int recent_new(struct netd *n, struct recent **ret)
{
	struct recent *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->n = n;
	*ret = r;
	return 0;
}

void recent_free(struct recent *r)
{
	for (size_t i = 0; r && i < ARRAY_SIZE(r->of); i++)
		free(r->of[i]);
	free(r);
}

void recent_forget(struct recent *r, uint16_t sandbox)
{
	free(r->of[sandbox]);
	r->of[sandbox] = NULL;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Where the same one stands, or the place of the last, which goes. */
static uint32_t place_of(struct msg_recent *m, enum reason reason, const char *what)
{
	for (uint32_t i = 0; i < m->n; i++)
		if (m->refusal[i].reason == reason && !strcmp(m->refusal[i].what, what))
			return i;
	if (m->n < MSG_RECENT_MAX)
		m->n++;
	return m->n - 1;
}

void recent_note(struct recent *r, uint16_t sandbox, enum reason reason, const char *what)
{
	const struct sandbox *s = sandbox ? registry_by_id(r->n->registry, sandbox) : NULL;
	struct msg_recent *m;
	char plain[MSG_WHAT];
	uint32_t at;

	if (!s || s->state != SANDBOX_OPEN)
		return;
	if (!r->of[sandbox])
		r->of[sandbox] = calloc(1, sizeof(*m));
	m = r->of[sandbox];
	if (!m)
		return;
	msg_plain_set(plain, sizeof(plain), what);
	at = place_of(m, reason, plain);
	memmove(&m->refusal[1], &m->refusal[0], at * sizeof(m->refusal[0]));
	memset(&m->refusal[0], 0, sizeof(m->refusal[0]));
	m->refusal[0].at_ms = now_ms();
	m->refusal[0].reason = reason;
	memcpy(m->refusal[0].what, plain, sizeof(plain));
}

int recent_told(struct recent *r, const struct msg_refused *m)
{
	if (m->reason == REASON_NONE || m->reason >= REASON_COUNT ||
	    !msg_plain_ok(m->what, sizeof(m->what)))
		return -EPROTO;
	recent_note(r, m->sandbox, (enum reason)m->reason, m->what);
	return 0;
}

void recent_get(const struct recent *r, uint16_t sandbox, struct msg_recent *ret)
{
	if (r->of[sandbox])
		*ret = *r->of[sandbox];
	else
		memset(ret, 0, sizeof(*ret));
}

/*
 * recent.c - what a sandbox was refused last: telling netd, which keeps it, and asking
 *
 * Theory of operation: netd hears of the kernel's, the inspector's and the resolver's refusals, so
 * it keeps the one list of all, ours included. A thread that wants a list takes a slot, whose
 * sequence goes with the question, and waits; the view's thread finds the slot by the answer's
 * sequence. Who no longer waits has freed the slot, and a late answer finds none.
 */
#include "gitproxy/recent.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

enum { SLOTS = 64, ANSWER_SECONDS = 2 };

struct slot {
	uint32_t sequence;		/* 0: free */
	bool answered;
	struct msg_recent *to;
};

struct recent {
	pthread_mutex_t lock;
	pthread_cond_t answered;
	uint32_t sequence;
	struct slot slot[SLOTS];
};

int recent_new(struct recent **ret)
{
	struct recent *r = calloc(1, sizeof(*r));
	pthread_condattr_t attr;

	if (!r)
		return -ENOMEM;
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->answered, &attr);
	pthread_condattr_destroy(&attr);
	*ret = r;
	return 0;
}

void recent_tell(struct view *v, uint16_t sandbox, enum reason reason, const char *what)
{
	struct msg_refused m = { .sandbox = sandbox, .reason = reason };

	msg_plain_set(m.what, sizeof(m.what), what);
	view_send(v, MSG_REFUSED, 0, &m);
}

static struct slot *slot_take(struct recent *r, struct msg_recent *to)
{
	for (size_t i = 0; i < SLOTS; i++) {
		struct slot *s = &r->slot[i];

		if (s->sequence)
			continue;
		r->sequence += r->sequence == UINT32_MAX ? 2 : 1;
		*s = (struct slot){ .sequence = r->sequence, .to = to };
		return s;
	}
	return NULL;
}

/* Locked. */
static int slot_wait(struct recent *r, const struct slot *s)
{
	struct timespec until;
	int e = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ANSWER_SECONDS;
	while (!s->answered && !e)
		e = pthread_cond_timedwait(&r->answered, &r->lock, &until);
	return s->answered ? 0 : -e;
}

int recent_ask(struct recent *r, struct view *v, uint16_t sandbox, struct msg_recent *ret)
{
	struct msg_refusals m = { .sandbox = sandbox };
	uint32_t sequence = 0;
	struct slot *s;
	int e = -EBUSY;

	pthread_mutex_lock(&r->lock);
	s = slot_take(r, ret);
	if (s)
		sequence = s->sequence;
	pthread_mutex_unlock(&r->lock);
	if (!s)
		return e;
	e = view_send(v, MSG_REFUSALS, sequence, &m);
	pthread_mutex_lock(&r->lock);
	if (!e)
		e = slot_wait(r, s);
	s->sequence = 0;
	pthread_mutex_unlock(&r->lock);
	return e;
}

static bool honest(const struct msg_recent *m)
{
	if (m->n > MSG_RECENT_MAX)
		return false;
	for (uint32_t i = 0; i < m->n; i++)
		if (m->refusal[i].reason >= REASON_COUNT ||
		    !msg_plain_ok(m->refusal[i].what, sizeof(m->refusal[i].what)))
			return false;
	return true;
}

int recent_answered(struct recent *r, const struct ipc_in *in)
{
	const struct msg_recent *m = msg_body(in, MSG_RECENT);

	if (!m || !honest(m))
		return -EPROTO;
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; in->head.sequence && i < SLOTS; i++) {
		struct slot *s = &r->slot[i];

		if (s->sequence != in->head.sequence || s->answered)
			continue;
		*s->to = *m;
		s->answered = true;
		pthread_cond_broadcast(&r->answered);
	}
	pthread_mutex_unlock(&r->lock);
	return 0;
}

/*
 * ask.c - questions to netd, and what it is told
 *
 * Theory of operation: netd keeps what is of a sandbox and changes while it lives: what it was
 * refused last (by the kernel, the inspector, the resolver and us), and its scope tokens. A thread
 * that asks takes a slot, whose sequence goes with the question, and waits; the view's thread finds
 * the slot by the answer's sequence. Who no longer waits has freed the slot, and a late answer
 * finds none. There are as many slots as threads that might ask.
 */
#include "gitproxy/front/ask.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/thread.h"
#include "gitproxy/deadline.h"
#include "gitproxy/front/conns.h"

enum { ANSWER_MS = 2000 };

struct slot {
	uint32_t sequence;		/* 0: free */
	enum msg_type want;
	bool answered;
	void *to;
};

struct ask {
	pthread_mutex_t lock;
	pthread_cond_t answered;
	uint32_t sequence;
	struct slot slot[CONNS_MAX];
};

int ask_new(struct ask **ret)
{
	struct ask *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	pthread_mutex_init(&a->lock, NULL);
	thread_cond_init(&a->answered);
	*ret = a;
	return 0;
}

/* Locked. Sequence 0 is nobody's. */
static struct slot *slot_take(struct ask *a, enum msg_type want, void *to)
{
	for (size_t i = 0; i < ARRAY_SIZE(a->slot); i++) {
		struct slot *s = &a->slot[i];

		if (s->sequence)
			continue;
		a->sequence += a->sequence == UINT32_MAX ? 2 : 1;
		*s = (struct slot){ .sequence = a->sequence, .want = want, .to = to };
		return s;
	}
	return NULL;
}

/* Locked. */
static int slot_wait(struct ask *a, const struct slot *s)
{
	uint64_t until = deadline_in(ANSWER_MS);
	int e = 0;

	while (!s->answered && !e)
		e = thread_cond_wait(&a->answered, &a->lock, until);
	return s->answered ? 0 : e;
}

/* `ret` has the size of the answer's type. */
static int question(struct ask *a, struct view *v, enum msg_type t, const void *body,
		    enum msg_type want, void *ret)
{
	uint32_t sequence = 0;
	struct slot *s;
	int e;

	pthread_mutex_lock(&a->lock);
	s = slot_take(a, want, ret);
	if (s)
		sequence = s->sequence;
	pthread_mutex_unlock(&a->lock);
	if (!s)
		return -EBUSY;
	e = view_send(v, t, sequence, body);
	pthread_mutex_lock(&a->lock);
	if (!e)
		e = slot_wait(a, s);
	s->sequence = 0;
	pthread_mutex_unlock(&a->lock);
	return e;
}

int ask_answered(struct ask *a, const struct ipc_in *in)
{
	const void *body = msg_body(in, (enum msg_type)in->head.type);

	if (!body)
		return -EPROTO;
	pthread_mutex_lock(&a->lock);
	for (size_t i = 0; in->head.sequence && i < ARRAY_SIZE(a->slot); i++) {
		struct slot *s = &a->slot[i];

		if (s->sequence != in->head.sequence || s->want != in->head.type || s->answered)
			continue;
		memcpy(s->to, body, in->head.length);
		s->answered = true;
		pthread_cond_broadcast(&a->answered);
	}
	pthread_mutex_unlock(&a->lock);
	return 0;
}

static bool recent_ok(const struct msg_recent *m)
{
	if (m->n > MSG_RECENT_MAX)
		return false;
	for (uint32_t i = 0; i < m->n; i++)
		if (m->refusal[i].reason >= REASON_COUNT ||
		    !msg_plain_ok(m->refusal[i].what, sizeof(m->refusal[i].what)))
			return false;
	return true;
}

int ask_recent(struct ask *a, struct view *v, uint16_t sandbox, struct msg_recent *ret)
{
	struct msg_refusals m = { .sandbox = sandbox };
	int r = question(a, v, MSG_REFUSALS, &m, MSG_RECENT, ret);

	return r < 0 || recent_ok(ret) ? r : -EPROTO;
}

int ask_scope(struct ask *a, struct view *v, uint16_t sandbox, const uint8_t hash[MSG_HASH])
{
	struct msg_scope m = { .sandbox = sandbox };
	struct msg_scoped answer = { 0 };
	int r;

	memcpy(m.hash, hash, MSG_HASH);
	r = question(a, v, MSG_SCOPE, &m, MSG_SCOPED, &answer);
	return r < 0 ? r : answer.valid == 1;
}

void ask_tell(struct view *v, uint16_t sandbox, enum reason reason, const char *what)
{
	struct msg_refused m = { .sandbox = sandbox, .reason = reason };

	msg_plain_set(m.what, sizeof(m.what), what);
	view_send(v, MSG_REFUSED, 0, &m);
}

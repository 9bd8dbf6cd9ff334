/*
 * publish.c - publications: what the parts must acknowledge before something takes effect
 *
 * Theory of operation: each message that must be acknowledged gets a sequence of its own and is
 * remembered with every part it went to, as an ack. A publication counts its acks; when it was
 * ended and none is owed any more its continuation runs: once, whether parts answered, died or were
 * cut off. Those that have not answered after PARTS_TIMEOUT_MS are cut off, so that one daemon that
 * hangs does not hang the others.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "netd/part.h"

static void publish_settle(struct publish *p)
{
	if (p->owed || !p->ended)
		return;
	loop_disarm(p->n->loop, &p->timer);
	p->fn(p->n, p);
}

/* An answer to something that is no longer awaited, or was not asked for (snapshots), is let be. */
void publish_acknowledge(struct part *p, uint32_t sequence, int32_t result)
{
	struct ack **at = &p->acks, *a;
	struct publish *pub;

	while (*at && (*at)->sequence != sequence)
		at = &(*at)->next;
	a = *at;
	if (!a)
		return;
	*at = a->next;
	if (!*at)
		p->acks_tail = at;
	pub = a->publish;
	free(a);
	if (result && !pub->result)
		pub->result = result;
	pub->owed--;
	publish_settle(pub);
}

void publish_forget(struct part *p)
{
	struct ack *a;

	while ((a = p->acks)) {
		struct publish *pub = a->publish;

		p->acks = a->next;
		if (!p->acks)
			p->acks_tail = &p->acks;
		free(a);
		pub->owed--;
		publish_settle(pub);
	}
}

void publish_drop(struct publish *pub)
{
	if (--pub->owed)
		return;
	loop_disarm(pub->n->loop, &pub->timer);
	if (pub->drop)
		pub->drop(pub->n, pub);
}

/* Everyone who still owes this publication an answer. */
static void publish_on_timeout(struct loop *l, struct timer *t)
{
	struct publish *pub = container_of(t, struct publish, timer);
	struct parts *ps = pub->n->parts;
	unsigned owed = pub->owed;

	(void)l;
	pub->late = true;
	/* The last cut ends the publication and may free it: count down on a copy. */
	for (struct part *p = ps->list; p && owed; p = p->next) {
		unsigned mine = 0;

		for (struct ack *a = p->acks; a; a = a->next)
			mine += a->publish == pub;
		if (!mine)
			continue;
		owed -= mine;
		part_cut(p, "did not answer in time");
	}
}

void publish_begin(struct netd *n, struct publish *p, publish_fn *fn)
{
	*p = (struct publish){ .n = n, .fn = fn, .timer = { .fn = publish_on_timeout } };
}

/* Changes of what a snapshot holds go to those that are being told it, too. */
static bool in_snapshot(enum msg_type t)
{
	return t == MSG_SANDBOX || t == MSG_GONE || t == MSG_NAME_IS || t == MSG_NAME_GONE;
}

static bool addressed(const struct part *p, unsigned roles, enum msg_type t)
{
	return BIT_ROLE(p->role) & roles &&
	       (p->state == PART_SERVING || (p->state == PART_SNAPSHOT && in_snapshot(t)));
}

/* Remember that this part owes an answer; false: it was cut off instead. */
static bool owe(struct publish *pub, struct part *p, uint32_t sequence)
{
	struct ack *a = calloc(1, sizeof(*a));

	if (!a) {
		part_cut(p, "out of memory");
		return false;
	}
	*a = (struct ack){ NULL, sequence, pub };
	*p->acks_tail = a;
	p->acks_tail = &a->next;
	pub->owed++;
	return true;
}

/* 0 is for what nothing is owed for. */
static uint32_t next_sequence(struct parts *ps)
{
	return ++ps->sequence ? ps->sequence : ++ps->sequence;
}

void publish_send_fd(struct publish *pub, unsigned roles, enum msg_type t, int fd)
{
	struct parts *ps = pub->n->parts;
	uint32_t sequence = next_sequence(ps);

	for (struct part *p = ps->list; p; p = p->next) {
		int own = addressed(p, roles, t) ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;

		if (own < 0)
			continue;
		if (!owe(pub, p, sequence)) {
			close(own);
			continue;
		}
		part_queue_fd(p, t, sequence, own);
		part_flush(p);
	}
}

void publish_send(struct publish *pub, unsigned roles, enum msg_type t, const void *body,
		  const struct policy *policy)
{
	struct parts *ps = pub->n->parts;
	uint32_t sequence = next_sequence(ps);

	for (struct part *p = ps->list; p; p = p->next) {
		if (!addressed(p, roles, t) || !owe(pub, p, sequence))
			continue;
		part_queue(p, t, sequence, body, policy);
		part_flush(p);
	}
}

void publish_tell(struct netd *n, unsigned roles, enum msg_type t, const void *body,
		  const struct policy *policy)
{
	for (struct part *p = n->parts->list; p; p = p->next) {
		if (!addressed(p, roles, t))
			continue;
		part_queue(p, t, 0, body, policy);
		part_flush(p);
	}
}

void publish_end(struct publish *p)
{
	p->ended = true;
	if (p->owed && loop_arm(p->n->loop, &p->timer, PARTS_TIMEOUT_MS) < 0)
		publish_on_timeout(p->n->loop, &p->timer);
	else
		publish_settle(p);
}

/*
 * snapshot.c - everything that a part must know before it serves
 *
 * Theory of operation: profiles, sandboxes and names, then END. With ten thousand of each that is
 * more than a socket holds and more work than others should wait for, so it goes out in pieces: the
 * next one when the part has taken what came before. A cursor says how far the walk is. What changes
 * meanwhile is published to the part as to all others, in its place in the queue: a change of what
 * was sent already corrects it, one of what is still ahead comes twice, and what is removed will not
 * be met. The part answers nothing by it before END.
 *
 * A reload needs every part at the same place: it has the rest of every snapshot queued first.
 */
#include <string.h>

#include "netd/inspector.h"
#include "netd/names.h"
#include "netd/part.h"
#include "netd/profiles.h"
#include "netd/registry.h"

enum { PIECE = 256 }; /* messages */

/* Each puts one message into the queue and moves the cursor. False: there is no more. */
static bool next_profile(struct part *p)
{
	const struct profiles *ps = p->ps->n->profiles;
	struct msg_profile m;

	while (++p->walk.at <= MARK_PROFILE_MAX) {
		struct policy *policy = profiles_policy(ps, (uint16_t)p->walk.at);

		if (!policy)
			continue;
		profile_message(ps, (uint16_t)p->walk.at, &m);
		part_queue(p, MSG_PROFILE, 0, &m, policy);
		return true;
	}
	return false;
}

static bool next_sandbox(struct part *p)
{
	const struct sandbox *s = registry_after(p->ps->n->registry, p->walk.at);
	struct msg_sandbox m;

	if (!s)
		return false;
	p->walk.at = s->id;
	if (s->state == SANDBOX_CLOSING)
		return true;
	sandbox_message(s, &m);
	part_queue(p, MSG_SANDBOX, 0, &m, NULL);
	return true;
}

static bool next_name(struct part *p)
{
	const struct name *nm = names_after(p->ps->n->names, p->walk.at);
	struct msg_name m;

	if (!nm)
		return false;
	p->walk.at = nm->index;
	name_message(nm, &m);
	part_queue(p, MSG_NAME_IS, 0, &m, NULL);
	return true;
}

static const struct {
	unsigned roles;
	bool (*next)(struct part *p);
} steps[] = {
	{ TO_VIEWS, next_profile },
	{ TO_VIEWS, next_sandbox },
	{ TO_NAMES, next_name },
};

static void snapshot_end(struct part *p)
{
	struct netd *n = p->ps->n;

	part_queue(p, MSG_END, 0, NULL, NULL);
	if (p->state == PART_DEAD)
		return;
	p->state = PART_SERVING;
	part_audit(p, "connected");
	part_flush(p);
	if (p->role == ROLE_INSPECT && p->pair && p->state == PART_SERVING)
		inspector_ready(n);
}

static void walk(struct part *p, size_t most)
{
	for (size_t i = 0; i < most && p->state == PART_SNAPSHOT; i++) {
		bool wanted = BIT_ROLE(p->role) & steps[p->walk.step].roles;

		if (wanted && steps[p->walk.step].next(p))
			continue;
		p->walk.at = 0;
		if (++p->walk.step == ARRAY_SIZE(steps))
			snapshot_end(p);
	}
}

void snapshot_begin(struct part *p)
{
	p->walk = (struct snapshot){ 0 };
	p->state = PART_SNAPSHOT;
	snapshot_more(p);
}

void snapshot_more(struct part *p)
{
	if (p->state == PART_SNAPSHOT && p->queued < PIECE)
		walk(p, PIECE);
	part_flush(p);
}

void snapshot_rest(struct part *p)
{
	walk(p, SIZE_MAX);
	part_flush(p);
}

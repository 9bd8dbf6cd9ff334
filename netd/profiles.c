/*
 * profiles.c - the compiled profiles and their ids
 *
 * Theory of operation: an id is what packets carry, so it may never mean two profiles while a
 * packet, a grant or a flow still bears it. A loaded generation waits in `unassigned` until the ids
 * that others still know are reserved (those of the running generation, or at start those of the
 * kernel's identity map); only then the rest gets free ids. A profile that is gone keeps its id
 * reserved.
 */
#include "netd/profiles.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct loaded {
	struct profiles p; /* first, so that a struct profiles * is one of these */
	struct profile_set set;
};

int profiles_load(const struct host_config *c, struct diag *d, struct profiles **ret)
{
	struct loaded *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	r = profile_set_load(c, d, &l->set);
	if (r >= 0 && l->set.n > MARK_PROFILE_MAX)
		r = -ENOSPC;
	if (r < 0) {
		profiles_free(&l->p);
		return r;
	}
	memcpy(l->p.sha256, l->set.sha256, sizeof(l->p.sha256));
	l->p.count = l->set.n;
	*ret = &l->p;
	return 0;
}

void profiles_free(struct profiles *p)
{
	struct loaded *l = (struct loaded *)p;

	if (!p)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(p->name); i++)
		free(p->name[i]);
	profile_set_done(&l->set);
	free(l);
}

int profiles_reserve(struct profiles *p, uint16_t id, const char *name)
{
	if (!id || id > MARK_PROFILE_MAX)
		return -EINVAL;
	if (p->name[id])
		return strcmp(p->name[id], name) ? -EEXIST : 0;
	for (size_t i = 1; i < ARRAY_SIZE(p->name); i++)
		if (p->name[i] && !strcmp(p->name[i], name))
			return -EEXIST; /* one name with two ids */
	p->name[id] = strdup(name);
	return p->name[id] ? 0 : -ENOMEM;
}

int profiles_inherit(struct profiles *p, const struct profiles *before)
{
	int r = 0;

	for (uint16_t id = 1; r >= 0 && id <= MARK_PROFILE_MAX; id++)
		if (before->name[id])
			r = profiles_reserve(p, id, before->name[id]);
	p->generation = before->generation + 1;
	return r;
}

/* The id that a name owns, or the first that nobody owns; 0: none. */
static uint16_t id_for(const struct profiles *p, const char *name)
{
	uint16_t unowned = 0;

	for (uint16_t id = 1; id <= MARK_PROFILE_MAX; id++) {
		if (p->name[id] && !strcmp(p->name[id], name))
			return id;
		if (!p->name[id] && !unowned)
			unowned = id;
	}
	return unowned;
}

int profiles_assign(struct profiles *p)
{
	struct loaded *l = (struct loaded *)p;

	for (size_t i = 0; i < l->set.n; i++) {
		struct policy *policy = l->set.policies[i];
		uint16_t id = id_for(p, policy_name(policy));

		if (!id)
			return -ENOSPC;
		if (!p->name[id])
			p->name[id] = strdup(policy_name(policy));
		if (!p->name[id])
			return -ENOMEM;
		p->policy[id] = policy;
	}
	return 0;
}

uint16_t profiles_id(const struct profiles *p, const char *name)
{
	for (uint16_t id = 1; id <= MARK_PROFILE_MAX; id++)
		if (p->policy[id] && !strcmp(p->name[id], name))
			return id;
	return 0;
}

struct policy *profiles_policy(const struct profiles *p, uint16_t id)
{
	return id <= MARK_PROFILE_MAX ? p->policy[id] : NULL;
}

const char *profiles_name(const struct profiles *p, uint16_t id)
{
	return id && id <= MARK_PROFILE_MAX && p->name[id] ? p->name[id] : "";
}

void profile_message(const struct profiles *p, uint16_t id, struct msg_profile *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->id = id;
	ret->generation = p->generation;
	msg_text_set(ret->name, sizeof(ret->name), profiles_name(p, id));
	msg_text_set(ret->sha256, sizeof(ret->sha256), policy_sha256(p->policy[id]));
}

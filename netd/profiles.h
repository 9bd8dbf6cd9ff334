/*
 * profiles.h - the compiled profiles and their ids
 */
#ifndef NETD_PROFILES_H
#define NETD_PROFILES_H

#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/msg.h"
#include "policy/host_config.h"
#include "policy/mark.h"
#include "policy/policy.h"

/*
 * One generation of the policy. Ids are 1 to 4095 and belong to a name for as long as netd runs,
 * and over restarts as long as a sandbox of the kernel's identity map carries them.
 */
struct profiles {
	uint32_t generation;
	char sha256[65];			     /* of the whole set */
	struct policy *policy[MARK_PROFILE_MAX + 1]; /* NULL: not in this generation */
	char *name[MARK_PROFILE_MAX + 1];	     /* owner of the id, also of past generations */
	size_t count;
};

/* Compile the profiles of a configuration: 0, -EINVAL with errors in d, -ENOSPC (ids used up),
 * -errno. */
int profiles_load(const struct host_config *c, struct diag *d, struct profiles **ret);
void profiles_free(struct profiles *p);
DEFINE_AUTO(profiles, struct profiles *, profiles_free)

/* Before ids are assigned: this id belongs to this name. -EEXIST: to another one already. */
int profiles_reserve(struct profiles *p, uint16_t id, const char *name);
/* Keep the ids of the generation before. */
int profiles_inherit(struct profiles *p, const struct profiles *before);
/* Give every profile without an id one. Once, after the reservations. */
int profiles_assign(struct profiles *p);

uint16_t profiles_id(const struct profiles *p, const char *name); /* 0: no such profile in force */
struct policy *profiles_policy(const struct profiles *p, uint16_t id); /* borrowed; NULL: none */
const char *profiles_name(const struct profiles *p, uint16_t id);      /* "" when unknown */
void profile_message(const struct profiles *p, uint16_t id, struct msg_profile *ret);

#endif

/*
 * checks.c - whether the objects of a push are what the policy and git allow
 *
 * Nothing is checked yet, so nothing passes.
 */
#include "gitproxy/gate/checks.h"

#include <errno.h>

struct checks {
	struct checks_spec spec;
};

int checks_new(const struct checks_spec *spec, struct checks **ret)
{
	struct checks *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->spec = *spec;
	*ret = c;
	return 0;
}

void checks_free(struct checks *c)
{
	free(c);
}

enum reason checks_object(struct checks *c, const struct oid *oid, enum object_type type, struct rd bytes,
			  struct wr *ret_text)
{
	(void)c, (void)oid, (void)type, (void)bytes, (void)ret_text;
	return REASON_NONE;
}

enum reason checks_large_blob(struct checks *c, const struct oid *oid, uint64_t size, struct wr *ret_text)
{
	(void)c, (void)oid, (void)size, (void)ret_text;
	return REASON_NONE;
}

enum checks_verdict checks_run(struct checks *c, struct oid *ret_missing)
{
	(void)c, (void)ret_missing;
	return CHECKS_FAILED;
}

int checks_find(struct checks *c, struct checks_place *place)
{
	(void)c, (void)place;
	return -ENOSYS;
}

/*
 * checks.c - whether the objects of a push are what the policy and git allow
 *
 * Nothing is checked yet, so nothing passes.
 */
#include "gitproxy/gate/checks.h"

enum reason checks_object(enum object_format format, enum object_type type, struct rd bytes, struct wr *ret_text)
{
	(void)format, (void)type, (void)bytes, (void)ret_text;
	return REASON_NONE;
}

enum checks_verdict checks_run(const struct checks_spec *spec, struct oid *ret_missing)
{
	(void)spec, (void)ret_missing;
	return CHECKS_FAILED;
}

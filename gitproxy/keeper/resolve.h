/*
 * resolve.h - the real addresses of an upstream, as the host sees them
 */
#ifndef GITPROXY_KEEPER_RESOLVE_H
#define GITPROXY_KEEPER_RESOLVE_H

#include "base/addr.h"
#include "policy/host_config.h"

enum { RESOLVE_MAX = 16 };

struct resolve;
/* Reads the host's own resolver configuration once (it may not be readable later). 0 or -errno. */
int resolve_new(const struct host_config *c, struct resolve **ret);
void resolve_free(struct resolve *r);
DEFINE_AUTO(resolve, struct resolve *, resolve_free)

struct resolved {
	struct addr addr[RESOLVE_MAX];
	size_t n;
	bool fixed; /* from `hosts:` of the configuration: the administrator's own word */
};
/* 0, -ENOENT (no address), -ETIMEDOUT, -errno. Blocks within the configured time. Thread-safe. */
int resolve_name(struct resolve *r, const char *name, struct resolved *ret);

#endif

/*
 * scopes.h - the scope tokens of sandboxes, for the explicit route
 */
#ifndef NETD_SCOPES_H
#define NETD_SCOPES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "netd/netd.h"
#include "netd/registry.h"
#include "policy/scope.h"

enum { SCOPES_PER_SANDBOX = 8 };
#define SCOPES_TTL_MAX_MS ((uint64_t)365 * 24 * 3600 * 1000)

struct scopes;
int scopes_new(struct netd *n, struct scopes **ret);	/* 0 or -ENOMEM */
void scopes_free(struct scopes *s);
DEFINE_AUTO(scopes, struct scopes *, scopes_free)

/*
 * A new token of a sandbox, good for ttl_ms; its ninth replaces the one that would end first. It is
 * told here and never again. 0 or -errno.
 */
int scopes_issue(struct scopes *s, const struct sandbox *of, uint64_t ttl_ms,
		 char ret_token[SCOPE_TEXT + 1]);
bool scopes_valid(const struct scopes *s, uint16_t sandbox, const uint8_t hash[SCOPE_HASH]);
void scopes_forget(struct scopes *s, uint16_t sandbox);

#endif

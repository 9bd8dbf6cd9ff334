/*
 * tell.h - what the mirror tells the keeper, and asks of it but not of upstream
 */
#ifndef GITPROXY_MIRROR_TELL_H
#define GITPROXY_MIRROR_TELL_H

#include "gitproxy/mirror/repo.h"

/* For the audit, which is the keeper's. */
void tell_event(int keeper, enum mirror_what what, const struct repo *x, uint64_t objects, uint64_t bytes, uint64_t ms);
/* The domain that a repository has now, and its spelling. REASON_NONE, or why it is not to be mirrored. Blocks. */
enum reason tell_whose(int keeper, const char *host, const char *repo, struct mirror_domain_of *ret);

#endif

/*
 * credential_store.h - the host's secrets, in locked memory, as fresh as their files
 */
#ifndef GITPROXY_KEEPER_CREDENTIAL_STORE_H
#define GITPROXY_KEEPER_CREDENTIAL_STORE_H

#include "base/audit.h"
#include "gitproxy/keeper/dial.h"
#include "gitproxy/keeper/echo.h"

/* One secret as it is sent. Immutable; kept until the last request that uses it is over. */
struct credential {
	const struct host_credential *of;
	char *header;			/* "Authorization: Basic ...", a whole line, locked; NULL: ssh's */
	struct echo *echo;		/* how it would look if it came back; NULL: ssh's */
	uint64_t identity;		/* another secret, another number; never 0 */
	unsigned refs;
};

enum credential_answer {
	CREDENTIAL_UNUSABLE = 0,	/* there is one, and it cannot be had: refuse */
	CREDENTIAL_NONE,		/* the repository has none */
	CREDENTIAL_READY
};

struct credential_store;
/* While rights last. All are borrowed. 0 or -errno. */
int credential_store_new(const struct host_config *c, const struct dial_ways *ways, struct audit *a,
			 struct credential_store **ret);
/* After they are gone: look at all files. What cannot be read now is unusable, and told. */
void credential_store_load(struct credential_store *s);
/*
 * The credential of a repository that the policy allows. Looks at the file again when the last look
 * is a second old; may ask an API and block for half a minute. A less specific one is never taken
 * instead. Thread-safe.
 */
enum credential_answer credential_store_get(struct credential_store *s, const char *host,
					    const char *repo, struct credential **ret);
/* The header that a profile names for a terminated host; no such one is unusable. Otherwise as above. */
enum credential_answer credential_store_named(struct credential_store *s, const char *name,
					      struct credential **ret);
void credential_store_put(struct credential_store *s, struct credential *c /* takes; or NULL */);

#endif

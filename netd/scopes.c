/*
 * scopes.c - the scope tokens of sandboxes, for the explicit route
 *
 * Theory of operation: a token is made here, told once, and kept as its hash until its time is
 * over, its sandbox goes, or this process ends. The proxy asks for each request, with the sandbox
 * that the kernel names; only that sandbox's tokens are looked at, all of them, in a time that
 * depends on none of their bytes.
 */
#include "netd/scopes.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "policy/mark.h"

struct scope {
	uint64_t until_ms;		/* loop_now(); 0: none */
	uint8_t hash[SCOPE_HASH];
};

struct scopes {
	struct netd *n;
	struct scope *of[MARK_SANDBOX_MAX + 1];		/* SCOPES_PER_SANDBOX each, or NULL */
};

int scopes_new(struct netd *n, struct scopes **ret)
{
	struct scopes *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->n = n;
	*ret = s;
	return 0;
}

void scopes_free(struct scopes *s)
{
	for (size_t i = 0; s && i < ARRAY_SIZE(s->of); i++)
		free(s->of[i]);
	free(s);
}

void scopes_forget(struct scopes *s, uint16_t sandbox)
{
	free(s->of[sandbox]);
	s->of[sandbox] = NULL;
}

static struct scope *soonest(struct scope *all)
{
	struct scope *first = &all[0];

	for (size_t i = 1; i < SCOPES_PER_SANDBOX; i++)
		if (all[i].until_ms < first->until_ms)
			first = &all[i];
	return first;
}

int scopes_issue(struct scopes *s, const struct sandbox *of, uint64_t ttl_ms,
		 char ret_token[SCOPE_TEXT + 1])
{
	struct scope fresh = { .until_ms = loop_now(s->n->loop) + ttl_ms };
	uint8_t random[SCOPE_BYTES];

	if (!ttl_ms || ttl_ms > SCOPES_TTL_MAX_MS)
		return -ERANGE;
	if (!s->of[of->id])
		s->of[of->id] = calloc(SCOPES_PER_SANDBOX, sizeof(fresh));
	if (!s->of[of->id])
		return -ENOMEM;
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return -EIO;
	scope_format(random, ret_token);
	if (!scope_hash(rd_str(ret_token), fresh.hash))
		return -ENOMEM;
	*soonest(s->of[of->id]) = fresh;
	return 0;
}

bool scopes_valid(const struct scopes *s, uint16_t sandbox, const uint8_t hash[SCOPE_HASH])
{
	const struct scope *all = s->of[sandbox];
	uint64_t now = loop_now(s->n->loop);
	bool valid = false;

	for (size_t i = 0; all && i < SCOPES_PER_SANDBOX; i++)
		valid |= !CRYPTO_memcmp(all[i].hash, hash, SCOPE_HASH) & (now < all[i].until_ms);
	return valid;
}

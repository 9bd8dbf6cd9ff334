/*
 * github_app.h - installation tokens of a GitHub App
 *
 * Spec: RFC 7519 (JWT), RFC 7518 s3.3 (RS256); docs.github.com, "Authenticating as a GitHub App
 * installation".
 */
#ifndef GITPROXY_KEEPER_GITHUB_APP_H
#define GITPROXY_KEEPER_GITHUB_APP_H

#include <stdint.h>
#include <time.h>

#include "base/bytes.h"
#include "gitproxy/keeper/dial.h"

enum { APP_TOKEN_MAX = 1024, APP_WHY = 160 };

struct app_token {
	char text[APP_TOKEN_MAX];	/* wiped by whoever has it */
	time_t expires;
};
/*
 * Ask for a token: blocks for at most half a minute. 0, or -errno with what went wrong (never a
 * byte of an answer, which may hold one) in ret_why.
 */
int github_app_mint(const struct dial_ways *ways, const struct host_credential *h, struct rd key,
		    struct app_token *ret, char ret_why[APP_WHY]);

/* Parts of it, for tests. A signed JWT in base64url, NUL-terminated; and an answer of the API. */
int github_app_jwt(struct rd key, uint64_t app, time_t now, char *ret, size_t cap);
int github_app_answer(struct rd body, time_t now, struct app_token *ret);

#endif

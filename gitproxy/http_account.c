/*
 * http_account.c - does a request say on whose account it is made
 *
 * Theory of operation: the keeper adds a credential to requests for some hosts. The field that it
 * fills is taken from the client without a word, since many clients do not start without a key of
 * some kind: what they are given may be anything, it goes nowhere. Any other field or parameter that
 * servers take a secret from would leave them the choice between two accounts, and let a sandbox
 * send data to one of its own at a host that was granted for another: refused, as on git hosts
 * (threats C7).
 * Input: what http_fields.h has let pass. Not handled: secrets in paths, bodies, or under names that
 * nobody but one server knows.
 */
#include "gitproxy/http_account.h"

#include "gitproxy/http_fields.h"

static const char *const fields[] = {
	"authorization", "x-authorization", "cookie", "cookie2", "api-key", "apikey", "x-api-key",
	"x-apikey", "x-api-token", "x-auth-key", "x-auth-token", "x-access-token", "x-session-token",
	"x-secret-key", "x-token", "token", "x-auth", "x-user-token", "x-authentication-token", "private-token", "job-token", "deploy-token", "circle-token",
	"x-amz-security-token", "x-figma-token", "x-functions-key", "x-github-token",
	"x-gitlab-token", "x-goog-api-key", "x-jfrog-art-api", "x-ms-token", "x-nuget-apikey",
	"x-rapidapi-key", "x-shopify-access-token", "x-vault-token", "xi-api-key",
	"dd-api-key", "ocp-apim-subscription-key",
};

/* RFC 6750 s2.3, and what is seen in the wild, as http_has_parameter_like() folds it. */
static const char *const parameters[] = {
	"access_token", "accesstoken", "api_key", "apikey", "api_token", "auth_token", "authtoken",
	"oauth_token", "private_token", "job_token", "subscription_key", "x_amz_credential",
	"x_goog_credential", "awsaccesskeyid", "googleaccessid",
};

static uint8_t folded(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c == '_' ? '-' : c;
}

bool http_field_is(struct rd name, const char *other)
{
	uint8_t c;

	for (; rd_left(&name); other++)
		if (!rd_u8(&name, &c) || !*other || folded(c) != folded((uint8_t)*other))
			return false;
	return !*other;
}

bool http_has_field(struct rd block, const char *want)
{
	struct rd name, value;

	while (http_fields_next(&block, &name, &value))
		if (http_field_is(name, want))
			return true;
	return false;
}

bool http_has_account(struct rd query, struct rd block, const char *ours)
{
	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++)
		if (http_has_parameter_like(query, parameters[i]))
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (!http_field_is(rd_str(fields[i]), ours) && http_has_field(block, fields[i]))
			return true;
	return false;
}

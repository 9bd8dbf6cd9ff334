/*
 * credential_line.c - the header line that carries a secret
 *
 * Theory of operation: what is sent is seldom what the file holds. A token becomes the password of a
 * pair, a value stands behind its scheme. What an upstream would repeat is what stands behind the
 * scheme, or the password of the pair, so that is what echo.c is told to look for; whatever holds
 * it is found as well. A value may bring a scheme along ("Bearer ..."), which is then read here, for
 * looking only: what is sent stays as it is in the file.
 * Invariants: a secret of which a part could come back unseen is refused, not sent.
 */
#include "gitproxy/keeper/credential_line.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "gitproxy/http_fields.h"

static const char too_short[] = "is too short for a secret";

/* "Name: Scheme " and the pair in base64. */
static int pair_line(const char *name, const char *scheme, const char *user, struct rd secret, char **ret)
{
	size_t pair_n = strlen(user) + 1 + secret.n, head = strlen(name) + 2 + strlen(scheme) + 1;
	char *pair = OPENSSL_secure_malloc(pair_n + 1);
	char *line = OPENSSL_secure_malloc(head + 4 * ((pair_n + 2) / 3) + 1);

	if (pair && line) {
		snprintf(pair, pair_n + 1, "%s:%.*s", user, (int)secret.n, (const char *)secret.p);
		snprintf(line, head + 1, "%s: %s ", name, scheme);
		EVP_EncodeBlock((unsigned char *)line + head, (unsigned char *)pair, (int)pair_n);
		*ret = line;
	} else {
		OPENSSL_secure_free(line);
	}
	OPENSSL_secure_clear_free(pair, pair ? pair_n + 1 : 0);
	return *ret ? 0 : -ENOMEM;
}

static int value_line(const char *name, const char *scheme, struct rd value, char **ret)
{
	size_t cap = strlen(name) + 2 + strlen(scheme) + 1 + value.n + 1;

	*ret = OPENSSL_secure_malloc(cap);
	if (!*ret)
		return -ENOMEM;
	snprintf(*ret, cap, "%s: %s%s%.*s", name, scheme, *scheme ? " " : "", (int)value.n,
		 (const char *)value.p);
	return 0;
}

static int look_for(struct echo *e, struct rd secret, const char **ret_why)
{
	if (secret.n >= ECHO_SECRET_MIN)
		return echo_add(e, secret);
	*ret_why = too_short;
	return -EINVAL;
}

/* The password of a pair in base64. */
static int look_for_password(struct echo *e, struct rd pair, const char **ret_why)
{
	unsigned char *text = pair.n % 4 ? NULL : OPENSSL_secure_malloc(pair.n);
	int n = text ? EVP_DecodeBlock(text, pair.p, (int)pair.n) : -1, r = -EINVAL;
	struct rd password = { 0 }, user;

	*ret_why = "is no pair in base64 behind its scheme Basic";
	for (size_t i = 1; n > 0 && i <= 2 && pair.n > i && pair.p[pair.n - i] == '='; i++)
		n--;				/* counted as a byte that is not there */
	if (n > 0)
		password = rd_of(text, (size_t)n);
	if (n > 0 && rd_until(&password, ':', &user))
		r = look_for(e, password, ret_why);
	OPENSSL_secure_clear_free(text, text ? pair.n : 0);
	return r;
}

/* The file's own words: what stands behind a scheme, if there is one. */
static int look_for_value(struct echo *e, struct rd value, const char **ret_why)
{
	struct rd rest = value, scheme;
	int r;

	if (!rd_has(value, ' '))
		return look_for(e, value, ret_why);
	if (!rd_until(&rest, ' ', &scheme))
		return -EINVAL;
	while (rest.n && rest.p[0] == ' ' && rd_skip(&rest, 1))
		;
	r = look_for(e, rest, ret_why);
	return !r && rd_eq_nocase(scheme, "basic") ? look_for_password(e, rest, ret_why) : r;
}

static int header_line(const struct host_credential *of, struct rd value, struct echo *e, char **ret,
		       const char **ret_why)
{
	struct rd rest = value, first;
	int r;

	if (!http_value_passes(value)) {
		*ret_why = "holds bytes that no header's value has, or a space at an end";
		return -EINVAL;
	}
	if (*of->scheme && rd_until(&rest, ' ', &first) && rd_eq_nocase(first, of->scheme)) {
		*ret_why = "begins with its scheme, which is put before it anyway";
		return -EINVAL;
	}
	r = *of->scheme ? look_for(e, value, ret_why) : look_for_value(e, value, ret_why);
	return r ? r : value_line(of->header, of->scheme, value, ret);
}

int credential_line(const struct host_credential *of, struct rd secret, struct echo *e, char **ret,
		    const char **ret_why)
{
	bool header = of->kind == CREDENTIAL_HEADER;
	int r;

	*ret = NULL;
	*ret_why = "cannot be used";
	if (header && strcasecmp(of->scheme, "basic"))
		return header_line(of, secret, e, ret, ret_why);
	r = look_for(e, secret, ret_why);
	return r ? r : pair_line(header ? of->header : "Authorization", header ? of->scheme : "Basic",
				 of->username, secret, ret);
}

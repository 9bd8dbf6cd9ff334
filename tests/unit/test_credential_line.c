/*
 * test_credential_line.c - what is sent of a secret, and what must not come back
 */
#include "gitproxy/keeper/credential_line.h"

#include <errno.h>
#include <openssl/crypto.h>

#include "tests/unit/check.h"

#define APP(...) { .kind = CREDENTIAL_APP, __VA_ARGS__ }
#define HEADER(...) { .kind = CREDENTIAL_HEADER, .username = (char *)"me", __VA_ARGS__ }
#define NAME(text) .header = (char *)text
#define SCHEME(text) .scheme = (char *)text

/* echo: a text that must be found; free: one that must not. */
struct row {
	const char *what;
	struct host_credential of;
	const char *secret, *want, *echo, *free;
};

static const struct row good[] = {
	{ "token of git", { .kind = CREDENTIAL_TOKEN, .username = (char *)"me" }, "s3cretpw",
	  "Authorization: Basic bWU6czNjcmV0cHc=", "czNjcmV0cHc", "Basic" },
	{ "token of an application", APP(.username = (char *)"x"), "s3cretpw", "Authorization: Basic eDpzM2NyZXRwdw==", "s3cretpw", "x:" },
	{ "bare", HEADER(NAME("X-Key"), SCHEME("")), "s3cretpw", "X-Key: s3cretpw", "=s3cretpw&", "X-Key" },
	{ "scheme", HEADER(NAME("Authorization"), SCHEME("Bearer")), "s3cretpw", "Authorization: Bearer s3cretpw", "s3cretpw", "Bearer " },
	{ "pair", HEADER(NAME("X-Auth"), SCHEME("Basic")), "s3cretpw", "X-Auth: Basic bWU6czNjcmV0cHc=", "bWU6czNjcmV0cHc=", "me:" },
	{ "pair, bytes above 0x7f", HEADER(NAME("A"), SCHEME("basic")), "s3cret\xc3\xa9", "A: basic bWU6czNjcmV0w6k=", "s3cret\xc3\xa9", "me:" },
	{ "a scheme in the file", HEADER(NAME("Authorization"), SCHEME("")), "Bearer s3cretpw", "Authorization: Bearer s3cretpw", "s3cretpw", "Bearer " },
	{ "that in base64", HEADER(NAME("A"), SCHEME("")), "Bearer s3cretpw", "A: Bearer s3cretpw", "czNjcmV0cH", "QmVhcmVy" },
	{ "a pair in the file", HEADER(NAME("A"), SCHEME("")), "basic bWU6czNjcmV0cHc=", "A: basic bWU6czNjcmV0cHc=", "pw=s3cretpw", "me:" },
	{ "the pair itself", HEADER(NAME("A"), SCHEME("")), "Basic  bWU6czNjcmV0cHc=", "A: Basic  bWU6czNjcmV0cHc=", "bWU6czNjcmV0cHc=", "Basic" },
	{ "two words behind a scheme", HEADER(NAME("A"), SCHEME("Token")), "a=1, key=s3cretpw", "A: Token a=1, key=s3cretpw", "a=1, key=s3cretpw", "a=1" },
};

static const struct row bad[] = {
	{ "short", HEADER(NAME("A"), SCHEME("")), "s3cretp", "is too short" },
	{ "short behind its scheme", HEADER(NAME("A"), SCHEME("")), "Bearer s3cretp", "is too short" },
	{ "short password", HEADER(NAME("A"), SCHEME("")), "Basic bG9uZy11c2VyOnNob3J0", "is too short" },
	{ "no pair", HEADER(NAME("A"), SCHEME("")), "Basic bG9uZ3VzZXJub3Bhc3M=", "is no pair" },
	{ "no base64", HEADER(NAME("A"), SCHEME("")), "Basic s3cretpw-s3cretpw", "is no pair" },
	{ "space before", HEADER(NAME("A"), SCHEME("Bearer")), " s3cretpw", "holds bytes" },
	{ "space behind", HEADER(NAME("A"), SCHEME("")), "s3cretpw ", "holds bytes" },
	{ "bytes above 0x7f", HEADER(NAME("A"), SCHEME("Bearer")), "s3cret\xc3\xa9", "holds bytes" },
	{ "its scheme twice", HEADER(NAME("A"), SCHEME("Bearer")), "bearer s3cretpw", "begins with its scheme" },
	{ "empty", HEADER(NAME("A"), SCHEME("Bearer")), "", "is too short" },
};

static int line(const struct row *row, struct echo *e, char **ret, const char **why)
{
	AUTO(mem) void *in = check_exact(row->secret, strlen(row->secret));

	return credential_line(&row->of, rd_of(in, strlen(row->secret)), e, ret, why);
}

TEST(lines)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		const struct row *row = &good[i];
		AUTO(echo) struct echo *e = NULL;
		const char *why;
		char *got;

		CHECK_EQ(row->what, echo_new(&e), 0);
		CHECK_EQ(row->what, line(row, e, &got, &why), 0);
		CHECK_STR(row->what, got ? got : "", row->want);
		CHECK(row->what, got && echo_in(e, rd_str(got)));
		CHECK(row->what, echo_in(e, rd_str(row->echo)));
		CHECK(row->what, !echo_in(e, rd_str(row->free)));
		if (got)
			OPENSSL_secure_clear_free(got, strlen(got));
	}
}

TEST(what_cannot_be_sent)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		AUTO(echo) struct echo *e = NULL;
		const char *why = "";
		char *got;

		CHECK_EQ(bad[i].what, echo_new(&e), 0);
		CHECK_EQ(bad[i].what, line(&bad[i], e, &got, &why), -EINVAL);
		CHECK(bad[i].what, !got);
		if (strncmp(why, bad[i].want, strlen(bad[i].want)))
			CHECK_FAIL("%s: %s", bad[i].what, why);
	}
}

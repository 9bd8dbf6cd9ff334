/*
 * test_github_app.c - what is signed, and which answers of the API are believed
 */
#include "tests/unit/check.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "gitproxy/keeper/github_app.h"

/* What github_app.c asks for elsewhere. */
void dial_set(struct dial *const *d, CURL *c) { (void)d, (void)c; }
enum reason dial_find(struct dial *d, const char *host, char text[DIAL_TEXT])
{
	(void)d, (void)host, (void)text;
	return REASON_UPSTREAM_UNREACHABLE;
}

enum { NOW = 1800000000 };
#define TOKEN "ghs_0123456789"

TEST(answers)
{
	static const struct { const char *what, *text; size_t n; int want; } rows[] = {
		{ "as documented", W("{\"token\":\"" TOKEN "\",\"expires_at\":\"2027-01-15T09:00:00Z\",\"permissions\":{}}"), 0 },
		{ "empty", W(""), -EBADMSG }, { "no JSON", W("<html>"), -EBADMSG }, { "a list", W("[]"), -EBADMSG },
		{ "cut", W("{\"token\":\"" TOKEN "\",\"expires_at\":\"2027-01-15T09:00"), -EBADMSG },
		{ "no token", W("{\"expires_at\":\"2027-01-15T09:00:00Z\"}"), -EBADMSG },
		{ "no end", W("{\"token\":\"" TOKEN "\"}"), -EBADMSG },
		{ "a number", W("{\"token\":1,\"expires_at\":\"2027-01-15T09:00:00Z\"}"), -EBADMSG },
		{ "too short", W("{\"token\":\"ghs\",\"expires_at\":\"2027-01-15T09:00:00Z\"}"), -EBADMSG },
		{ "a header's end", W("{\"token\":\"" TOKEN "\\r\\nX: y\",\"expires_at\":\"2027-01-15T09:00:00Z\"}"), -EBADMSG },
		{ "expired", W("{\"token\":\"" TOKEN "\",\"expires_at\":\"2027-01-15T07:59:00Z\"}"), -EBADMSG },
		{ "another form of time", W("{\"token\":\"" TOKEN "\",\"expires_at\":\"2027-01-15 09:00:00\"}"), -EBADMSG },
		{ "time and more", W("{\"token\":\"" TOKEN "\",\"expires_at\":\"2027-01-15T09:00:00Z+1\"}"), -EBADMSG },
		{ "twice", W("{\"token\":\"" TOKEN "\",\"token\":\"" TOKEN "\",\"expires_at\":\"2027-01-15T09:00:00Z\"}"), -EBADMSG },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(mem) void *in = check_exact(rows[i].text, rows[i].n);
		struct app_token t = { "", 0 };

		CHECK_EQ(rows[i].what, github_app_answer(rd_of(in, rows[i].n), NOW, &t), rows[i].want);
		CHECK_STR(rows[i].what, t.text, rows[i].want ? "" : TOKEN);
		if (!rows[i].want)
			CHECK_EQ("an hour", t.expires, NOW + 3600);
	}
}

TEST(an_end_far_away_is_not_believed)
{
	struct app_token t = { "", 0 };

	CHECK_EQ("far", github_app_answer(rd_str("{\"token\":\"" TOKEN "\",\"expires_at\":\"2999-01-15T09:00:00Z\"}"), NOW, &t), 0);
	CHECK_EQ("a day", t.expires, NOW + 24 * 3600);
}

static char *pem_of(EVP_PKEY *key)
{
	BIO *out = BIO_new(BIO_s_mem());
	char *data, *text;
	long n;

	PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
	n = BIO_get_mem_data(out, &data);
	text = strndup(data, (size_t)n);
	BIO_free(out);
	return text;
}

TEST(only_an_rsa_key_signs)
{
	EVP_PKEY *rsa = EVP_RSA_gen(2048), *ec = EVP_EC_gen("P-256");
	AUTO(mem) char *good = pem_of(rsa), *bad = pem_of(ec);
	char jwt[4096];

	CHECK_EQ("RSA", github_app_jwt(rd_str(good), 7, NOW, jwt, sizeof(jwt)), 0);
	/* {"alg":"RS256","typ":"JWT"}.{"iat":1799999940,"exp":1800000540,"iss":"7"} by another encoder */
	CHECK("what it says", !strncmp(jwt, "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9."
		"eyJpYXQiOjE3OTk5OTk5NDAsImV4cCI6MTgwMDAwMDU0MCwiaXNzIjoiNyJ9.", 98));
	CHECK("in base64url", !strpbrk(jwt, "+/="));
	CHECK_EQ("no room", github_app_jwt(rd_str(good), 7, NOW, jwt, 200), -EINVAL);
	CHECK_EQ("another kind of key", github_app_jwt(rd_str(bad), 7, NOW, jwt, sizeof(jwt)), -EINVAL);
	CHECK_EQ("half a key", github_app_jwt(rd_of(good, strlen(good) / 2), 7, NOW, jwt, sizeof(jwt)), -EINVAL);
	CHECK_EQ("no key", github_app_jwt(rd_str("no key at all"), 7, NOW, jwt, sizeof(jwt)), -EINVAL);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ec);
}

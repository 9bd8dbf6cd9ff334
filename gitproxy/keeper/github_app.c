/*
 * github_app.c - installation tokens of a GitHub App
 *
 * Theory of operation: a JSON web token that says who we are for ten minutes, signed with the
 * application's key, is sent to the API, which answers with a token that works like a password for
 * about an hour. The API is dialled under the same rules as upstreams. Its answer is read with
 * jansson, bounded, and believed only as far as a token can look: printable, and not expired. The
 * clock of the API may differ from ours by a minute.
 */
#include "gitproxy/keeper/github_app.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>

#include "gitproxy/keeper/echo.h"

enum {
	JWT_BEFORE = 60,
	JWT_LIFE = 9 * 60,
	JWT_MAX = 4096,
	SIGNATURE_MAX = 1024,
	ANSWER_MAX = 65536,
	MINT_MS = 30000,
	TOKEN_LIFE_MAX = 24 * 3600,
	URL_MAX = 640
};

/* ---- the signed token ---- */

static void put_base64url(struct wr *w, const void *p, size_t n)
{
	char text[4 * ((SIGNATURE_MAX + 2) / 3) + 1];
	int got = n <= SIGNATURE_MAX ? EVP_EncodeBlock((unsigned char *)text, p, (int)n) : 0;

	w->failed |= got <= 0;
	for (int i = 0; i < got && text[i] != '='; i++)
		wr_u8(w, (uint8_t)(text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i]));
}

static void put_claims(struct wr *w, uint64_t app, time_t now)
{
	static const char header[] = "{\"alg\":\"RS256\",\"typ\":\"JWT\"}";
	char claims[128];
	int n = snprintf(claims, sizeof(claims),
			 "{\"iat\":%lld,\"exp\":%lld,\"iss\":\"%" PRIu64 "\"}",
			 (long long)now - JWT_BEFORE, (long long)now + JWT_LIFE, app);

	put_base64url(w, header, sizeof(header) - 1);
	wr_str(w, ".");
	put_base64url(w, claims, (size_t)n);
}

static EVP_PKEY *key_read(struct rd pem)
{
	BIO *in = BIO_new_mem_buf(pem.p, (int)pem.n);
	EVP_PKEY *key = in ? PEM_read_bio_PrivateKey(in, NULL, NULL, (void *)"") : NULL;

	BIO_free(in);
	if (key && EVP_PKEY_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_size(key) <= SIGNATURE_MAX)
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

int github_app_jwt(struct rd pem, uint64_t app, time_t now, char *ret, size_t cap)
{
	unsigned char signature[SIGNATURE_MAX];
	size_t n = sizeof(signature);
	struct wr w = wr_of(ret, cap - 1);
	EVP_PKEY *key = key_read(pem);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = key && ctx;

	put_claims(&w, app, now);
	ok = ok && wr_ok(&w) && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
	     EVP_DigestSign(ctx, signature, &n, w.p, w.n) == 1;
	wr_str(&w, ".");
	if (ok)
		put_base64url(&w, signature, n);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	if (!ok || !wr_ok(&w))
		return -EINVAL;
	ret[w.n] = '\0';
	return 0;
}

/* ---- the answer ---- */

/* "2016-07-11T22:14:10Z" */
static bool time_of(const char *text, time_t *ret)
{
	struct tm t = { 0 };
	int end = 0;

	if (!text ||
	    sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2dZ%n", &t.tm_year, &t.tm_mon, &t.tm_mday,
		   &t.tm_hour, &t.tm_min, &t.tm_sec, &end) != 6 ||
	    !end || text[end])
		return false;
	t.tm_year -= 1900;
	t.tm_mon--;
	*ret = timegm(&t);
	return true;
}

static bool token_ok(const char *text)
{
	size_t n = text ? strlen(text) : 0;

	for (size_t i = 0; i < n; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	return n >= ECHO_SECRET_MIN && n < APP_TOKEN_MAX;
}

int github_app_answer(struct rd body, time_t now, struct app_token *ret)
{
	json_t *root = json_loadb((const char *)body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
	const char *token = json_string_value(json_object_get(root, "token"));
	const char *expires = json_string_value(json_object_get(root, "expires_at"));
	int r = -EBADMSG;

	if (token_ok(token) && time_of(expires, &ret->expires) && ret->expires > now) {
		snprintf(ret->text, sizeof(ret->text), "%s", token);
		if (ret->expires > now + TOKEN_LIFE_MAX)
			ret->expires = now + TOKEN_LIFE_MAX;
		r = 0;
	}
	json_decref(root);
	return r;
}

/* ---- the request ---- */

static size_t on_answer(char *p, size_t size, size_t n, void *arg)
{
	return wr_put(arg, p, size * n) ? size * n : 0;
}

static bool post(CURL *c, const char *url, struct curl_slist *headers, struct curl_slist *hosts,
		 struct wr *answer)
{
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_RESOLVE, hosts);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "cordon/" CORDON_VERSION);
	curl_easy_setopt(c, CURLOPT_POST, 1L);
	curl_easy_setopt(c, CURLOPT_POSTFIELDS, "{}");
	curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, 2L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)MINT_MS);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_answer);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, answer);
	return curl_easy_perform(c) == CURLE_OK;
}

/* The status, 0: no answer, -1: no memory. */
static long ask(struct dial *d, const struct host_credential *h, char *bearer,
		const char *addresses, struct wr *answer)
{
	struct curl_slist *hosts = curl_slist_append(NULL, addresses), *headers = NULL, *more;
	struct curl_slist signature = { .data = bearer };
	CURL *c = curl_easy_init();
	char url[URL_MAX];
	long status = -1;

	headers = curl_slist_append(NULL, "Accept: application/vnd.github+json");
	more = headers ? curl_slist_append(headers, "Content-Type: application/json") : NULL;
	snprintf(url, sizeof(url), "https://%s%s/app/installations/%" PRIu64 "/access_tokens",
		 h->api_host, h->api_path, h->installation);
	signature.next = headers;
	if (c && hosts && more) {
		dial_set(&d, c);
		status = 0;
		if (post(c, url, &signature, hosts, answer))
			curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	}
	curl_easy_cleanup(c);
	curl_slist_free_all(headers);
	curl_slist_free_all(hosts);
	return status;
}

struct room { /* in locked memory */
	char bearer[JWT_MAX];
	uint8_t answer[ANSWER_MAX];
};

static int fail(char *why, int r, const char *text, long status)
{
	snprintf(why, APP_WHY, "%s", text);
	if (status)
		snprintf(why, APP_WHY, "%s %ld", text, status);
	return r;
}

static int mint(struct dial *d, const struct host_credential *h, struct room *room,
		const char *addresses, struct app_token *ret, char *why)
{
	struct wr answer = wr_of(room->answer, sizeof(room->answer));
	long status = ask(d, h, room->bearer, addresses, &answer);

	if (status <= 0)
		return fail(why, -EHOSTUNREACH, "the API could not be reached, or is not trusted",
			    0);
	if (status != 201)
		return fail(why, -EACCES, "the API answered with status", status);
	if (!wr_ok(&answer) || github_app_answer(wr_rd(&answer), time(NULL), ret) < 0)
		return fail(why, -EBADMSG, "the API's answer holds no token", 0);
	return 0;
}

int github_app_mint(const struct dial_ways *ways, const struct host_credential *h, struct rd key,
		    struct app_token *ret, char ret_why[APP_WHY])
{
	static const char scheme[] = "Authorization: Bearer ";
	struct dial d = { .ways = ways };
	struct room *room = OPENSSL_secure_zalloc(sizeof(*room));
	char addresses[DIAL_TEXT];
	int r = 0;

	if (!room)
		return fail(ret_why, -ENOMEM, "out of locked memory", 0);
	memcpy(room->bearer, scheme, sizeof(scheme));
	if (github_app_jwt(key, h->app, time(NULL), room->bearer + sizeof(scheme) - 1,
			   sizeof(room->bearer) - sizeof(scheme)) < 0)
		r = fail(ret_why, -EINVAL, "the key file holds no RSA key in PEM", 0);
	else if (dial_find(&d, h->api_host, addresses) != REASON_NONE)
		r = fail(ret_why, -EHOSTUNREACH, "the API's host has no address to dial", 0);
	else
		r = mint(&d, h, room, addresses, ret, ret_why);
	OPENSSL_secure_clear_free(room, sizeof(*room));
	return r;
}

/*
 * confirm.c - is a candidate a secret?
 *
 * Theory of operation: PCRE2 finds the match in a window of somebody else's bytes; then the secret
 * is its group, which must have more entropy than the rule wants, a keyword near it, and no place
 * in an allow list. The work for hostile bytes is limited (MATCH_LIMIT); whoever reaches the limit
 * has not been scanned. Nothing here copies the secret but the fingerprint, which wipes its copy.
 */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gitproxy/scan/engine.h"

enum { MATCH_LIMIT = 2000000, HEAP_LIMIT_KIB = 4096, STACK_MIN = 32 << 10, STACK_MAX = 1 << 20 };

int scan_matcher_init(const struct scan *e, struct scan_matcher *m)
{
	m->data = pcre2_match_data_create(e->groups + 1, NULL);
	m->limits = pcre2_match_context_create(NULL);
	m->stack = pcre2_jit_stack_create(STACK_MIN, STACK_MAX, NULL);
	m->cache = calloc(SCAN_CACHE, sizeof(*m->cache));
	if (!m->data || !m->limits || !m->stack || !m->cache)
		return -ENOMEM;
	pcre2_set_match_limit(m->limits, MATCH_LIMIT);
	pcre2_set_heap_limit(m->limits, HEAP_LIMIT_KIB);
	pcre2_jit_stack_assign(m->limits, NULL, m->stack);
	return 0;
}

void scan_matcher_done(struct scan_matcher *m)
{
	pcre2_match_data_free(m->data);
	pcre2_match_context_free(m->limits);
	pcre2_jit_stack_free(m->stack);
	free(m->cache);
}

/* Shannon, of bytes. */
static bool random_enough(struct rd secret, double least)
{
	unsigned count[256] = { 0 };
	double bits = 0;

	if (least <= 0)
		return true;
	for (size_t i = 0; i < secret.n; i++)
		count[secret.p[i]]++;
	for (size_t i = 0; i < ARRAY_SIZE(count); i++) {
		double share = count[i] / (double)secret.n;

		if (count[i])
			bits -= share * log2(share);
	}
	return bits > least;
}

/* `word` is lower case. */
static bool has_word(struct rd in, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i + n <= in.n; i++)
		if (tolower(in.p[i]) == word[0] && !strncasecmp((const char *)in.p + i, word, n))
			return true;
	return false;
}

static bool has_words(struct rd in, const struct scan_texts *words)
{
	for (size_t i = 0; i < words->n; i++)
		if (has_word(in, words->text[i]))
			return true;
	return false;
}

static struct rd part(struct rd in, size_t from, size_t to)
{
	struct rd gone, out;

	return rd_take(&in, from, &gone) && rd_take(&in, to - from, &out) ? out : rd_of(NULL, 0);
}

/* -1: could not be told. */
static int matches_any(struct scan_matcher *m, const struct scan_regexes *list, struct rd in)
{
	pcre2_set_offset_limit(m->limits, PCRE2_UNSET);
	for (size_t i = 0; i < list->n; i++) {
		int r = pcre2_match(list->code[i], in.p, in.n, 0, 0, m->data, m->limits);

		if (r != PCRE2_ERROR_NOMATCH)
			return r < 0 ? -1 : 1;
	}
	return 0;
}

static enum scan_match allowed(const struct scan *e, struct scan_matcher *m, size_t rule,
			       const char *path, struct rd secret)
{
	const struct scan_judge *j = &e->judge[rule];
	int by_secret, by_path = 0;

	if (has_words(secret, &e->rules->rule[rule].allow.stopwords))
		return SCAN_MATCH_HARMLESS;
	by_secret = matches_any(m, &j->secrets, secret);
	if (!by_secret)
		by_path = path ? matches_any(m, &j->paths, rd_str(path)) : 0;
	if (by_secret < 0 || by_path < 0)
		return SCAN_MATCH_FAILED;
	return by_secret || by_path ? SCAN_MATCH_HARMLESS : SCAN_MATCH_SECRET;
}

/* Group `wanted`, or of 0 the first that took part; the whole match when there is none. */
static void secret_of(const PCRE2_SIZE *at, int groups, unsigned wanted, struct scan_hit *ret)
{
	int g = (int)wanted;

	for (int i = 1; !wanted && !g && i < groups; i++)
		if (at[2 * i] != PCRE2_UNSET && at[2 * i + 1] > at[2 * i])
			g = i;
	if (g >= groups || at[2 * g] == PCRE2_UNSET)
		g = 0;
	ret->start = at[2 * g];
	ret->end = at[2 * g + 1];
}

/* A history holds the same secret many times, and fingerprints are slow on purpose. */
static bool fingerprint(struct scan_matcher *m, const struct scan_rule *r, struct rd secret, char *ret)
{
	uint8_t key[32];
	struct scan_cached *c;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
		  EVP_DigestUpdate(md, r->id, strlen(r->id) + 1) == 1 &&
		  EVP_DigestUpdate(md, secret.p, secret.n) == 1 && EVP_DigestFinal_ex(md, key, NULL) == 1;

	EVP_MD_CTX_free(md);
	if (!ok)
		return false;
	c = &m->cache[key[0] % SCAN_CACHE];
	if (!*c->fingerprint || memcmp(c->key, key, sizeof(key))) {
		*c->fingerprint = 0;
		if (!scan_fingerprint(r->id, secret, c->fingerprint)) {
			*c->fingerprint = 0;
			return false;
		}
		memcpy(c->key, key, sizeof(key));
	}
	memcpy(ret, c->fingerprint, SCAN_FINGERPRINT_MAX);
	return true;
}

static enum scan_match judge(const struct scan *e, struct scan_matcher *m, size_t rule, const char *path,
			     struct rd bytes, size_t start, size_t end, struct scan_hit *hit)
{
	const struct scan_rule *r = &e->rules->rule[rule];
	struct rd secret = part(bytes, (size_t)hit->start, (size_t)hit->end);
	size_t from = start > SCAN_NEAR ? start - SCAN_NEAR : 0;
	size_t to = bytes.n - end > SCAN_NEAR ? end + SCAN_NEAR : bytes.n;
	enum scan_match v;

	if (!random_enough(secret, r->entropy) ||
	    (r->keywords.n && !has_words(part(bytes, from, to), &r->keywords)))
		return SCAN_MATCH_HARMLESS;
	v = allowed(e, m, rule, path, secret);
	if (v == SCAN_MATCH_SECRET && !fingerprint(m, r, secret, hit->fingerprint))
		v = SCAN_MATCH_FAILED;
	return v;
}

enum scan_match scan_confirm(const struct scan *e, struct scan_matcher *m, size_t rule,
			     const char *path, const struct scan_window *w, size_t *ret_end,
			     struct scan_hit *ret_hit)
{
	uint32_t options = (w->begins ? 0 : PCRE2_NOTBOL) | (w->to < w->bytes.n ? PCRE2_NOTEOL : 0);
	struct scan_hit hit = { .rule = rule };
	const PCRE2_SIZE *at;
	enum scan_match v;
	int r;

	pcre2_set_offset_limit(m->limits, w->last);
	r = pcre2_match(e->judge[rule].code, w->bytes.p, w->to, w->from, options, m->data, m->limits);
	if (r == PCRE2_ERROR_NOMATCH)
		return SCAN_MATCH_NONE;
	if (r <= 0)
		return SCAN_MATCH_FAILED;
	at = pcre2_get_ovector_pointer(m->data);
	secret_of(at, r, e->rules->rule[rule].group, &hit);
	*ret_end = at[1];
	v = judge(e, m, rule, path, w->bytes, at[0], at[1], &hit);
	if (v == SCAN_MATCH_SECRET)
		*ret_hit = hit;
	OPENSSL_cleanse(&hit, sizeof(hit));
	return v;
}

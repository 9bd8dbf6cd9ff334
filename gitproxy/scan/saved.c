/*
 * saved.c - an engine's database as bytes, and back
 *
 * Theory of operation: a header says what the database is of (the rules' hash, the library's
 * version), and a hash of all that follows shows damage, since the library trusts its bytes. What
 * does not fit is -ESTALE, and the caller compiles. PCRE2's part is compiled anew: it is quick, and
 * holds code of this process.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "gitproxy/scan/engine.h"

static const char magic[] = "cordon-scan-db 1\n";

struct bytes { char *p; size_t n; };

static void auto_free_bytes(struct bytes *b)
{
	free(b->p);
}

static bool stamp(const struct scan_rules *rules, struct rd body, uint8_t ret[32])
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool ok = c && EVP_DigestInit_ex(c, EVP_sha256(), NULL) == 1 &&
		  EVP_DigestUpdate(c, magic, sizeof(magic)) == 1 &&
		  EVP_DigestUpdate(c, hs_version(), strlen(hs_version())) == 1 &&
		  EVP_DigestUpdate(c, rules->sha256, sizeof(rules->sha256)) == 1 &&
		  EVP_DigestUpdate(c, body.p, body.n) == 1 && EVP_DigestFinal_ex(c, ret, NULL) == 1;

	EVP_MD_CTX_free(c);
	return ok;
}

int scan_save(const struct scan *e, uint8_t **ret, size_t *ret_n)
{
	__attribute__((cleanup(auto_free_bytes))) struct bytes a = { 0 };
	AUTO(mem) uint8_t *out = NULL;
	struct wr w;

	if (hs_serialize_database(e->regexes, &a.p, &a.n) != HS_SUCCESS)
		return -ENOMEM;
	out = malloc(32 + a.n);
	if (!out)
		return -ENOMEM;
	w = wr_of(out + 32, a.n);
	wr_put(&w, a.p, a.n);
	if (!stamp(e->rules, wr_rd(&w), out))
		return -ENOMEM;
	*ret_n = 32 + w.n;
	*ret = STEAL(out);
	return 0;
}

int scan_new_saved(const struct scan_rules *rules, struct rd saved, struct diag *d, struct scan **ret)
{
	AUTO(scan) struct scan *e = NULL;
	uint8_t want[32], is[32];
	hs_error_t r = HS_SUCCESS;
	int err;

	if (!rd_copy(&saved, is, sizeof(is)))
		return -ESTALE;
	if (!stamp(rules, saved, want))
		return -ENOMEM;
	if (memcmp(is, want, sizeof(is)))
		return -ESTALE;
	err = scan_compile(rules, d, &e);
	if (!err)
		r = hs_deserialize_database((const char *)saved.p, saved.n, &e->regexes);
	if (r != HS_SUCCESS)
		err = r == HS_NOMEM ? -ENOMEM : -ESTALE;
	if (!err)
		*ret = STEAL(e);
	return err;
}

/*
 * ca_cert.c - the certificates themselves: a CA's own and its leaves
 *
 * Theory of operation: X.509 through OpenSSL, nothing else: no files, no state. A CA may sign for
 * its names and what is below them, for no address, and makes no CA (pathlen 0). A leaf is for
 * exactly one name.
 */
#include "gitproxy/keeper/ca_cert.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <openssl/rand.h>

#include "base/bytes.h"

enum {
	CA_DAYS = 3650,
	LEAF_DAYS = 30,
	BACKDATE_DAYS = 2,		/* guests whose clock is behind */
	CN_MAX = 64,			/* RFC 5280: ub-common-name */
	CONSTRAINTS_MAX = 32768
};

DEFINE_AUTO(bn, BIGNUM *, BN_free)
DEFINE_AUTO(x509_name, X509_NAME *, X509_NAME_free)
DEFINE_AUTO(constraints, NAME_CONSTRAINTS *, NAME_CONSTRAINTS_free)

EVP_PKEY *ca_key_new(void)
{
	return EVP_EC_gen("P-256");
}

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *e;
	X509V3_CTX ctx;
	bool ok;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = e && X509_add_ext(cert, e, -1);
	X509_EXTENSION_free(e);
	return ok;
}

/* 127 random bits: positive, and never the same again. */
static bool set_serial(X509 *cert)
{
	AUTO(bn) BIGNUM *n = BN_new();

	return n && BN_rand(n, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) &&
	       BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));
}

static bool set_subject(X509 *cert, const char *organisation, const char *cn)
{
	AUTO(x509_name) X509_NAME *name = X509_NAME_new();

	if (!name)
		return false;
	if (organisation &&
	    !X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC,
					(const unsigned char *)organisation, -1, -1, 0))
		return false;
	if (strlen(cn) <= CN_MAX &&
	    !X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1,
					0))
		return false;
	return X509_set_subject_name(cert, name);
}

/* What every certificate has: version 3, serial, validity, public key. */
static X509 *cert_new(EVP_PKEY *key, int days)
{
	AUTO(x509) X509 *cert = X509_new();

	if (!cert || !X509_set_version(cert, X509_VERSION_3) || !set_serial(cert) ||
	    !X509_time_adj_ex(X509_getm_notBefore(cert), -BACKDATE_DAYS, 0, NULL) ||
	    !X509_time_adj_ex(X509_getm_notAfter(cert), days, 0, NULL) ||
	    !X509_set_pubkey(cert, key))
		return NULL;
	return STEAL(cert);
}

/*
 * Not critical, against RFC 5280 s4.2.1.10 (as the CA/Browser Forum allows, 7.1.2.5.2): a library
 * that knows the extension enforces it either way (measured: OpenSSL 3.0, GnuTLS 3.7, NSS 3.87,
 * Go 1.19, wolfSSL 5.5; Java 17 ignores it on a trust anchor, either way). mbedTLS, which Debian's
 * libgit2 is built with, does not know it: it takes no CA with a critical one, and its users would
 * end up verifying nothing. So critical protects no one that this does not.
 * The names are canonical (policy/), so nothing in them can be taken for syntax.
 */
static bool constraints_text(const char *const *names, size_t n, char *out, size_t cap)
{
	struct wr w = wr_of(out, cap - 1);

	wr_str(&w, "excluded;IP:0.0.0.0/0.0.0.0,excluded;IP:0:0:0:0:0:0:0:0/0:0:0:0:0:0:0:0");
	for (size_t i = 0; i < n; i++)
		wr_fmt(&w, ",permitted;DNS:%s", names[i]);
	out[wr_ok(&w) ? w.n : 0] = '\0';
	return wr_ok(&w);
}

/* A subject of its own: two CAs of one name are hard to tell apart, for clients and for people. */
X509 *ca_cert_new(EVP_PKEY *key, const char *const *names, size_t n)
{
	AUTO(x509) X509 *cert = cert_new(key, CA_DAYS);
	AUTO(mem) char *constraints = malloc(CONSTRAINTS_MAX);
	unsigned char tag[4];
	char cn[CN_MAX];

	if (!cert || !constraints || !n ||
	    !constraints_text(names, n, constraints, CONSTRAINTS_MAX))
		return NULL;
	if (!RAND_bytes(tag, sizeof(tag)) || snprintf(cn, sizeof(cn), "Cordon gateway CA %02x%02x%02x%02x",
						      tag[0], tag[1], tag[2], tag[3]) <= 0)
		return NULL;
	if (!set_subject(cert, "Cordon", cn) ||
	    !X509_set_issuer_name(cert, X509_get_subject_name(cert)) ||
	    !add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
	    !add_extension(cert, cert, NID_key_usage, "critical,keyCertSign") ||
	    !add_extension(cert, cert, NID_subject_key_identifier, "hash") ||
	    !add_extension(cert, cert, NID_name_constraints, constraints) ||
	    !X509_sign(cert, key, EVP_sha256()))
		return NULL;
	return STEAL(cert);
}

X509 *ca_leaf_new(X509 *ca, EVP_PKEY *ca_key, EVP_PKEY *key, const char *name)
{
	AUTO(x509) X509 *cert = cert_new(key, LEAF_DAYS);
	char san[300];

	snprintf(san, sizeof(san), "%sDNS:%s", strlen(name) > CN_MAX ? "critical," : "", name);
	if (!cert || !set_subject(cert, NULL, name) ||
	    !X509_set_issuer_name(cert, X509_get_subject_name(ca)) ||
	    !add_extension(cert, ca, NID_basic_constraints, "critical,CA:FALSE") ||
	    !add_extension(cert, ca, NID_key_usage, "critical,digitalSignature") ||
	    !add_extension(cert, ca, NID_ext_key_usage, "serverAuth") ||
	    !add_extension(cert, ca, NID_authority_key_identifier, "keyid:always") ||
	    !add_extension(cert, ca, NID_subject_alt_name, san) ||
	    !X509_sign(cert, ca_key, EVP_sha256()))
		return NULL;
	return STEAL(cert);
}

static NAME_CONSTRAINTS *constraints_of(const X509 *cert)
{
	return X509_get_ext_d2i(cert, NID_name_constraints, NULL, NULL);
}

/* DNS:github.com permits the name itself and what ends in .github.com. */
static bool subtree_has(const GENERAL_SUBTREE *t, const char *name)
{
	const ASN1_STRING *s;
	struct rd base, tail;
	size_t n = strlen(name);

	if (t->base->type != GEN_DNS)
		return false;
	s = t->base->d.dNSName;
	base = rd_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
	if (!base.n || base.n > n)
		return false;
	tail = rd_of(name + (n - base.n), base.n);
	return rd_eq(tail, base.p, base.n) && (base.n == n || name[n - base.n - 1] == '.');
}

bool ca_cert_covers(X509 *cert, const char *name)
{
	AUTO(constraints) NAME_CONSTRAINTS *all = constraints_of(cert);
	const STACK_OF(GENERAL_SUBTREE) *permitted = all ? all->permittedSubtrees : NULL;

	for (int i = 0; i < sk_GENERAL_SUBTREE_num(permitted); i++)
		if (subtree_has(sk_GENERAL_SUBTREE_value(permitted, i), name))
			return true;
	return false;
}

bool ca_cert_ok(X509 *cert, EVP_PKEY *key)
{
	AUTO(constraints) NAME_CONSTRAINTS *all = cert ? constraints_of(cert) : NULL;

	return all && all->permittedSubtrees && key && X509_check_private_key(cert, key) == 1 &&
	       X509_cmp_current_time(X509_get0_notAfter(cert)) > 0;
}

void ca_cert_print(const X509 *cert, char out[CA_PRINT])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (!X509_digest(cert, EVP_sha256(), hash, &n))
		n = 0;
	bytes_hex(hash, n, out);
}

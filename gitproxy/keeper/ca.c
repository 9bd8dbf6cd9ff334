/*
 * ca.c - the certificate authority whose leaves the sandboxes see
 *
 * Theory of operation: made at the first start, read at the others. Its certificate carries name
 * constraints, so that a stolen key is good for the terminated hosts only, and pathlen 0. What it may sign is read back from the certificate itself, not from the configuration:
 * a client would reject anything else. The private key is decoded into OpenSSL's secure heap
 * (locked, not dumped) when the program has set one up. Files are written under a temporary name
 * and renamed, the key first: a crash leaves either no CA or a whole one.
 * Invariants: the key leaves this file only as signatures.
 */
#include "gitproxy/keeper/ca.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/bytes.h"

enum {
	CA_DAYS = 3650,
	LEAF_DAYS = 30,
	BACKDATE_DAYS = 2,		/* guests whose clock is behind */
	CN_MAX = 64,			/* RFC 5280: ub-common-name */
	CONSTRAINTS_MAX = 32768,
	PATH_BYTES = 4096
};

struct ca {
	X509 *cert;
	EVP_PKEY *key;
	NAME_CONSTRAINTS *names;
	size_t uncovered;
	pthread_mutex_t lock;
};

DEFINE_AUTO(x509, X509 *, X509_free)
DEFINE_AUTO(pkey, EVP_PKEY *, EVP_PKEY_free)
DEFINE_AUTO(file, FILE *, fclose)
DEFINE_AUTO(bn, BIGNUM *, BN_free)
DEFINE_AUTO(x509_name, X509_NAME *, X509_NAME_free)

void ca_free(struct ca *ca)
{
	if (!ca)
		return;
	X509_free(ca->cert);
	EVP_PKEY_free(ca->key);
	NAME_CONSTRAINTS_free(ca->names);
	pthread_mutex_destroy(&ca->lock);
	free(ca);
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

static X509 *ca_cert_new(EVP_PKEY *key, const char *const *names, size_t n)
{
	AUTO(x509) X509 *cert = cert_new(key, CA_DAYS);
	AUTO(mem) char *constraints = malloc(CONSTRAINTS_MAX);

	if (!cert || !constraints || !n ||
	    !constraints_text(names, n, constraints, CONSTRAINTS_MAX))
		return NULL;
	if (!set_subject(cert, "Cordon", "Cordon gateway CA") ||
	    !X509_set_issuer_name(cert, X509_get_subject_name(cert)) ||
	    !add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
	    !add_extension(cert, cert, NID_key_usage, "critical,keyCertSign") ||
	    !add_extension(cert, cert, NID_subject_key_identifier, "hash") ||
	    !add_extension(cert, cert, NID_name_constraints, constraints) ||
	    !X509_sign(cert, key, EVP_sha256()))
		return NULL;
	return STEAL(cert);
}

static bool path_of(char out[PATH_BYTES], const char *dir, const char *name)
{
	int n = snprintf(out, PATH_BYTES, "%s/%s", dir, name);

	return n > 0 && n < PATH_BYTES;
}

/* Write a PEM file whole: temporary name, owner, mode, rename. Exactly one of cert and key is
 * given. */
static int put_pem(const char *path, mode_t mode, uid_t uid, gid_t gid, X509 *cert, EVP_PKEY *key)
{
	AUTO(fd) int fd = -1;
	AUTO(file) FILE *f = NULL;
	char tmp[PATH_BYTES];
	bool ok;

	if (snprintf(tmp, sizeof(tmp), "%s.new", path) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	unlink(tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0)
		return -errno;
	f = fdopen(fd, "w");
	if (!f)
		return -errno;
	fd = -1;
	ok = cert ? PEM_write_X509(f, cert) :
		    PEM_write_PKCS8PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	if (!ok || fflush(f) || fsync(fileno(f)) < 0)
		return -EIO;
	return rename(tmp, path) < 0 ? -errno : 0;
}

static X509 *get_cert(const char *path)
{
	AUTO(file) FILE *f = fopen(path, "re");

	return f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
}

/* Refuses a key that anyone else could have read. */
static EVP_PKEY *get_key(const char *path)
{
	AUTO(file) FILE *f = fopen(path, "re");
	struct stat st;

	if (!f || fstat(fileno(f), &st) < 0 || (st.st_mode & 077))
		return NULL;
	return PEM_read_PrivateKey(f, NULL, NULL, NULL);
}

static int ca_make(struct ca *ca, const char *const *names, size_t n)
{
	ca->key = EVP_EC_gen("P-256");
	ca->cert = ca->key ? ca_cert_new(ca->key, names, n) : NULL;
	return ca->cert ? 0 : -EINVAL;
}

static int ca_make_files(struct ca *ca, const char *cert_path, const char *key_path,
			 const char *const *names, size_t n, uid_t uid, gid_t gid)
{
	int r = ca_make(ca, names, n);

	if (!r)
		r = put_pem(key_path, 0600, uid, gid, NULL, ca->key);
	if (!r)
		r = put_pem(cert_path, 0644, uid, gid, ca->cert, NULL);
	return r;
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

static bool ca_covers(const struct ca *ca, const char *name)
{
	const STACK_OF(GENERAL_SUBTREE) *permitted = ca->names->permittedSubtrees;

	for (int i = 0; i < sk_GENERAL_SUBTREE_num(permitted); i++)
		if (subtree_has(sk_GENERAL_SUBTREE_value(permitted, i), name))
			return true;
	return false;
}

/* Key and certificate belong together, and the constraints are there. */
static int ca_check(struct ca *ca, const char *const *names, size_t n)
{
	if (!ca->cert || !ca->key || X509_check_private_key(ca->cert, ca->key) != 1 ||
	    X509_cmp_current_time(X509_get0_notAfter(ca->cert)) <= 0)
		return -EINVAL;
	ca->names = X509_get_ext_d2i(ca->cert, NID_name_constraints, NULL, NULL);
	if (!ca->names || !ca->names->permittedSubtrees)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		ca->uncovered += !ca_covers(ca, names[i]);
	return 0;
}

int ca_open(const char *dir, const char *public_path, const char *const *names, size_t n_names,
	    uid_t uid, gid_t gid, struct ca **ret)
{
	AUTO(ca) struct ca *ca = calloc(1, sizeof(*ca));
	char cert_path[PATH_BYTES], key_path[PATH_BYTES];
	int r = 0;

	if (!ca)
		return -ENOMEM;
	pthread_mutex_init(&ca->lock, NULL);
	if (!path_of(cert_path, dir, "ca.pem") || !path_of(key_path, dir, "ca.key"))
		return -ENAMETOOLONG;
	if (access(cert_path, F_OK) < 0 && errno == ENOENT) {
		/* No certificate was ever given out: a key without one is left from a crash. */
		r = ca_make_files(ca, cert_path, key_path, names, n_names, uid, gid);
	} else {
		ca->cert = get_cert(cert_path);
		ca->key = get_key(key_path);
	}
	if (!r)
		r = ca_check(ca, names, n_names);
	if (!r)
		r = put_pem(public_path, 0644, uid, gid, ca->cert, NULL);
	ERR_clear_error();
	if (r < 0)
		return r;
	*ret = STEAL(ca);
	return 0;
}

size_t ca_uncovered(const struct ca *ca)
{
	return ca->uncovered;
}

static X509 *leaf_new(struct ca *ca, const char *name, EVP_PKEY *key)
{
	AUTO(x509) X509 *cert = cert_new(key, LEAF_DAYS);
	char san[300];

	snprintf(san, sizeof(san), "%sDNS:%s", strlen(name) > CN_MAX ? "critical," : "", name);
	if (!cert || !set_subject(cert, NULL, name) ||
	    !X509_set_issuer_name(cert, X509_get_subject_name(ca->cert)) ||
	    !add_extension(cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE") ||
	    !add_extension(cert, ca->cert, NID_key_usage, "critical,digitalSignature") ||
	    !add_extension(cert, ca->cert, NID_ext_key_usage, "serverAuth") ||
	    !add_extension(cert, ca->cert, NID_authority_key_identifier, "keyid:always") ||
	    !add_extension(cert, ca->cert, NID_subject_alt_name, san) ||
	    !X509_sign(cert, ca->key, EVP_sha256()))
		return NULL;
	return STEAL(cert);
}

static int key_der(EVP_PKEY *key, struct ca_leaf *ret)
{
	PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key);
	int n = p8 ? i2d_PKCS8_PRIV_KEY_INFO(p8, &ret->key) : -1;

	PKCS8_PRIV_KEY_INFO_free(p8);
	if (n <= 0)
		return -ENOMEM;
	ret->key_len = (size_t)n;
	return 0;
}

int ca_sign(struct ca *ca, const char *name, struct ca_leaf *ret)
{
	AUTO(pkey) EVP_PKEY *key = NULL;
	AUTO(x509) X509 *cert = NULL;
	int n = 0;

	*ret = (struct ca_leaf){ 0 };
	if (!ca_covers(ca, name))
		return -EACCES;
	pthread_mutex_lock(&ca->lock);
	key = EVP_EC_gen("P-256");
	cert = key ? leaf_new(ca, name, key) : NULL;
	pthread_mutex_unlock(&ca->lock);
	if (cert)
		n = i2d_X509(cert, &ret->der);
	ERR_clear_error();
	if (n > 0 && !key_der(key, ret)) {
		ret->der_len = (size_t)n;
		return 0;
	}
	ca_leaf_done(ret);
	return -ENOMEM;
}

void ca_leaf_done(struct ca_leaf *l)
{
	OPENSSL_free(l->der);
	OPENSSL_clear_free(l->key, l->key_len);
	*l = (struct ca_leaf){ 0 };
}

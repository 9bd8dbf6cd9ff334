/*
 * ca.c - the certificate authority whose leaves the sandboxes see
 *
 * Theory of operation: made at the first start, read at the others (ca_files.c). What it may sign
 * is read back from the certificate itself, not from the configuration: a client would reject
 * anything else. The private key is decoded into OpenSSL's secure heap (locked, not dumped) when
 * the program has set one up. While the keeper runs, the next CA may take the current one's place:
 * it is read and checked whole, then certificate and key are exchanged together under the lock, so
 * every leaf is of one of the two, and a CA that cannot be read changes nothing.
 * Invariants: the key leaves this file only as signatures.
 */
#include "gitproxy/keeper/ca.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <openssl/err.h>

struct ca {
	struct ca_place place;
	pthread_mutex_t lock;
	X509 *cert;
	EVP_PKEY *key;
	size_t uncovered;
	struct stat seen;	/* of the certificate's file, when it was last looked at */
};

void ca_free(struct ca *ca)
{
	if (!ca)
		return;
	X509_free(ca->cert);
	EVP_PKEY_free(ca->key);
	pthread_mutex_destroy(&ca->lock);
	free(ca);
}

static bool file_stat(const struct ca *ca, struct stat *ret)
{
	char path[4096];

	return snprintf(path, sizeof(path), "%s/ca.pem", ca->place.dir) < (int)sizeof(path) &&
	       stat(path, ret) == 0;
}

/* Read it, and only then put it in the place of what there is. 1: it is another one. */
static int take(struct ca *ca, enum ca_which w)
{
	AUTO(x509) X509 *cert = NULL;
	AUTO(pkey) EVP_PKEY *key = NULL;
	X509 *old_cert;
	EVP_PKEY *old_key;
	bool other;
	int r = ca_files_read(&ca->place, w, &cert, &key);

	ERR_clear_error();
	if (r < 0)
		return r;
	pthread_mutex_lock(&ca->lock);
	other = !ca->cert || X509_cmp(ca->cert, cert);
	old_cert = ca->cert;
	old_key = ca->key;
	ca->cert = STEAL(cert);
	ca->key = STEAL(key);
	pthread_mutex_unlock(&ca->lock);
	X509_free(old_cert);
	EVP_PKEY_free(old_key);
	return other;
}

int ca_open(const struct ca_place *p, const char *const *names, size_t n_names, struct ca **ret)
{
	AUTO(ca) struct ca *ca = calloc(1, sizeof(*ca));
	AUTO(fd) int lock = ca_files_lock(p);
	int r;

	if (!ca || lock < 0)
		return ca ? lock : -ENOMEM;
	pthread_mutex_init(&ca->lock, NULL);
	ca->place = *p;
	r = ca_files_mend(p);
	if (!r && !ca_files_have(p, CA_CURRENT))
		r = ca_files_make(p, CA_CURRENT, names, n_names);
	if (!r)
		r = take(ca, CA_CURRENT);
	if (r >= 0)
		r = ca_files_publish(p);
	ERR_clear_error();
	if (r < 0)
		return r;
	for (size_t i = 0; i < n_names; i++)
		ca->uncovered += !ca_cert_covers(ca->cert, names[i]);
	file_stat(ca, &ca->seen);
	*ret = STEAL(ca);
	return 0;
}

size_t ca_uncovered(const struct ca *ca)
{
	return ca->uncovered;
}

int ca_use(struct ca *ca, enum ca_which w)
{
	int r = take(ca, w);

	return r < 0 ? r : 0;
}

int ca_follow(struct ca *ca)
{
	struct stat st;

	if (!file_stat(ca, &st) || (st.st_ino == ca->seen.st_ino && st.st_dev == ca->seen.st_dev &&
				    st.st_mtim.tv_sec == ca->seen.st_mtim.tv_sec &&
				    st.st_mtim.tv_nsec == ca->seen.st_mtim.tv_nsec))
		return 0;
	ca->seen = st;
	return take(ca, CA_CURRENT);
}

void ca_audit(struct ca *ca, struct audit *audit, const char *what)
{
	AUTO(x509) X509 *next = ca_files_cert(&ca->place, CA_NEXT);
	struct audit_head h = { .event = "ca" };
	struct audit_line l;
	char print[CA_PRINT];

	audit_begin(&l, &h);
	audit_str(&l, "what", what);
	pthread_mutex_lock(&ca->lock);
	ca_cert_print(ca->cert, print);
	pthread_mutex_unlock(&ca->lock);
	audit_str(&l, "certificate", print);
	if (next) {
		ca_cert_print(next, print);
		audit_str(&l, "next", print);
	}
	ERR_clear_error();
	audit_put(audit, &l);
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
	AUTO(pkey) EVP_PKEY *key = ca_key_new();
	AUTO(x509) X509 *cert = NULL;
	bool covered;
	int n = 0;

	*ret = (struct ca_leaf){ 0 };
	pthread_mutex_lock(&ca->lock);
	covered = ca_cert_covers(ca->cert, name);
	if (covered && key)
		cert = ca_leaf_new(ca->cert, ca->key, key, name);
	pthread_mutex_unlock(&ca->lock);
	if (!covered)
		return -EACCES;
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

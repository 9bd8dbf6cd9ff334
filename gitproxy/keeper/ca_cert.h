/*
 * ca_cert.h - the certificates themselves: a CA's own and its leaves
 */
#ifndef GITPROXY_KEEPER_CA_CERT_H
#define GITPROXY_KEEPER_CA_CERT_H

#include <openssl/x509v3.h>

#include <stdbool.h>

#include "base/mem.h"

DEFINE_AUTO(x509, X509 *, X509_free)
DEFINE_AUTO(pkey, EVP_PKEY *, EVP_PKEY_free)

/* All are owned by the caller; NULL: out of memory, or no names. */
EVP_PKEY *ca_key_new(void);						/* P-256 */
X509 *ca_cert_new(EVP_PKEY *key, const char *const *names, size_t n);	/* constrained to them */
X509 *ca_leaf_new(X509 *ca, EVP_PKEY *ca_key, EVP_PKEY *key, const char *name);

/* Key and certificate belong together, it is in force, and its constraints are there. */
bool ca_cert_ok(X509 *cert, EVP_PKEY *key);
/* A permitted name covers its subdomains. False as well when the constraints are missing. */
bool ca_cert_covers(X509 *cert, const char *name);

enum { CA_PRINT = 65 };
void ca_cert_print(const X509 *cert, char out[CA_PRINT]);	/* SHA-256, hex */

#endif

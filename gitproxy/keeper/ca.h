/*
 * ca.h - the certificate authority whose leaves the sandboxes see
 *
 * Spec: RFC 5280 s4.2.1.10 (name constraints: permitted DNS names are those of the host
 * configuration, every IP address is excluded; a permitted name covers its subdomains).
 */
#ifndef GITPROXY_KEEPER_CA_H
#define GITPROXY_KEEPER_CA_H

#include <stdint.h>
#include <sys/types.h>

#include "base/mem.h"

struct ca;

/*
 * Open DIR/ca.pem and DIR/ca.key, or make them (P-256, constrained to `names`) when neither is
 * there; the certificate is also put at public_path, for guests. Files belong to uid:gid. 0 or
 * -errno; -EINVAL: the files are damaged or do not belong together.
 */
int ca_open(const char *dir, const char *public_path, const char *const *names, size_t n_names,
	    uid_t uid, gid_t gid, struct ca **ret);
void ca_free(struct ca *ca);
DEFINE_AUTO(ca, struct ca *, ca_free)

/* Of the names given to ca_open(), how many the certificate does not cover (it was made before
 * them). */
size_t ca_uncovered(const struct ca *ca);

struct ca_leaf {
	unsigned char *der; size_t der_len;	/* certificate */
	unsigned char *key; size_t key_len;	/* PKCS#8 */
};
/* A leaf for exactly this canonical name. 0, -EACCES (outside the constraints), -ENOMEM.
 * Thread-safe. */
int ca_sign(struct ca *ca, const char *name, struct ca_leaf *ret);
void ca_leaf_done(struct ca_leaf *l);		/* wipes the key */

#endif

/*
 * ca.h - the certificate authority whose leaves the sandboxes see
 *
 * Spec: RFC 5280 s4.2.1.10 (name constraints: permitted DNS names are those of the host
 * configuration, every IP address is excluded; a permitted name covers its subdomains).
 */
#ifndef GITPROXY_KEEPER_CA_H
#define GITPROXY_KEEPER_CA_H

#include <stdint.h>

#include "base/audit.h"
#include "gitproxy/keeper/ca_files.h"

struct ca;

/*
 * Open the CA of a place, or make one (P-256, constrained to `names`) when there is none, and
 * publish it. As root. `p` is copied, its strings are borrowed for good. 0 or -errno, as
 * ca_files.h says.
 */
int ca_open(const struct ca_place *p, const char *const *names, size_t n_names, struct ca **ret);
void ca_free(struct ca *ca);
DEFINE_AUTO(ca, struct ca *, ca_free)

/* Of the names given to ca_open(), how many the certificate does not cover (it was made before
 * them). */
size_t ca_uncovered(const struct ca *ca);

/*
 * Sign with this one of the place from now on, when it can be read. 0 or -errno: what was in force
 * stays. Thread-safe, as all below.
 */
int ca_use(struct ca *ca, enum ca_which w);
/*
 * Follow the files: a CA that took the place of ours while nobody could tell us. About once a
 * second. 1: another one is in force; 0: nothing is new; -errno, once for each change: it cannot be
 * used, ours stays.
 */
int ca_follow(struct ca *ca);
/* An event "ca": what happened, whose certificate it is that signs, and the next one's. */
void ca_audit(struct ca *ca, struct audit *audit, const char *what);

struct ca_leaf {
	unsigned char *der; size_t der_len;	/* certificate */
	unsigned char *key; size_t key_len;	/* PKCS#8 */
};
/* A leaf for exactly this canonical name. 0, -EACCES (outside the constraints), -ENOMEM. */
int ca_sign(struct ca *ca, const char *name, struct ca_leaf *ret);
void ca_leaf_done(struct ca_leaf *l);		/* wipes the key */

#endif

/*
 * ca_files.h - where a CA lives: DIR/ca.{key,pem}, the one that comes next, and what guests get
 *
 * Functions that change files are root's, before rights are dropped or in the program that
 * `cordon ca renew` runs; reading is the keeper's, too. 0 or -errno; -EINVAL: damaged, of two CAs,
 * expired, or without constraints; -EPERM: a key that others can read. A failure changes nothing.
 */
#ifndef GITPROXY_KEEPER_CA_FILES_H
#define GITPROXY_KEEPER_CA_FILES_H

#include <sys/stat.h>
#include <sys/types.h>

#include "gitproxy/keeper/ca_cert.h"

struct ca_place {
	const char *dir;		/* 0700, the keeper's */
	const char *public_path;	/* what guests must trust: the CA's certificate, then the next one's */
	uid_t uid; gid_t gid;		/* whose the files are */
};

enum ca_which { CA_CURRENT = 0, CA_NEXT };

/* Whether there is a certificate; a key without one is left from a crash, and nobody's. */
bool ca_files_have(const struct ca_place *p, enum ca_which w);
int ca_files_make(const struct ca_place *p, enum ca_which w, const char *const *names, size_t n);
/* Outputs are the caller's, and changed on success only. */
int ca_files_read(const struct ca_place *p, enum ca_which w, X509 **ret_cert, EVP_PKEY **ret_key);
/* The certificate alone; NULL: none that can be read. */
X509 *ca_files_cert(const struct ca_place *p, enum ca_which w);

/* The next one takes the place of the current one, which is gone for good. */
int ca_files_activate(const struct ca_place *p);
/* The end of an activation that was cut short; call before reading. */
int ca_files_mend(const struct ca_place *p);
int ca_files_discard(const struct ca_place *p);
/* Write public_path. */
int ca_files_publish(const struct ca_place *p);

/* Changes wait for each other: hold it (close it to let go). A descriptor or -errno. */
int ca_files_lock(const struct ca_place *p);

#endif

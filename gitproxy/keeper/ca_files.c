/*
 * ca_files.c - where a CA lives: DIR/ca.{key,pem}, the one that comes next, and what guests get
 *
 * Theory of operation: a file is written under a temporary name, synced and renamed, the key before
 * its certificate, and a CA is there when its certificate is: a crash leaves either none or a whole
 * one. To activate the next one is two renames, again the key first. A crash between them leaves a
 * key that is the next certificate's, which nothing else does, so ca_files_mend() can tell, and
 * makes the second. What guests get is written last: until then they are told to trust both.
 * Invariants: nothing is written in place; no file follows a symlink; a key is 0600 from its first
 * byte on.
 */
#include "gitproxy/keeper/ca_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <openssl/pem.h>

enum { PATH_BYTES = 4096 };

DEFINE_AUTO(file, FILE *, fclose)

static const struct { const char *cert, *key; } names_of[] = {
	[CA_CURRENT] = { "ca.pem", "ca.key" },
	[CA_NEXT] = { "next.pem", "next.key" },
};

static bool path_of(char out[PATH_BYTES], const char *dir, const char *name)
{
	int n = snprintf(out, PATH_BYTES, "%s/%s", dir, name);

	return n > 0 && n < PATH_BYTES;
}

/* Both paths of a CA. */
struct paths {
	char cert[PATH_BYTES], key[PATH_BYTES];
};

static bool paths_of(const struct ca_place *p, enum ca_which w, struct paths *ret)
{
	return path_of(ret->cert, p->dir, names_of[w].cert) &&
	       path_of(ret->key, p->dir, names_of[w].key);
}

/* ---- writing ---- */

/* What goes into one file: a key, or certificates (the second may be NULL). */
struct pem {
	EVP_PKEY *key;
	X509 *cert[2];
};

static bool pem_write(FILE *f, const struct pem *what)
{
	if (what->key)
		return PEM_write_PKCS8PrivateKey(f, what->key, NULL, NULL, 0, NULL, NULL) == 1;
	for (size_t i = 0; i < ARRAY_SIZE(what->cert); i++)
		if (what->cert[i] && PEM_write_X509(f, what->cert[i]) != 1)
			return false;
	return true;
}

static int pem_fill(const char *tmp, const struct ca_place *p, const struct pem *what)
{
	AUTO(fd) int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	AUTO(file) FILE *f = NULL;

	if (fd < 0 || fchown(fd, p->uid, p->gid) < 0 || fchmod(fd, what->key ? 0600 : 0644) < 0)
		return -errno;
	f = fdopen(fd, "w");
	if (!f)
		return -errno;
	fd = -1;
	if (!pem_write(f, what))
		return -EIO;
	return fflush(f) || fsync(fileno(f)) < 0 ? -errno : 0;
}

static int pem_put(const char *path, const struct ca_place *p, const struct pem *what)
{
	char tmp[PATH_BYTES];
	int r;

	if (snprintf(tmp, sizeof(tmp), "%s.new", path) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	if (unlink(tmp) < 0 && errno != ENOENT)
		return -errno;
	r = pem_fill(tmp, p, what);
	if (!r && rename(tmp, path) < 0)
		r = -errno;
	if (r < 0)
		unlink(tmp);
	return r;
}

/* Renames reach the disk. */
static int dir_sync(const struct ca_place *p)
{
	AUTO(fd) int fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int ca_files_make(const struct ca_place *p, enum ca_which w, const char *const *names, size_t n)
{
	AUTO(pkey) EVP_PKEY *key = ca_key_new();
	AUTO(x509) X509 *cert = key ? ca_cert_new(key, names, n) : NULL;
	struct paths at;
	int r;

	if (!paths_of(p, w, &at))
		return -ENAMETOOLONG;
	if (!cert)
		return -EINVAL;
	r = pem_put(at.key, p, &(struct pem){ .key = key });
	if (!r)
		r = pem_put(at.cert, p, &(struct pem){ .cert = { cert } });
	return r ? r : dir_sync(p);
}

int ca_files_publish(const struct ca_place *p)
{
	AUTO(x509) X509 *current = ca_files_cert(p, CA_CURRENT);
	AUTO(x509) X509 *next = ca_files_cert(p, CA_NEXT);

	if (!current)
		return -EINVAL;
	return pem_put(p->public_path, p, &(struct pem){ .cert = { current, next } });
}

/* ---- reading ---- */

bool ca_files_have(const struct ca_place *p, enum ca_which w)
{
	struct paths at;

	return paths_of(p, w, &at) && (access(at.cert, F_OK) == 0 || errno != ENOENT);
}

static X509 *get_cert(const char *path)
{
	AUTO(file) FILE *f = fopen(path, "re");

	return f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
}

X509 *ca_files_cert(const struct ca_place *p, enum ca_which w)
{
	struct paths at;

	return paths_of(p, w, &at) ? get_cert(at.cert) : NULL;
}

/* Refuses a key that anyone else could have read. */
static int get_key(const char *path, EVP_PKEY **ret)
{
	AUTO(file) FILE *f = fopen(path, "re");
	struct stat st;

	if (!f || fstat(fileno(f), &st) < 0)
		return -errno;
	if (st.st_mode & 077)
		return -EPERM;
	*ret = PEM_read_PrivateKey(f, NULL, NULL, NULL);
	return *ret ? 0 : -EINVAL;
}

int ca_files_read(const struct ca_place *p, enum ca_which w, X509 **ret_cert, EVP_PKEY **ret_key)
{
	AUTO(x509) X509 *cert = NULL;
	AUTO(pkey) EVP_PKEY *key = NULL;
	struct paths at;
	int r;

	if (!paths_of(p, w, &at))
		return -ENAMETOOLONG;
	cert = get_cert(at.cert);
	r = get_key(at.key, &key);
	if (r < 0)
		return r;
	if (!ca_cert_ok(cert, key))
		return -EINVAL;
	*ret_cert = STEAL(cert);
	*ret_key = STEAL(key);
	return 0;
}

/* ---- renewal ---- */

int ca_files_activate(const struct ca_place *p)
{
	AUTO(x509) X509 *cert = NULL;
	AUTO(pkey) EVP_PKEY *key = NULL;
	struct paths from, to;
	int r = ca_files_read(p, CA_NEXT, &cert, &key);

	if (r < 0)
		return r;
	if (!paths_of(p, CA_NEXT, &from) || !paths_of(p, CA_CURRENT, &to))
		return -ENAMETOOLONG;
	if (rename(from.key, to.key) < 0 || rename(from.cert, to.cert) < 0)
		return -errno;
	r = dir_sync(p);
	return r ? r : ca_files_publish(p);
}

int ca_files_mend(const struct ca_place *p)
{
	AUTO(x509) X509 *next = ca_files_cert(p, CA_NEXT);
	AUTO(pkey) EVP_PKEY *key = NULL;
	struct paths from, to;

	if (!next || !paths_of(p, CA_NEXT, &from) || !paths_of(p, CA_CURRENT, &to) ||
	    get_key(to.key, &key) < 0 || X509_check_private_key(next, key) != 1)
		return 0;
	return rename(from.cert, to.cert) < 0 ? -errno : dir_sync(p);
}

int ca_files_discard(const struct ca_place *p)
{
	struct paths at;
	int r;

	if (!paths_of(p, CA_NEXT, &at))
		return -ENAMETOOLONG;
	if (unlink(at.cert) < 0)	/* from here on it is not there */
		return -errno;
	if (unlink(at.key) < 0 && errno != ENOENT)
		return -errno;
	r = dir_sync(p);
	return r ? r : ca_files_publish(p);
}

int ca_files_lock(const struct ca_place *p)
{
	AUTO(fd) int fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		return -errno;
	return STEAL_FD(fd);
}

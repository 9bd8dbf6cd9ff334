/*
 * test_ca.c - the CA is made once, read back, and signs for its names alone
 */
#include "gitproxy/keeper/ca.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "tests/unit/check.h"

static const char *const names[] = { "github.com", "git.corp.example" };

struct place {
	char dir[64], cert[96], key[96], public_path[96];
};

static void place_make(struct place *p)
{
	snprintf(p->dir, sizeof(p->dir), "/tmp/cordon-ca-XXXXXX");
	if (!mkdtemp(p->dir))
		abort();
	snprintf(p->cert, sizeof(p->cert), "%s/ca.pem", p->dir);
	snprintf(p->key, sizeof(p->key), "%s/ca.key", p->dir);
	snprintf(p->public_path, sizeof(p->public_path), "%s/public.pem", p->dir);
}

static void place_remove(const struct place *p)
{
	unlink(p->cert);
	unlink(p->key);
	unlink(p->public_path);
	rmdir(p->dir);
}

static int open_in(const struct place *p, const char *const *list, size_t n, struct ca **ret)
{
	return ca_open(p->dir, p->public_path, list, n, getuid(), getgid(), ret);
}

static X509 *read_cert(const char *path)
{
	FILE *f = fopen(path, "re");
	X509 *cert = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;

	if (f)
		fclose(f);
	return cert;
}

/* As a client would: chain, constraints, purpose, host. X509_V_OK or the error. */
static int verify(const struct place *p, const struct ca_leaf *l, const char *host)
{
	const unsigned char *at = l->der;
	X509 *leaf = d2i_X509(NULL, &at, (long)l->der_len), *root = read_cert(p->public_path);
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int r;

	X509_STORE_add_cert(store, root);
	X509_STORE_CTX_init(ctx, store, leaf, NULL);
	X509_STORE_CTX_set_default(ctx, "ssl_server");
	X509_VERIFY_PARAM_set1_host(X509_STORE_CTX_get0_param(ctx), host, 0);
	X509_verify_cert(ctx);
	r = X509_STORE_CTX_get_error(ctx);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	X509_free(root);
	X509_free(leaf);
	return r;
}

static const struct { const char *name; int want; } signs[] = {
	{ "github.com", 0 },
	{ "api.github.com", 0 },
	{ "git.corp.example", 0 },
	{ "evil-github.com", -EACCES },
	{ "github.com.evil.test", -EACCES },
	{ "corp.example", -EACCES },
	{ "com", -EACCES },
	{ "", -EACCES },
};

TEST(signs_for_its_names)
{
	struct place p;
	struct ca *ca = NULL;

	place_make(&p);
	CHECK_EQ("made", open_in(&p, names, ARRAY_SIZE(names), &ca), 0);
	CHECK_EQ("all covered", ca_uncovered(ca), 0);
	for (size_t i = 0; ca && i < ARRAY_SIZE(signs); i++) {
		struct ca_leaf l;

		CHECK_EQ(signs[i].name, ca_sign(ca, signs[i].name, &l), signs[i].want);
		if (l.der) {
			CHECK_EQ(signs[i].name, verify(&p, &l, signs[i].name), X509_V_OK);
			CHECK_EQ("exactly that name", verify(&p, &l, "x.github.com"),
				 X509_V_ERR_HOSTNAME_MISMATCH);
		}
		ca_leaf_done(&l);
	}
	ca_free(ca);
	place_remove(&p);
}

/* A name longer than a common name may be, as far as DNS goes. */
TEST(long_name)
{
	static const char label[] = "abcdefghijabcdefghijabcdefghijabcdefghij";
	char name[200];
	struct place p;
	struct ca *ca = NULL;
	struct ca_leaf l;

	snprintf(name, sizeof(name), "%s.%s.%s.github.com", label, label, label);
	place_make(&p);
	CHECK_EQ("made", open_in(&p, names, ARRAY_SIZE(names), &ca), 0);
	CHECK_EQ("signed", ca_sign(ca, name, &l), 0);
	CHECK_EQ("verified", verify(&p, &l, name), X509_V_OK);
	ca_leaf_done(&l);
	ca_free(ca);
	place_remove(&p);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : st.st_mode & 0777;
}

TEST(read_back)
{
	static const char *const more[] = { "github.com", "gitlab.com" };
	struct place p;
	struct ca *ca = NULL;
	X509 *first, *second;

	place_make(&p);
	CHECK_EQ("made", open_in(&p, names, ARRAY_SIZE(names), &ca), 0);
	ca_free(ca);
	first = read_cert(p.cert);
	CHECK("modes", mode_of(p.key) == 0600 && mode_of(p.public_path) == 0644);

	unlink(p.public_path);
	CHECK_EQ("read", open_in(&p, more, ARRAY_SIZE(more), &ca), 0);
	CHECK_EQ("a name that came later", ca_uncovered(ca), 1);
	ca_free(ca);
	second = read_cert(p.public_path);
	CHECK("the same", first && second && !X509_cmp(first, second));
	X509_free(first);
	X509_free(second);
	place_remove(&p);
}

TEST(refuses_files_that_are_wrong)
{
	struct place p, other;
	struct ca *ca = NULL;

	place_make(&p);
	place_make(&other);
	CHECK_EQ("made", open_in(&p, names, ARRAY_SIZE(names), &ca), 0);
	ca_free(ca);
	CHECK_EQ("another", open_in(&other, names, ARRAY_SIZE(names), &ca), 0);
	ca_free(ca);
	chmod(p.key, 0640);
	CHECK_EQ("a key that others read", open_in(&p, names, 1, &ca), -EINVAL);
	rename(other.key, p.key);
	CHECK_EQ("a key of another CA", open_in(&p, names, 1, &ca), -EINVAL);
	unlink(p.key);
	CHECK_EQ("no key", open_in(&p, names, 1, &ca), -EINVAL);
	place_remove(&p);
	place_remove(&other);
	place_make(&p);
	CHECK_EQ("no names", open_in(&p, names, 0, &ca), -EINVAL);
	place_remove(&p);
}

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
	char dir[64], cert[96], key[96], next_cert[96], next_key[96], public_path[96];
	struct ca_place at;
};

static void place_make(struct place *p)
{
	snprintf(p->dir, sizeof(p->dir), "/tmp/cordon-ca-XXXXXX");
	if (!mkdtemp(p->dir))
		abort();
	snprintf(p->cert, sizeof(p->cert), "%s/ca.pem", p->dir);
	snprintf(p->key, sizeof(p->key), "%s/ca.key", p->dir);
	snprintf(p->next_cert, sizeof(p->next_cert), "%s/next.pem", p->dir);
	snprintf(p->next_key, sizeof(p->next_key), "%s/next.key", p->dir);
	snprintf(p->public_path, sizeof(p->public_path), "%s/public.pem", p->dir);
	p->at = (struct ca_place){ p->dir, p->public_path, getuid(), getgid() };
}

static void place_remove(const struct place *p)
{
	unlink(p->cert);
	unlink(p->key);
	unlink(p->next_cert);
	unlink(p->next_key);
	unlink(p->public_path);
	CHECK_EQ("nothing else was left there", rmdir(p->dir), 0);
}

static int open_in(const struct place *p, const char *const *list, size_t n, struct ca **ret)
{
	return ca_open(&p->at, list, n, ret);
}

static X509 *read_cert(const char *path)
{
	FILE *f = fopen(path, "re");
	X509 *cert = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;

	if (f)
		fclose(f);
	return cert;
}

/* As a client would that trusts these: chain, constraints, purpose, host. X509_V_OK or the error. */
static int verify_by(const char *trusted, const struct ca_leaf *l, const char *host)
{
	const unsigned char *at = l->der;
	X509 *leaf = d2i_X509(NULL, &at, (long)l->der_len);
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int r;

	X509_STORE_load_file(store, trusted);
	X509_STORE_CTX_init(ctx, store, leaf, NULL);
	X509_STORE_CTX_set_default(ctx, "ssl_server");
	X509_VERIFY_PARAM_set1_host(X509_STORE_CTX_get0_param(ctx), host, 0);
	X509_verify_cert(ctx);
	r = X509_STORE_CTX_get_error(ctx);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	X509_free(leaf);
	return r;
}

static int verify(const struct place *p, const struct ca_leaf *l, const char *host)
{
	return verify_by(p->public_path, l, host);
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
	CHECK_EQ("a key that others read", open_in(&p, names, 1, &ca), -EPERM);
	rename(other.key, p.key);
	CHECK_EQ("a key of another CA", open_in(&p, names, 1, &ca), -EINVAL);
	unlink(p.key);
	CHECK_EQ("no key", open_in(&p, names, 1, &ca), -ENOENT);
	place_remove(&p);
	place_remove(&other);
	place_make(&p);
	CHECK_EQ("no names", open_in(&p, names, 0, &ca), -EINVAL);
	place_remove(&p);
}

/* Whether what ca signs is taken by who trusts `trusted`. */
static bool signs_for(struct ca *ca, const char *trusted)
{
	struct ca_leaf l;
	bool ok = !ca_sign(ca, "github.com", &l) && verify_by(trusted, &l, "github.com") == X509_V_OK;

	ca_leaf_done(&l);
	return ok;
}

static void copy(const char *from, const char *to)
{
	char command[256];

	snprintf(command, sizeof(command), "cp -p %s %s", from, to);
	CHECK_EQ(command, system(command), 0);
}

/* A CA, its certificate kept as p->dir.old, and the next one. */
static struct ca *renewing(struct place *p, char old[96])
{
	struct ca *ca = NULL;

	place_make(p);
	CHECK_EQ("made", open_in(p, names, ARRAY_SIZE(names), &ca), 0);
	snprintf(old, 96, "%s.old", p->dir);
	copy(p->public_path, old);
	CHECK_EQ("next", ca_files_make(&p->at, CA_NEXT, names, ARRAY_SIZE(names)), 0);
	CHECK_EQ("published", ca_files_publish(&p->at), 0);
	CHECK("modes", mode_of(p->next_key) == 0600 && mode_of(p->next_cert) == 0644);
	return ca;
}

/* Who has what was published is served before, in between and afterwards. */
TEST(renewal)
{
	char old[96], both[96];
	struct place p;
	struct ca *ca = renewing(&p, old);

	snprintf(both, sizeof(both), "%s.both", p.dir);
	copy(p.public_path, both);
	CHECK("before", signs_for(ca, both) && signs_for(ca, old));
	CHECK_EQ("activated", ca_use(ca, CA_NEXT), 0);
	CHECK("by the next one", signs_for(ca, both) && signs_for(ca, p.next_cert));
	CHECK("no longer by the first", !signs_for(ca, old));
	CHECK_EQ("files", ca_files_activate(&p.at), 0);
	CHECK_EQ("which are the one that is in force", ca_follow(ca), 0);
	CHECK("published", signs_for(ca, p.public_path) && signs_for(ca, p.cert));
	CHECK("nothing waits", !ca_files_have(&p.at, CA_NEXT) && access(p.next_key, F_OK) < 0);
	CHECK("modes", mode_of(p.key) == 0600 && mode_of(p.public_path) == 0644);
	ca_free(ca);
	CHECK_EQ("the next start", open_in(&p, names, ARRAY_SIZE(names), &ca), 0);
	CHECK("signs by it", signs_for(ca, both) && !signs_for(ca, old));
	ca_free(ca);
	unlink(old);
	unlink(both);
	place_remove(&p);
}

/* While nobody could tell: the files are another CA's. */
TEST(follows_the_files)
{
	char old[96];
	struct place p;
	struct ca *ca = renewing(&p, old);

	CHECK_EQ("nothing new", ca_follow(ca), 0);
	CHECK_EQ("files", ca_files_activate(&p.at), 0);
	CHECK_EQ("another", ca_follow(ca), 1);
	CHECK("signs by it", signs_for(ca, p.public_path) && !signs_for(ca, old));
	CHECK_EQ("nothing new", ca_follow(ca), 0);
	chmod(p.key, 0644);
	copy(old, p.cert);
	CHECK_EQ("cannot be used", ca_follow(ca), -EPERM);
	CHECK_EQ("said once", ca_follow(ca), 0);
	CHECK("what there was stays", signs_for(ca, p.public_path));
	ca_free(ca);
	unlink(old);
	place_remove(&p);
}

static void lose(const struct place *p) { unlink(p->next_key); }
static void open_up(const struct place *p) { chmod(p->next_key, 0640); }
static void damage(const struct place *p) { CHECK_EQ("cut", truncate(p->next_key, 40), 0); }
static void mix(const struct place *p) { copy(p->key, p->next_key); }
static void lose_both(const struct place *p) { unlink(p->next_key); unlink(p->next_cert); }

static const struct {
	const char *what;
	void (*harm)(const struct place *p);
	int want;
} harms[] = {
	{ "no key", lose, -ENOENT },
	{ "a key that others can read", open_up, -EPERM },
	{ "a torn key", damage, -EINVAL },
	{ "another CA's key", mix, -EINVAL },
	{ "nothing", lose_both, -ENOENT },
};

/* A next CA that cannot be used changes nothing, in the keeper and in the files. */
TEST(refuses_a_next_one_that_is_wrong)
{
	for (size_t i = 0; i < ARRAY_SIZE(harms); i++) {
		char old[96];
		struct place p;
		struct ca *ca = renewing(&p, old);

		harms[i].harm(&p);
		CHECK_EQ(harms[i].what, ca_use(ca, CA_NEXT), harms[i].want);
		CHECK_EQ(harms[i].what, ca_files_activate(&p.at), harms[i].want);
		CHECK(harms[i].what, signs_for(ca, old) && signs_for(ca, p.cert));
		ca_free(ca);
		ca = NULL;
		CHECK_EQ(harms[i].what, open_in(&p, names, ARRAY_SIZE(names), &ca), 0);
		CHECK(harms[i].what, ca && signs_for(ca, old) && signs_for(ca, p.public_path));
		ca_free(ca);
		unlink(old);
		place_remove(&p);
	}
}

/* The end came between the two renames. */
TEST(mends_an_activation_that_was_cut_short)
{
	char old[96];
	struct place p;
	struct ca *ca = renewing(&p, old);

	ca_free(ca);
	CHECK_EQ("the first of them", rename(p.next_key, p.key), 0);
	CHECK_EQ("opened", open_in(&p, names, ARRAY_SIZE(names), &ca), 0);
	CHECK("it is done", signs_for(ca, p.public_path) && !signs_for(ca, old));
	CHECK("nothing waits", !ca_files_have(&p.at, CA_NEXT));
	ca_free(ca);
	unlink(old);
	place_remove(&p);
}

TEST(discard)
{
	char old[96];
	struct place p;
	struct ca *ca = renewing(&p, old);
	X509 *a, *b;

	CHECK_EQ("in force, for a moment", ca_use(ca, CA_NEXT), 0);
	CHECK_EQ("thrown away", ca_files_discard(&p.at), 0);
	CHECK_EQ("and back", ca_use(ca, CA_CURRENT), 0);
	CHECK("nothing waits", !ca_files_have(&p.at, CA_NEXT) && access(p.next_key, F_OK) < 0);
	CHECK_EQ("nothing to throw away", ca_files_discard(&p.at), -ENOENT);
	a = read_cert(old);
	b = read_cert(p.public_path);
	CHECK("the current one is published", a && b && !X509_cmp(a, b) && signs_for(ca, old));
	X509_free(a);
	X509_free(b);
	ca_free(ca);
	unlink(old);
	place_remove(&p);
}

/* No two have the same subject: clients look an issuer up by it. */
TEST(subjects)
{
	char old[96];
	struct place p;
	struct ca *ca = renewing(&p, old);
	X509 *a = read_cert(p.cert), *b = read_cert(p.next_cert);

	CHECK("apart", a && b && X509_NAME_cmp(X509_get_subject_name(a), X509_get_subject_name(b)));
	X509_free(a);
	X509_free(b);
	ca_free(ca);
	unlink(old);
	place_remove(&p);
}

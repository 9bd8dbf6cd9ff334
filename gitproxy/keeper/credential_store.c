/*
 * credential_store.c - the host's secrets, in locked memory, as fresh as their files
 *
 * Theory of operation: a slot for each credential. At use, at most once a second, its file is
 * opened, judged (policy/secret_file.h) and read; when the content is another than before, a new
 * struct credential takes the old one's place. So a rotation needs no signal, and a file that
 * became readable for others ends the credential's use within a second: then requests are refused,
 * never sent with a broader credential or with none. An application's file is its key, and the
 * secret a token that the API gives for an hour: whoever needs it first asks, others wait; five
 * minutes before its end a thread asks for the next while requests go on with the old one.
 * Answers are searched for the secret before this one too: a server may still have it in a page.
 * Invariants: secrets and their files' contents are in OpenSSL's secure heap, wiped when the last
 * reference goes; the audit gets names, paths and errors, never a byte of a secret or a hash.
 */
#include "gitproxy/keeper/credential_store.h"

#include <errno.h>
#include <pthread.h>
#include <openssl/crypto.h>

#include "base/log.h"
#include "base/proc.h"
#include "base/thread.h"
#include "gitproxy/deadline.h"
#include "gitproxy/keeper/credential_line.h"
#include "gitproxy/keeper/github_app.h"

enum {
	LOOK_MS = 1000,
	RETRY_MS = 10000,
	RENEW_EARLY_S = 300,
	EXPIRED_EARLY_S = 30,
	STACK = 1 << 20,
	WHY = SECRET_WHY
};

/* A secret that is kept to be found, for whoever has learnt it once. */
struct past {
	char *text;		/* locked; NULL: none */
	size_t n;
};

struct slot {
	struct credential_store *store;
	const struct host_credential *of;
	pthread_mutex_t lock;
	pthread_cond_t renewed;
	bool looked, renewing;
	uint64_t looked_at, retry_at;
	uint64_t renew_at, expires_at; /* an application's token */
	char *content;		       /* the file's, locked; NULL: unusable */
	size_t content_n;
	uint64_t version;	  /* of content */
	struct credential *value; /* NULL: none yet, or none any more */
	struct past now, before;  /* the secret of value, or the last there was; and the one before */
	char why[WHY];		  /* last told; "": all is well */
};

struct credential_store {
	const struct host_config *config;
	const struct dial_ways *ways;
	struct audit *audit;
	struct secret_owner owner;
	pthread_mutex_t lock; /* references, identities */
	uint64_t identities;
	struct slot *slots;
};

/* ---- telling ---- */

static void tell(struct slot *s, const char *what, const char *why)
{
	struct audit_head h = { .event = "credential" };
	struct audit_line l;

	audit_begin(&l, &h);
	audit_str(&l, "what", what);
	audit_str(&l, "name", s->of->name);
	audit_str(&l, "match", s->of->match);
	audit_str(&l, "file", s->of->file);
	if (why)
		audit_str(&l, "outcome", why);
	audit_put(s->store->audit, &l);
}

/* Each state is told once, not each look at it. */
static void tell_failure(struct slot *s, const char *why)
{
	if (!strcmp(s->why, why))
		return;
	snprintf(s->why, sizeof(s->why), "%s", why);
	tell(s, "failed", why);
	log_line(LOG_ERR, "event=credential_unusable name=%s file=%s error=\"%s\"", s->of->name,
		 s->of->file, why);
}

static void tell_success(struct slot *s, const char *what)
{
	s->why[0] = '\0';
	tell(s, what, NULL);
}

/* ---- values ---- */

static void value_free(struct credential *v)
{
	if (v->header)
		OPENSSL_secure_clear_free(v->header, strlen(v->header));
	echo_free(v->echo);
	free(v);
}

static void past_drop(struct past *p)
{
	if (p->text)
		OPENSSL_secure_clear_free(p->text, p->n);
	*p = (struct past){ 0 };
}

/* The secret changes, or comes back: *before is what it was. */
static int past_note(struct slot *s, const char *secret, size_t n)
{
	struct past p = { NULL, n };

	if (s->now.text && s->now.n == n && !CRYPTO_memcmp(s->now.text, secret, n))
		return 0;
	p.text = OPENSSL_secure_malloc(n);
	if (!p.text)
		return -ENOMEM;
	memcpy(p.text, secret, n);
	past_drop(&s->before);
	s->before = s->now;
	s->now = p;
	return 0;
}

/* One that is of no use any more, such as a pair without a password, is not looked for. */
static int look_for_past(const struct slot *s, struct echo *e)
{
	char *header = NULL;
	const char *why;
	int r;

	if (!s->before.text)
		return 0;
	r = credential_line(s->of, rd_of(s->before.text, s->before.n), e, &header, &why);
	if (header)
		OPENSSL_secure_clear_free(header, strlen(header));
	return r == -EINVAL ? 0 : r;
}

static int value_new(struct slot *s, const char *secret, size_t n, struct credential **ret,
		     const char **ret_why)
{
	struct credential *v = calloc(1, sizeof(*v));
	int r = v ? echo_new(&v->echo) : -ENOMEM;

	*ret_why = "";
	if (!r)
		r = credential_line(s->of, rd_of(secret, n), v->echo, &v->header, ret_why);
	if (!r)
		r = past_note(s, secret, n);
	if (!r)
		r = look_for_past(s, v->echo);
	if (r < 0) {
		if (v)
			value_free(v);
		return r;
	}
	v->of = s->of;
	v->refs = 1;
	pthread_mutex_lock(&s->store->lock);
	v->identity = ++s->store->identities;
	pthread_mutex_unlock(&s->store->lock);
	*ret = v;
	return 0;
}

void credential_store_put(struct credential_store *s, struct credential *c)
{
	bool last;

	if (!c)
		return;
	pthread_mutex_lock(&s->lock);
	last = !--c->refs;
	pthread_mutex_unlock(&s->lock);
	if (last)
		value_free(c);
}

static struct credential *value_ref(struct credential_store *s, struct credential *c)
{
	pthread_mutex_lock(&s->lock);
	c->refs++;
	pthread_mutex_unlock(&s->lock);
	return c;
}

static void value_drop(struct slot *s)
{
	credential_store_put(s->store, STEAL(s->value));
}

/* ---- the file ---- */

static void content_drop(struct slot *s)
{
	if (s->content)
		OPENSSL_secure_clear_free(s->content, s->content_n + 1);
	s->content = NULL;
	s->content_n = 0;
	s->version++;
}

/* The file's content in *ret (locked, one byte more than ret_n). */
static int file_get(const struct slot *s, char **ret, size_t *ret_n, char why[WHY])
{
	bool key = s->of->kind == CREDENTIAL_APP;
	size_t cap = key ? SECRET_FILE_MAX : ECHO_SECRET_MAX;
	AUTO(fd) int fd = -1;
	char *to;
	int r = secret_file_open(s->of->file, &s->store->owner, &fd, why);

	if (r < 0)
		return r;
	to = OPENSSL_secure_zalloc(cap);
	if (!to) {
		snprintf(why, WHY, "out of locked memory");
		return -ENOMEM;
	}
	r = secret_file_read(fd, key, ECHO_SECRET_MIN, to, cap - 1, ret_n, why);
	if (!r)
		*ret = OPENSSL_secure_malloc(*ret_n + 1); /* its own size: most are short */
	if (!r && *ret)
		memcpy(*ret, to, *ret_n);
	else if (!r)
		r = -ENOMEM;
	OPENSSL_secure_clear_free(to, cap);
	return r;
}

static void value_set(struct slot *s, const char *secret, size_t n, const char *what)
{
	struct credential *v = NULL;
	const char *why;
	int r = value_new(s, secret, n, &v, &why);

	value_drop(s);
	s->value = v;
	if (r < 0)
		tell_failure(s, r == -EINVAL ? why : strerror(-r));
	else
		tell_success(s, what);
}

static void content_set(struct slot *s, char *content /* takes */, size_t n)
{
	const char *what = s->looked && s->version ? "changed" : "loaded";

	content_drop(s);
	s->content = content;
	s->content_n = n;
	value_drop(s);
	s->retry_at = 0;
	if (s->of->kind == CREDENTIAL_APP)
		tell_success(s, what);
	else
		value_set(s, content, n, what);
}

/* Of an identity only who may read it matters here: ssh reads it, and we have no use for its bytes. */
static void look_identity(struct slot *s)
{
	char why[WHY] = "";
	AUTO(fd) int fd = -1;
	struct credential *v;

	if (secret_file_open(s->of->file, &s->store->owner, &fd, why) < 0) {
		value_drop(s);
		tell_failure(s, why);
		return;
	}
	v = s->value ? NULL : calloc(1, sizeof(*v));
	if (!v)
		return;
	*v = (struct credential){ .of = s->of, .refs = 1 };
	pthread_mutex_lock(&s->store->lock);
	v->identity = ++s->store->identities;
	pthread_mutex_unlock(&s->store->lock);
	s->value = v;
	tell_success(s, "loaded");
}

/* Locked. Is the file still what it was? */
static void look(struct slot *s)
{
	uint64_t now = deadline_now();
	char why[WHY] = "", *content = NULL;
	size_t n = 0;

	if (s->looked && now - s->looked_at < LOOK_MS)
		return;
	if (s->of->kind == CREDENTIAL_SSH)
		look_identity(s);
	else if (file_get(s, &content, &n, why) < 0) {
		content_drop(s);
		value_drop(s);
		tell_failure(s, why);
	} else if (s->content && n == s->content_n && !CRYPTO_memcmp(content, s->content, n)) {
		OPENSSL_secure_clear_free(content, n + 1);
	} else {
		content_set(s, content, n);
	}
	s->looked = true;
	s->looked_at = now;
}

/* ---- an application's token ---- */

static void token_take(struct slot *s, const struct app_token *t)
{
	uint64_t now = deadline_now();
	int64_t left = (int64_t)t->expires - (int64_t)time(NULL);
	bool first = !s->value;

	value_set(s, t->text, strlen(t->text), first ? "token" : "renewed");
	s->renew_at = now + (left > RENEW_EARLY_S ? (uint64_t)(left - RENEW_EARLY_S) * 1000 : 0);
	s->expires_at =
		now + (left > EXPIRED_EARLY_S ? (uint64_t)(left - EXPIRED_EARLY_S) * 1000 : 0);
	/* One that is short-lived from the start is not asked for again with every request. */
	s->retry_at = left > RENEW_EARLY_S ? 0 : now + RETRY_MS;
}

/* Locked, and unlocked while the API is asked. `renewing` is ours. */
static void mint(struct slot *s)
{
	size_t n = s->content_n;
	char *key = OPENSSL_secure_malloc(n + 1);
	struct app_token *t = OPENSSL_secure_zalloc(sizeof(*t));
	uint64_t version = s->version;
	char why[APP_WHY] = "out of locked memory";
	int r = -ENOMEM;

	if (key && t) {
		memcpy(key, s->content, n);
		pthread_mutex_unlock(&s->lock);
		r = github_app_mint(s->store->ways, s->of, rd_of(key, n), t, why);
		pthread_mutex_lock(&s->lock);
	}
	if (version == s->version && r < 0) {
		s->retry_at = deadline_now() + RETRY_MS;
		tell_failure(s, why);
	} else if (version == s->version) {
		token_take(s, t);
	}
	OPENSSL_secure_clear_free(key, key ? n + 1 : 0);
	OPENSSL_secure_clear_free(t, t ? sizeof(*t) : 0);
	s->renewing = false;
	pthread_cond_broadcast(&s->renewed);
}

static void *renew_main(void *arg)
{
	struct slot *s = arg;

	pthread_mutex_lock(&s->lock);
	if (s->content)
		mint(s);
	else
		s->renewing = false;
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* Locked. Beside the requests, which go on with the old token. */
static void renew_start(struct slot *s)
{
	s->renewing = true;
	if (thread_start(STACK, renew_main, s))
		s->renewing = false; /* the next request tries again */
}

/* Locked. */
static void freshen(struct slot *s)
{
	uint64_t now = deadline_now();

	if (s->value && now >= s->expires_at)
		value_drop(s);
	if (s->value) {
		if (now >= s->renew_at && now >= s->retry_at && !s->renewing)
			renew_start(s);
		return;
	}
	while (s->renewing && !s->value)
		pthread_cond_wait(&s->renewed, &s->lock);
	if (!s->value && s->content && deadline_now() >= s->retry_at) {
		s->renewing = true;
		mint(s);
	}
}

/* ---- use ---- */

static enum credential_answer use(struct credential_store *s, const struct host_credential *h,
				  struct credential **ret)
{
	struct slot *slot = &s->slots[h - s->config->credentials];

	pthread_mutex_lock(&slot->lock);
	look(slot);
	if (h->kind == CREDENTIAL_APP && slot->content)
		freshen(slot);
	if (slot->value)
		*ret = value_ref(s, slot->value);
	pthread_mutex_unlock(&slot->lock);
	return *ret ? CREDENTIAL_READY : CREDENTIAL_UNUSABLE;
}

enum credential_answer credential_store_get(struct credential_store *s, const char *host,
					    const char *repo, struct credential **ret)
{
	const struct host_credential *h = host_credential_for(s->config, host, repo);

	*ret = NULL;
	return h ? use(s, h, ret) : CREDENTIAL_NONE;
}

enum credential_answer credential_store_named(struct credential_store *s, const char *name,
					      struct credential **ret)
{
	const struct host_credential *h = host_credential_named(s->config, name);

	*ret = NULL;
	return h && h->kind == CREDENTIAL_HEADER ? use(s, h, ret) : CREDENTIAL_UNUSABLE;
}

static void slot_init(struct credential_store *s, size_t i)
{
	struct slot *slot = &s->slots[i];

	slot->store = s;
	slot->of = &s->config->credentials[i];
	pthread_mutex_init(&slot->lock, NULL);
	pthread_cond_init(&slot->renewed, NULL);
}

void credential_store_load(struct credential_store *s)
{
	for (size_t i = 0; i < s->config->n_credentials; i++)
		look(&s->slots[i]);
}

int credential_store_new(const struct host_config *c, const struct dial_ways *ways, struct audit *a,
			 struct credential_store **ret)
{
	struct credential_store *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->config = c;
	s->ways = ways;
	s->audit = a;
	s->owner = secret_owner_of(proc_role_uid(ROLE_KEEPER), proc_group());
	pthread_mutex_init(&s->lock, NULL);
	s->slots = calloc(c->n_credentials + 1, sizeof(*s->slots));
	if (!s->slots) {
		free(s);
		return -ENOMEM;
	}
	for (size_t i = 0; i < c->n_credentials; i++)
		slot_init(s, i);
	*ret = s;
	return 0;
}

/*
 * repo.c - the repositories of this host, one per security domain
 *
 * Theory of operation: STATE/mirrors/DOMAIN/ holds a bare repository `repo.git` and, once the first
 * fetch into it is complete, `about`, which says of what it is a mirror. A folder without it is a fetch
 * that never ended, and removed. In memory a repository is an entry of a list. It stays when there is
 * something on disk; else it goes with who asked for it.
 */
#include "gitproxy/mirror/repo.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/log.h"
#include "gitproxy/deadline.h"
#include "gitproxy/mirror/files.h"
#include "gitproxy/mirror/refs.h"

struct repos {
	const char *folder;
	pthread_mutex_t lock;
	struct repo *first;
};

static void repo_free(struct repo *x)
{
	free(x->tips);
	free(x->wanted);
	pthread_cond_destroy(&x->changed);
	pthread_mutex_destroy(&x->lock);
	free(x);
}

static void hex(const uint8_t *p, size_t n, char *to)
{
	for (size_t i = 0; i < n; i++)
		snprintf(to + 2 * i, 3, "%02x", p[i]);
}

static struct repo *repo_new(const struct repos *r, const struct mirror_domain *d, const char *host,
			     const char *path)
{
	struct repo *x = calloc(1, sizeof(*x));
	char name[REPO_HEX + 1];
	pthread_condattr_t attr;

	if (!x)
		return NULL;
	hex(d->id, sizeof(d->id), name);
	x->domain = *d;
	if (!msg_text_set(x->host, sizeof(x->host), host) || !msg_text_set(x->path, sizeof(x->path), path) ||
	    snprintf(x->dir, sizeof(x->dir), "%s/%s", r->folder, name) >= (int)sizeof(x->dir) ||
	    snprintf(x->git, sizeof(x->git), "%.*s/repo.git", REPO_PATH - 10, x->dir) >= (int)sizeof(x->git)) {
		free(x);
		return NULL;
	}
	pthread_mutex_init(&x->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&x->changed, &attr);
	pthread_condattr_destroy(&attr);
	x->used_at = deadline_now();
	return x;
}

/* What is on disk from an earlier run. What is not whole goes. */
static void look(struct repo *x)
{
	struct files_about about;

	if (files_about_read(x->dir, &about) == 0 && !strcmp(about.host, x->host) && !strcmp(about.path, x->path) &&
	    refs_load(x) == 0) {
		x->state = REPO_WARM;
		x->refused = files_refused(x->dir);
		return;
	}
	if (files_remove(x->dir) < 0)
		log_line(LOG_WARN, "event=mirror_not_removed dir=%s", x->dir);
}

struct repo *repo_get(struct repos *r, const struct mirror_domain *d, const char *host, const char *path)
{
	struct repo *x;

	pthread_mutex_lock(&r->lock);
	for (x = r->first; x && memcmp(x->domain.id, d->id, sizeof(d->id)); x = x->next)
		;
	if (!x && (x = repo_new(r, d, host, path))) {
		look(x);
		x->next = r->first;
		r->first = x;
	}
	if (x) {
		x->users++;
		x->used_at = deadline_now();
	}
	pthread_mutex_unlock(&r->lock);
	return x;
}

void repo_hold(struct repos *r, struct repo *x)
{
	pthread_mutex_lock(&r->lock);
	x->users++;
	pthread_mutex_unlock(&r->lock);
}

/* A sandbox may ask for names without end. Under the table's lock, which whoever comes to use x takes first. */
static void forget(struct repos *r, struct repo *x)
{
	struct repo **at = &r->first;

	while (*at != x)
		at = &(*at)->next;
	*at = x->next;
	files_remove(x->dir);
	repo_free(x);
}

void repo_put(struct repos *r, struct repo *x)
{
	pthread_mutex_lock(&r->lock);
	if (!--x->users && x->state == REPO_COLD)
		forget(r, x);
	pthread_mutex_unlock(&r->lock);
}

/* Under the lock. A mirror that cannot be marked is none any more when it is looked for again. */
static void set_refused(struct repo *x, bool refused)
{
	if (x->refused == refused)
		return;
	x->refused = refused;
	if (x->state == REPO_WARM && files_refused_set(x->dir, refused) < 0)
		log_line(LOG_WARN, "event=mirror_not_marked dir=%s", x->dir);
}

void repo_allowed(struct repo *x, uint64_t asked)
{
	pthread_mutex_lock(&x->lock);
	if (asked > x->refused_at) {
		x->allowed_at = asked > x->allowed_at ? asked : x->allowed_at;
		set_refused(x, false);
	}
	pthread_mutex_unlock(&x->lock);
}

void repo_refused(struct repo *x, uint64_t asked)
{
	pthread_mutex_lock(&x->lock);
	if (asked >= x->allowed_at) {
		x->allowed_at = 0;
		x->refused_at = asked > x->refused_at ? asked : x->refused_at;
		set_refused(x, true);
	}
	pthread_mutex_unlock(&x->lock);
}

bool repo_is_refused(struct repo *x)
{
	bool refused;

	pthread_mutex_lock(&x->lock);
	refused = x->refused;
	pthread_mutex_unlock(&x->lock);
	return refused;
}

bool repo_is_allowed(struct repo *x, uint64_t ms)
{
	bool ok;

	pthread_mutex_lock(&x->lock);
	ok = x->allowed_at && deadline_now() - x->allowed_at <= ms;
	pthread_mutex_unlock(&x->lock);
	return ok;
}

bool repo_is_warm(struct repo *x, enum object_format *ret_format, uint8_t ret_generation[REPO_GENERATION])
{
	bool warm;

	pthread_mutex_lock(&x->lock);
	warm = x->state == REPO_WARM;
	*ret_format = x->format;
	memcpy(ret_generation, x->generation, REPO_GENERATION);
	pthread_mutex_unlock(&x->lock);
	return warm;
}

/* What a reference points at is known without asking git. */
static bool are_tips(struct repo *x, const struct oid *oids, size_t n)
{
	bool all = true;

	pthread_mutex_lock(&x->lock);
	for (size_t i = 0; all && i < n; i++)
		all = x->n_tips && bsearch(&oids[i], x->tips, x->n_tips, sizeof(*x->tips), oid_compare);
	pthread_mutex_unlock(&x->lock);
	return all;
}

bool repo_has(struct repo *x, const struct oid *oids, size_t n)
{
	AUTO(mem) struct oid *left = NULL;

	if (are_tips(x, oids, n))
		return true;
	left = calloc(n + 1, sizeof(*left));
	if (!left)
		return false;
	memcpy(left, oids, n * sizeof(*left));
	return refs_missing(x, left, &n) == 0 && !n;
}

bool repo_fits(struct repo *x, enum object_format format)
{
	bool fits;

	pthread_mutex_lock(&x->lock);
	if (x->state == REPO_COLD && !x->refreshing)
		x->format = format;
	fits = x->format == format;
	pthread_mutex_unlock(&x->lock);
	return fits;
}

int repos_new(const char *folder, struct repos **ret)
{
	struct repos *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->folder = folder;
	pthread_mutex_init(&r->lock, NULL);
	*ret = r;
	return 0;
}

void repos_free(struct repos *r)
{
	if (!r)
		return;
	for (struct repo *x = r->first, *next; x; x = next) {
		next = x->next;
		repo_free(x);
	}
	free(r);
}

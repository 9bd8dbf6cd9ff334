/*
 * repo.c - the repositories of this host, one per security domain
 *
 * Theory of operation: STATE/mirrors/DOMAIN/ holds a bare repository `repo.git` and, once the first
 * fetch into it is complete, `about`, which says of what it is a mirror. A folder without it is a fetch
 * that never ended, and removed. In memory a repository is an entry of a list. It stays when there is
 * something on disk; else it goes with who asked for it. The keeper spells names, and two spellings are
 * two repositories. Where nobody said that upstream ignores case it may be one, which would fill the disk:
 * there are few of them at once, and beyond that those that are to be prewarmed.
 */
#include "gitproxy/mirror/repo.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"
#include "base/thread.h"
#include "gitproxy/mirror/files.h"
#include "gitproxy/mirror/refs.h"
#include "policy/host_mirrors.h"

#define GONE "gone."			/* folders that are being removed */
enum { MARK_S = 60,			/* the time of the last use is written so seldom */
       SPELLINGS_MAX = 4 };

struct repos {
	const char *folder;
	const struct host_mirrors *listed;
	pthread_mutex_t lock;
	struct repo *first;
	size_t n;
	uint64_t removed;		/* folders, for their names */
};

static void repo_free(struct repo *x)
{
	free(x->tips);
	free(x->wanted);
	pthread_cond_destroy(&x->changed);
	pthread_mutex_destroy(&x->lock);
	free(x);
}

static struct repo *repo_new(const struct repos *r, const struct mirror_domain *d, const char *host,
			     const char *path)
{
	struct repo *x = calloc(1, sizeof(*x));
	char name[REPO_HEX + 1];

	if (!x)
		return NULL;
	bytes_hex(d->id, sizeof(d->id), name);
	x->domain = *d;
	if (!msg_text_set(x->host, sizeof(x->host), host) || !msg_text_set(x->path, sizeof(x->path), path) ||
	    snprintf(x->dir, sizeof(x->dir), "%s/%s", r->folder, name) >= (int)sizeof(x->dir) ||
	    snprintf(x->git, sizeof(x->git), "%.*s/repo.git", REPO_PATH - 10, x->dir) >= (int)sizeof(x->git)) {
		free(x);
		return NULL;
	}
	pthread_mutex_init(&x->lock, NULL);
	thread_cond_init(&x->changed);
	return x;
}

/* What is on disk from an earlier run. What is not whole goes. False: this host lacks what it takes to tell. */
static bool look(struct repo *x)
{
	struct files_about about;
	int r = files_about_read(x->dir, &about);

	if (!r && (strcmp(about.host, x->host) || strcmp(about.path, x->path)))
		r = -EBADMSG;
	if (!r)
		r = refs_load(x);
	if (!r) {
		x->state = REPO_WARM;
		x->refused = files_marked(x->dir, FILES_REFUSED);
		x->doubted = files_marked(x->dir, FILES_DOUBTED);
		return true;
	}
	if (r != -ENOENT && r != -EBADMSG && r != -EIO)
		return false;
	if (files_remove(x->dir) < 0)
		log_line(LOG_WARN, "event=mirror_not_removed dir=%s", x->dir);
	return true;
}

static struct repo *known(const struct repos *r, const uint8_t domain[MIRROR_DOMAIN])
{
	struct repo *x = r->first;

	while (x && memcmp(x->domain.id, domain, MIRROR_DOMAIN))
		x = x->next;
	return x;
}

/* Under the table's lock. */
static struct repo *get_to_know(struct repos *r, const struct mirror_domain *d, const char *host, const char *path)
{
	struct repo *x = repo_new(r, d, host, path);

	if (!x)
		return NULL;
	if (!look(x)) {
		repo_free(x);
		return NULL;
	}
	x->used = x->marked = files_time(x->dir, "used");
	x->refreshed = files_time(x->dir, "refreshed");
	x->unmeasured = true;
	x->next = r->first;
	r->first = x;
	r->n++;
	return x;
}

/* Of this name there are as many spellings as may be, and this is another one. Under the table's lock. */
static bool too_many_spellings(const struct repos *r, const struct mirror_domain *d, const char *host, const char *path)
{
	size_t n = 0;

	if (host_mirrors_prewarms(r->listed, host, path))
		return false;
	for (const struct repo *x = r->first; x; x = x->next)
		n += !strcasecmp(x->path, path) && !strcmp(x->host, host) &&
		     !strcmp(x->domain.credential, d->credential);
	return n >= SPELLINGS_MAX;
}

struct repo *repo_get(struct repos *r, const struct mirror_domain *d, const char *host, const char *path)
{
	struct repo *x;

	pthread_mutex_lock(&r->lock);
	x = known(r, d->id);
	if (!x && !too_many_spellings(r, d, host, path))
		x = get_to_know(r, d, host, path);
	if (x)
		x->users++;
	pthread_mutex_unlock(&r->lock);
	return x;
}

struct repo *repo_find(struct repos *r, const uint8_t domain[MIRROR_DOMAIN])
{
	struct repo *x;

	pthread_mutex_lock(&r->lock);
	x = known(r, domain);
	if (x)
		x->users++;
	pthread_mutex_unlock(&r->lock);
	return x;
}

void repo_used(struct repos *r, struct repo *x)
{
	int64_t now = time(NULL);
	bool mark;

	pthread_mutex_lock(&r->lock);
	x->used = now;
	mark = now < x->marked || now - x->marked >= MARK_S;
	x->marked = mark ? now : x->marked;
	pthread_mutex_unlock(&r->lock);
	if (mark)
		files_touch(x->dir, "used");
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
	r->n--;
	files_remove(x->dir);
	repo_free(x);
}

void repo_put(struct repos *r, struct repo *x)
{
	pthread_mutex_lock(&r->lock);
	if (!--x->users && x->state == REPO_COLD && !x->too_large)
		forget(r, x);
	pthread_mutex_unlock(&r->lock);
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
	fits = x->format == format && !x->too_large;
	pthread_mutex_unlock(&x->lock);
	return fits;
}

/* ---- all of them ---- */

/* Their domains, heap. */
static uint8_t (*domains(struct repos *r, size_t *ret_n))[MIRROR_DOMAIN]
{
	uint8_t (*ids)[MIRROR_DOMAIN];
	size_t n = 0;

	pthread_mutex_lock(&r->lock);
	ids = calloc(r->n + 1, sizeof(*ids));
	for (const struct repo *x = r->first; ids && x; x = x->next)
		memcpy(ids[n++], x->domain.id, MIRROR_DOMAIN);
	pthread_mutex_unlock(&r->lock);
	*ret_n = n;
	return ids;
}

void repos_each(struct repos *r, repo_fn *fn, void *owner)
{
	size_t n;
	AUTO(mem) uint8_t (*ids)[MIRROR_DOMAIN] = domains(r, &n);

	for (size_t i = 0; i < n; i++) {
		struct repo *x = repo_find(r, ids[i]);

		if (!x)
			continue;
		fn(owner, x);
		repo_put(r, x);
	}
}

static bool free_to_go(struct repo *x)
{
	bool yes;

	if (x->users)
		return false;
	pthread_mutex_lock(&x->lock);
	yes = x->state == REPO_WARM && !x->refreshing && !x->tended;
	pthread_mutex_unlock(&x->lock);
	return yes;
}

struct repo *repos_take_unused(struct repos *r)
{
	struct repo *oldest = NULL;

	pthread_mutex_lock(&r->lock);
	for (struct repo *x = r->first; x; x = x->next)
		if ((!oldest || x->used < oldest->used) && free_to_go(x))
			oldest = x;
	if (oldest && repo_claim_now(oldest))
		oldest->users++;
	else
		oldest = NULL;
	pthread_mutex_unlock(&r->lock);
	return oldest;
}

static bool domain_parse(const char *name, uint8_t ret[MIRROR_DOMAIN])
{
	struct oid o;

	if (strlen(name) != REPO_HEX || !oid_parse(rd_str(name), OBJECT_SHA256, &o))
		return false;
	memcpy(ret, o.byte, MIRROR_DOMAIN);
	return true;
}

static bool is_one_too_many(struct repos *r, const struct mirror_domain *d, const struct files_about *about)
{
	bool yes;

	pthread_mutex_lock(&r->lock);
	yes = too_many_spellings(r, d, about->host, about->path);
	pthread_mutex_unlock(&r->lock);
	return yes;
}

static void adopt(struct repos *r, const char *name)
{
	struct mirror_domain d = { 0 };
	struct files_about about;
	char dir[REPO_PATH];
	struct repo *x;

	if (snprintf(dir, sizeof(dir), "%s/%s", r->folder, name) >= (int)sizeof(dir))
		return;
	if (!strncmp(name, GONE, sizeof(GONE) - 1)) {
		files_remove(dir);
		return;
	}
	if (!domain_parse(name, d.id) || files_about_read(dir, &about) < 0)
		return;			/* not ours, or a first fetch that may be under way */
	memcpy(d.credential, about.credential, sizeof(d.credential));
	x = repo_get(r, &d, about.host, about.path);
	if (x)
		repo_put(r, x);
	else if (is_one_too_many(r, &d, &about))
		files_remove(dir);	/* nothing would know of it */
}

void repos_adopt(struct repos *r)
{
	DIR *d = opendir(r->folder);

	for (struct dirent *e; d && (e = readdir(d));)
		adopt(r, e->d_name);
	if (d)
		closedir(d);
}

int repos_new(const char *folder, const struct host_mirrors *listed, struct repos **ret)
{
	struct repos *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->folder = folder;
	r->listed = listed;
	pthread_mutex_init(&r->lock, NULL);
	*ret = r;
	return 0;
}

bool repos_gone_name(struct repos *r, char *to, size_t cap)
{
	uint64_t number;

	pthread_mutex_lock(&r->lock);
	number = r->removed++;
	pthread_mutex_unlock(&r->lock);
	return snprintf(to, cap, "%s/" GONE "%d.%ju", r->folder, (int)getpid(), (uintmax_t)number) < (int)cap;
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

/*
 * repo_right.c - whether upstream lets a domain in, and whether the mirror is of what it lets in to
 *
 * Theory of operation: both are told by answers of upstream's, which may overtake each other, so each is
 * taken with the time when its question left. A refusal ends the right at once. One that says that the
 * repository is gone does more: under its name there may be another one tomorrow, with other readers. So
 * from then on the mirror is in doubt, and serves nothing until a list of references was compared with its
 * own (kin.c). And since nobody may have asked while the one went and the other came, objects are served
 * only when a list of the last minute began with something that is here.
 */
#include "gitproxy/mirror/repo.h"

#include "base/log.h"
#include "gitproxy/deadline.h"
#include "gitproxy/mirror/files.h"

/* Under the lock. A mirror that cannot be marked is none any more when it is looked for again. */
static void mark(struct repo *x, const char *name, bool *is, bool on)
{
	if (*is == on)
		return;
	*is = on;
	if (x->state == REPO_WARM && files_mark(x->dir, name, on) < 0)
		log_line(LOG_WARN, "event=mirror_not_marked dir=%s", x->dir);
}

void repo_allowed(struct repo *x, uint64_t asked)
{
	pthread_mutex_lock(&x->lock);
	if (asked > x->refused_at) {
		x->allowed_at = asked > x->allowed_at ? asked : x->allowed_at;
		mark(x, FILES_REFUSED, &x->refused, false);
	}
	pthread_mutex_unlock(&x->lock);
}

void repo_refused(struct repo *x, uint64_t asked)
{
	pthread_mutex_lock(&x->lock);
	if (asked >= x->allowed_at) {
		x->allowed_at = 0;
		x->refused_at = asked > x->refused_at ? asked : x->refused_at;
		mark(x, FILES_REFUSED, &x->refused, true);
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

/* ---- is it the same repository ---- */

void repo_doubt(struct repo *x, uint64_t asked)
{
	pthread_mutex_lock(&x->lock);
	if (asked >= x->proved_at) {
		x->doubted_at = asked > x->doubted_at ? asked : x->doubted_at;
		mark(x, FILES_DOUBTED, &x->doubted, true);
	}
	pthread_mutex_unlock(&x->lock);
}

void repo_proved(struct repo *x, uint64_t asked)
{
	pthread_mutex_lock(&x->lock);
	x->proved_at = asked > x->proved_at ? asked : x->proved_at;
	x->shown_at = asked > x->shown_at ? asked : x->shown_at;
	if (asked > x->doubted_at)
		mark(x, FILES_DOUBTED, &x->doubted, false);
	pthread_mutex_unlock(&x->lock);
}

bool repo_is_doubted(struct repo *x)
{
	bool doubted;

	pthread_mutex_lock(&x->lock);
	doubted = x->doubted;
	pthread_mutex_unlock(&x->lock);
	return doubted;
}

void repo_shown(struct repo *x, const struct ls_ref *first, uint64_t asked)
{
	struct rd name = first ? first->name : rd_str("HEAD");
	bool here;

	if (!rd_eq_str(name, "HEAD") && !rd_prefix(&name, "refs/heads/"))
		return;
	pthread_mutex_lock(&x->lock);
	here = first && x->n_tips && bsearch(&first->oid, x->tips, x->n_tips, sizeof(*x->tips), oid_compare);
	if (asked > x->shown_at)
		x->shown_at = here ? asked : 0;
	pthread_mutex_unlock(&x->lock);
}

bool repo_is_shown(struct repo *x, uint64_t ms)
{
	bool ok;

	pthread_mutex_lock(&x->lock);
	ok = x->shown_at && deadline_now() - x->shown_at <= ms;
	pthread_mutex_unlock(&x->lock);
	return ok;
}

/* ---- what may be served ---- */

bool repo_serves(const struct repo *x)
{
	return x->state == REPO_WARM && !x->doubted;
}

bool repo_is_warm(struct repo *x, enum object_format *ret_format, uint8_t ret_generation[REPO_GENERATION])
{
	bool warm;

	pthread_mutex_lock(&x->lock);
	warm = repo_serves(x);
	*ret_format = x->format;
	memcpy(ret_generation, x->generation, REPO_GENERATION);
	pthread_mutex_unlock(&x->lock);
	return warm;
}

bool repo_is_there(struct repo *x)
{
	bool there;

	pthread_mutex_lock(&x->lock);
	there = x->state == REPO_WARM;
	pthread_mutex_unlock(&x->lock);
	return there;
}

/* ---- counts ---- */

void repo_asked(struct repo *x, bool led, uint64_t ms)
{
	pthread_mutex_lock(&x->lock);
	x->questions += led;
	x->question_ms += led ? ms : 0;
	x->shared += !led;
	pthread_mutex_unlock(&x->lock);
}

void repo_sent(struct repo *x, uint64_t bytes)
{
	pthread_mutex_lock(&x->lock);
	x->served += bytes;
	pthread_mutex_unlock(&x->lock);
}

/*
 * repo.h - the repositories of this host, one per security domain
 */
#ifndef GITPROXY_MIRROR_REPO_H
#define GITPROXY_MIRROR_REPO_H

#include <pthread.h>

#include "gitproxy/mirror/ls_refs.h"
#include "gitproxy/mirror_ipc.h"
#include "gitproxy/oid.h"

enum { REPO_PATH = 1024, REPO_HEX = 2 * MIRROR_DOMAIN, REPO_GENERATION = 32 };

enum repo_state { REPO_COLD = 0,	/* nothing can be served */
		  REPO_WARM };

struct repo {
	struct repo *next;
	struct mirror_domain domain;
	char host[MSG_NAME], path[GP_REPO_MAX + 1];	/* upstream */
	char dir[REPO_PATH];		/* STATE/mirrors/DOMAIN */
	char git[REPO_PATH];		/* and the bare repository in it */
	pthread_mutex_t lock;		/* for what follows */
	pthread_cond_t changed;
	enum repo_state state;
	enum object_format format;
	bool refreshing;		/* or removed: repo_claim() */
	bool tended;			/* maintained or verified: repo_tend() */
	bool too_large;			/* so it is not mirrored */
	uint64_t rounds;		/* refreshes that have ended, well or not */
	struct oid *tips;		/* that the references point at; sorted */
	size_t n_tips, n_refs;
	struct oid *wanted;		/* by waiters, for the next refresh; may repeat */
	size_t n_wanted;
	const struct oid *extra;	/* what no reference led to and is being fetched; sorted; the round's */
	size_t n_extra;
	uint8_t generation[REPO_GENERATION];	/* of the references */
	uint8_t upstream[REPO_GENERATION];	/* a digest of upstream's list that they were made from */
	bool upstream_known;
	uint64_t allowed_at;		/* when the question left to which upstream last said yes; 0: no more */
	uint64_t refused_at;		/* the same, to which it said no */
	bool refused;			/* that was its last word; also a file, so that it outlives us */
	uint64_t doubted_at;		/* when the question left whose answer says that it may be gone */
	uint64_t proved_at;		/* the same of the last list of references that was followed */
	bool doubted;			/* what is here may be another's: not served; also a file */
	uint64_t shown_at;		/* when the question left that showed upstream to have what is here */
	uint64_t bytes;			/* on disk, when last measured */
	uint64_t fresh_bytes;		/* fetched since it was last maintained */
	unsigned packs;			/* after it was last maintained */
	bool unmeasured;		/* changed since */
	int64_t refreshed;		/* last heard of upstream's references, wall clock, s; 0: never */
	uint64_t received, objects;	/* fetched, in all; the refreshing thread's */
	uint64_t served;		/* bytes of objects that clients had from here */
	uint64_t questions, shared, question_ms;	/* repo_asked() */
	unsigned users;			/* under the table's lock, as the next two */
	int64_t used;			/* wall clock, s */
	int64_t marked;			/* the same as the time of a file, so that it outlives us */
};

struct repos;
struct host_mirrors;
/* Those in the folder are found again. `listed`: what is always mirrored. All borrowed. 0 or -errno. */
int repos_new(const char *folder, const struct host_mirrors *listed, struct repos **ret);
void repos_free(struct repos *r);
/*
 * The one of this domain, made if need be (cold, nothing on disk yet); repo_put() it. NULL: there is not
 * the memory, or whatever else it takes, to know what is on disk; or the name is mirrored in
 * many other spellings.
 */
struct repo *repo_get(struct repos *r, const struct mirror_domain *d, const char *host, const char *path);
/* The same, if it is known. */
struct repo *repo_find(struct repos *r, const uint8_t domain[MIRROR_DOMAIN]);
/*
 * Each that is known, held meanwhile, with no lock: in no order, and what comes or goes in between may be
 * missed.
 */
typedef void repo_fn(void *owner, struct repo *x);
void repos_each(struct repos *r, repo_fn *fn, void *owner);
/* Of those that are served and nobody holds, the one used longest ago; held and claimed. NULL: there is none. */
struct repo *repos_take_unused(struct repos *r);
/* A new name for a folder that is to be removed. */
bool repos_gone_name(struct repos *r, char *to, size_t cap);
/* Know all that are on disk, and remove what is no mirror. Reads each: slow. */
void repos_adopt(struct repos *r);
/* Once more; and no more. Of what nobody holds and nothing is there of, nothing is remembered. */
void repo_hold(struct repos *r, struct repo *x);
void repo_put(struct repos *r, struct repo *x);
/* A sandbox asked for it just now. */
void repo_used(struct repos *r, struct repo *x);

/*
 * The one right to change what is served of it: a refresh, a removal. Waits for it; or does not. Whoever
 * waits for a refresh is woken at the end.
 */
void repo_claim(struct repo *x);
bool repo_claim_now(struct repo *x);
/* The first, while it may be tended. */
void repo_claim_beside(struct repo *x);
void repo_release(struct repo *x);
/* The one right to rewrite its files beside refreshes and readers. False: it is taken, or nothing is there. */
bool repo_tend(struct repo *x);
void repo_tended(struct repo *x);
/* Claimed, and nobody tends it: nothing is served from now on, and its files go. Who reads now may break. */
void repo_clear(struct repos *r, struct repo *x);

/*
 * Upstream let the domain in, or refused it, when it was asked at this time. Answers may overtake each other:
 * the younger question counts, and of two of one time the refusal.
 */
void repo_allowed(struct repo *x, uint64_t asked);
void repo_refused(struct repo *x, uint64_t asked);
/* Was it let in within the last `ms`? */
bool repo_is_allowed(struct repo *x, uint64_t ms);
/* Was a refusal the last that was heard? */
bool repo_is_refused(struct repo *x);
/*
 * An answer to a question of this time says that the repository may be gone: what comes under its name may be
 * another one, so nothing of it is served until a list of references was followed (repo_proved()).
 */
void repo_doubt(struct repo *x, uint64_t asked);
void repo_proved(struct repo *x, uint64_t asked);
bool repo_is_doubted(struct repo *x);
/*
 * The first reference that upstream named; NULL: there was none. When it is HEAD or a branch it
 * tells whether the mirror is of what upstream has: pointing at something else it may have been
 * pushed to, or be another repository.
 */
void repo_shown(struct repo *x, const struct ls_ref *first, uint64_t asked);
/* Was it told so within the last `ms`? */
bool repo_is_shown(struct repo *x, uint64_t ms);
/* A question about its references was answered by upstream in so many ms; or `led` not: by another's answer. */
void repo_asked(struct repo *x, bool led, uint64_t ms);
/* So many bytes of objects went to a client. */
void repo_sent(struct repo *x, uint64_t bytes);
/* There is something on disk, served or not. */
bool repo_is_there(struct repo *x);
/* The same as repo_is_warm(), under the lock. */
bool repo_serves(const struct repo *x);
/* Serveable, and of which format and generation. */
bool repo_is_warm(struct repo *x, enum object_format *ret_format, uint8_t ret_generation[REPO_GENERATION]);
/* All of them are objects of the repository (which has then all that they need). False: not, or not to be known. */
bool repo_has(struct repo *x, const struct oid *oids, size_t n);
bool repo_is_too_large(struct repo *x);
/* A cold one becomes one of this format. False: it is of another, or is known to be too large. */
bool repo_fits(struct repo *x, enum object_format format);

#endif

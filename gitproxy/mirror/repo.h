/*
 * repo.h - the repositories of this host, one per security domain
 */
#ifndef GITPROXY_MIRROR_REPO_H
#define GITPROXY_MIRROR_REPO_H

#include <pthread.h>

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
	bool refreshing;
	uint64_t rounds;		/* refreshes that have ended, well or not */
	struct oid *tips;		/* that the references point at; sorted */
	size_t n_tips;
	struct oid *wanted;		/* by waiters, for the next refresh; may repeat */
	size_t n_wanted;
	uint8_t generation[REPO_GENERATION];	/* of the references */
	uint64_t allowed_at;		/* when the question left to which upstream last said yes; 0: no more */
	uint64_t refused_at;		/* the same, to which it said no */
	bool refused;			/* that was its last word; also a file, so that it outlives us */
	uint64_t used_at;
	unsigned users;			/* under the table's lock */
};

struct repos;
/* Those in the folder are found again. All borrowed. 0 or -errno. */
int repos_new(const char *folder, struct repos **ret);
void repos_free(struct repos *r);
/* The one of this domain, made if need be (cold, nothing on disk yet); repo_put() it. NULL: no memory. */
struct repo *repo_get(struct repos *r, const struct mirror_domain *d, const char *host, const char *path);
/* Once more; and no more. Of what nobody holds and nothing is there of, nothing is remembered. */
void repo_hold(struct repos *r, struct repo *x);
void repo_put(struct repos *r, struct repo *x);

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
/* Serveable, and of which format and generation. */
bool repo_is_warm(struct repo *x, enum object_format *ret_format, uint8_t ret_generation[REPO_GENERATION]);
/* All of them are objects of the repository (which has then all that they need). False: not, or not to be known. */
bool repo_has(struct repo *x, const struct oid *oids, size_t n);
/* A cold one becomes one of this format. False: it is of another. */
bool repo_fits(struct repo *x, enum object_format format);

#endif

/*
 * lfs_links.h - links to objects of Git LFS that sandboxes were given
 *
 * A link is good for one sandbox, repository, object, size and direction, for minutes. What it stands
 * for upstream (a URL with signatures, header fields) stays here.
 */
#ifndef GITPROXY_KEEPER_LFS_LINKS_H
#define GITPROXY_KEEPER_LFS_LINKS_H

#include "gitproxy/git_path.h"
#include "gitproxy/keeper/lfs_answer.h"

enum {
	LFS_LINKS_MAX = 65536, LFS_LINKS_EACH = 8192,	/* of all; of one sandbox */
	LFS_LINKS_BYTES = 128 << 20, LFS_LINKS_BYTES_EACH = 32 << 20
};

struct lfs_link_key {			/* what a request must say to use one */
	uint16_t sandbox;
	enum git_service service;	/* upload-pack: it may be had; receive-pack: brought */
	const char *host, *repo;
	const uint8_t *link, *oid;	/* LFS_LINK and LFS_OID bytes */
};
struct lfs_link {
	struct lfs_link *next;		/* the table's, as are the next five */
	unsigned refs, bringing;	/* users; of these, who bring the object */
	bool passed;			/* what was brought last */
	uint64_t until;			/* monotonic, ms */
	size_t bytes;
	uint8_t link[LFS_LINK];
	uint16_t sandbox;
	enum git_service service;
	struct lfs_object object;
	char host[MSG_NAME], repo[GP_REPO_MAX + 1];
	struct lfs_action *action;	/* NULL: one to bring it by */
};

struct lfs_links;
int lfs_links_new(struct lfs_links **ret);	/* 0 or -ENOMEM */
void lfs_links_free(struct lfs_links *t);	/* nobody uses any; NULL is fine */
DEFINE_AUTO(lfs_links, struct lfs_links *, lfs_links_free)
/*
 * A new link for life_s seconds; ret_link is what to tell. `action` may be NULL. 0, -ENOSPC (the sandbox, or
 * all of them, have as many as they may), -ENOMEM, -EIO.
 */
int lfs_links_add(struct lfs_links *t, const struct lfs_link_key *k, uint64_t size,
		  struct lfs_action *action /* takes */, uint32_t life_s, uint8_t ret_link[LFS_LINK]);
/* The link of which all of the key is true, and whose time is not over; lfs_links_put() it. NULL: none. */
struct lfs_link *lfs_links_get(struct lfs_links *t, const struct lfs_link_key *k);
void lfs_links_put(struct lfs_links *t, struct lfs_link *l);
/* The object is being brought by it, until lfs_links_brought(); passed: it is whole and clean, and held. */
void lfs_links_bring(struct lfs_links *t, struct lfs_link *l);
void lfs_links_brought(struct lfs_links *t, struct lfs_link *l, bool passed);
/* Whether it passed. Who brings it may have told the client already: waits for that until a moment (ms). */
bool lfs_links_passed(struct lfs_links *t, const struct lfs_link *l, uint64_t until);
/* It has served its purpose: nobody gets it again. */
void lfs_links_end(struct lfs_links *t, struct lfs_link *l);

#endif

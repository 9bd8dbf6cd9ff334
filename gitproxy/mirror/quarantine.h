/*
 * quarantine.h - where a push waits until it was judged and upstream has it
 */
#ifndef GITPROXY_MIRROR_QUARANTINE_H
#define GITPROXY_MIRROR_QUARANTINE_H

#include "base/bytes.h"
#include "gitproxy/mirror/repo.h"
#include "gitproxy/mirror/room.h"

struct quarantine {
	char dir[REPO_PATH];		/* "": there is none */
	int pack;			/* what the client sent; read and write */
	int judged;			/* the folder for what belongs to it */
	uint64_t bytes;			/* of the pack */
	struct room *room;		/* borrowed; what all of them take */
	uint64_t taken;			/* of it */
	uint16_t sandbox;
};

/* A new one below the mirrors' folder. 0 or -errno. */
int quarantine_open(const char *mirrors, struct room *room, uint16_t sandbox, struct quarantine *ret);
/* It goes, with all that is in it, and gives back what it took of the room. */
void quarantine_done(struct quarantine *q);
/* 0; -EFBIG: the pack is larger than one sandbox can ever have; -EDQUOT: there is no room now; or -errno. */
int quarantine_write(struct quarantine *q, struct rd bytes);
/* The pack is not wanted any more: its bytes go. */
void quarantine_empty(struct quarantine *q);
/* Take room for what belongs to the pack, once it is whole; so many bytes may be written there. 0: there is none. */
uint64_t quarantine_reserve(struct quarantine *q);
/* It has been written: give back what was not needed. */
void quarantine_settle(struct quarantine *q);
/*
 * Pack and index become x's, under this name, and the tips are pinned. thin: the pack that is kept
 * was made in the quarantine. Waits for a refresh of x to end. 0, or -errno: x is as it was, or has
 * objects that nobody needs.
 */
struct quarantine_keep { const struct oid *name, *tips; size_t n_tips; enum object_format format; bool thin; };
int quarantine_keep(struct quarantine *q, struct repo *x, const struct quarantine_keep *k);
/* Remove what an earlier run left. Before the first is opened. 0 or -errno. */
int quarantine_sweep(const char *mirrors);

#endif

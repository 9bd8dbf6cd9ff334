/*
 * lfs_answer.h - what upstream says to a batch request
 *
 * Spec: git-lfs docs/api/batch.md.
 */
#ifndef GITPROXY_KEEPER_LFS_ANSWER_H
#define GITPROXY_KEEPER_LFS_ANSWER_H

#include <time.h>

#include "base/msg.h"
#include "gitproxy/lfs_json.h"

enum {
	LFS_ANSWER_MAX = 16 << 20,
	LFS_URL_MAX = 8192, LFS_FIELDS_MAX = 16, LFS_NAME_MAX = 64, LFS_VALUE_MAX = 8192,
	LFS_LIFE_S = 9 * 60		/* shorter than the ids of sandboxes rest */
};

/* One step that upstream names: where, and with which header fields. Secret, all of it. Heap. */
struct lfs_action {
	char *url;			/* https, port 443; without a fragment */
	char host[MSG_NAME];		/* of it, canonical */
	size_t n;
	char *field[LFS_FIELDS_MAX];	/* "Name: value", ready to be sent */
	uint32_t life_s;		/* 1 to LFS_LIFE_S; 0: it is over */
};
void lfs_action_free(struct lfs_action *a);	/* wipes; NULL is fine */
DEFINE_AUTO(lfs_action, struct lfs_action *, lfs_action_free)
/* Bytes that it takes. */
size_t lfs_action_bytes(const struct lfs_action *a);
/* The value of a field of it, or "". */
const char *lfs_action_field(const struct lfs_action *a, const char *name);

struct lfs_found {
	uint32_t result;		/* enum lfs_result: LINKED: `get` or `put` is there */
	struct lfs_action *action, *verify;	/* owned; verify: of an upload, or NULL */
};
void lfs_found_done(struct lfs_found *f, size_t n);

/* Our request: {"operation": ...}. */
void lfs_ask_write(struct wr *w, bool upload, const struct lfs_object *o, size_t n);
enum { LFS_ASK_ENTRY = 160, LFS_ASK_HEAD = 160 };	/* bytes that it takes at most: of each, and besides */

/*
 * The answer, for the objects that were asked for: ret[i] is what became of o[i]; what the answer leaves
 * out is LFS_MISSING. A step that may not be taken (another scheme, port or address; a field that
 * changes what is asked) makes its object LFS_REFUSED. -EBADMSG: it is no answer at all; -ENOMEM. Then ret is as
 * it was. `now`: for ends that are told as a time.
 */
int lfs_answer_read(struct rd body, bool upload, const struct lfs_object *o, size_t n, time_t now,
		    struct lfs_found *ret);

#endif

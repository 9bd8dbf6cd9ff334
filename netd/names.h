/*
 * names.h - granted names: their synthetic addresses, real addresses and grants
 */
#ifndef NETD_NAMES_H
#define NETD_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/msg.h"
#include "netd/profiles.h"
#include "netd/silence.h"
#include "nft/ruleset.h"
#include "policy/address.h"
#include "policy/reason.h"

/* One element of a grants map: the name's address of `family`, for one profile. */
struct name_grant {
	uint16_t profile;
	uint8_t family, proto;
	uint16_t port;
	uint8_t action; /* enum grant_action */
};

struct pin; /* netd/pin.h */

struct name_others { /* real addresses to move to, the next one first */
	struct addr *a;
	uint8_t n;
};

struct name {
	uint32_t index;		   /* synthetic addresses are pool + index */
	bool known;		   /* the parts have been told */
	bool in_kernel;		   /* its element of the names maps is there */
	bool leaving;		   /* about to be forgotten, unless it is asked for */
	bool in_use;		   /* flows were opened to it lately (netd/liveness.c) */
	uint64_t used_ms;	   /* a sandbox asked for it, or had a flow to it, at this time at least */
	struct addr real[2];	   /* v4, v6; family 0: none */
	struct name_others others[2];
	struct silence silence[2]; /* of the real addresses */
	struct name_grant *grants; /* sorted; what the kernel has */
	size_t n_grants;
	struct pin *waiting; /* pins that wait for `known` */
	struct name *next;   /* in its bucket */
	char text[];
};

struct names;
/* `config` is borrowed and must outlive the table or be replaced with names_set_config(). */
int names_new(const struct host_config *config, struct ruleset *rules, struct names **ret);
void names_free(struct names *t);
DEFINE_AUTO(names, struct names *, names_free)
void names_set_config(struct names *t, const struct host_config *config);
/* Whether the host has an address now, which no name may lead to. */
struct host_addresses;
typedef bool names_own_fn(const struct host_addresses *h, const struct addr *a);
void names_set_own(struct names *t, names_own_fn *fn, const struct host_addresses *h);
/* Some name's real address is this one. */
bool names_lead_to(const struct names *t, const struct addr *real);

enum { NAMES_REST_MS = 3600 * 1000 }; /* an index rests so long before another name gets it */

struct name *names_find(const struct names *t, const char *text);
struct name *names_at(const struct names *t, uint32_t index);
/* A new name with the next free index. -ENOSPC: the pool is used up. */
int names_add(struct names *t, const char *text, struct name **ret);
size_t names_count(const struct names *t);
/* The next one by index after `index` (0: the first). */
struct name *names_after(const struct names *t, uint32_t index);
void name_message(const struct name *nm, struct msg_name *ret);

/* Whether this profile has any grant on it. */
bool name_serves(const struct name *nm, uint16_t profile);

/* What a pin may give to a name (addresses as dns found them), and what came of it. */
struct name_ask {
	struct name *nm;
	uint16_t profile;
	const struct addr *a[2]; /* v4, v6 */
	size_t n[2];
	enum reason reason; /* out; REASON_NONE: granted */
	bool has[2];	    /* out: which families the profile may be answered */
	bool private_ok;    /* the profile's rule; for names_grant() itself */
};
enum { NAMES_ASKS_MAX = 64 };
/*
 * Choose real addresses, write translation and grants of all asks in one transaction and wait for
 * the kernel. Writes nothing when nothing changes. At most NAMES_ASKS_MAX, each of another name.
 * When the transaction fails, each ask is tried alone, so that one does not take the others along.
 */
void names_grant(struct names *t, const struct profiles *p, struct name_ask *asks, size_t n);

/*
 * Another real address of family f (0: v4, 1: v6) in the place of the one in force: 0, -EACCES when
 * there is none that everybody may use who has a grant, or -errno. Then nothing changed.
 */
int names_move(struct names *t, const struct profiles *p, struct name *nm, int f);

/*
 * Take names out of the kernel, in one transaction, and out of the table: 0, and they are the caller's,
 * or -errno, and nothing happened. A name that is asked for again gets another index.
 */
int names_forget(struct names *t, struct name *const *nms, size_t n);
/* No part knows it any more: frees it, and its index rests from now on. */
void names_release(struct names *t, struct name *nm /* takes */, uint64_t now_ms);
/* Indexes that have rested may be given out again. */
void names_rested(struct names *t, uint64_t now_ms);

/* A grant that was taken away: its flows are to be closed. */
typedef void names_lost_fn(void *owner, const struct addr *synthetic, const struct name_grant *g);
/*
 * Bring all grants into line with a policy, in one transaction: 0 or -errno (then nothing changed).
 * `lost` is called afterwards for each grant that was taken away.
 */
int names_rebase(struct names *t, const struct profiles *p, names_lost_fn *lost, void *owner);

/* Read names, real addresses and grants from the kernel; elements that belong to nothing are
 * deleted. */
int names_read_back(struct names *t, const struct profiles *p);
/* Write all of it again into empty maps. In chunks: a transaction has a bounded size. */
int names_refill(struct names *t);

struct addr names_synthetic(const struct names *t, const struct name *nm, uint8_t family);

#endif

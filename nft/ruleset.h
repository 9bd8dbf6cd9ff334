/*
 * ruleset.h - the elements of the tables named cordon, written and read back through libnftnl
 *
 * Theory of operation: rules are static (cordon.nft); at run time only elements change, in transactions
 * that the kernel acknowledges before ruleset_commit() returns. Elements carry a comment (user data) so
 * that the kernel is the database: a restarted netd reads names and sandboxes back. The one rule that is
 * inserted at run time is the queue rule of chain inspect (native queue expression where the kernel has
 * it, else the xt NFQUEUE target through nft_compat). Holds CAP_NET_ADMIN; single-threaded.
 */
#ifndef NFT_RULESET_H
#define NFT_RULESET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/mem.h"
#include "policy/policy.h"
#include "policy/reason.h"

enum { RULESET_NOTE_MAX = 251 };	/* bytes of an element's comment; the kernel takes no more */
enum { RULESET_NFLOG_GROUP = 17220, RULESET_QUEUE = 17220 };	/* as in cordon.nft */
#define RULESET_TABLE "cordon"		/* families inet and arp */
#define RULESET_LOG_PREFIX "cordon:"	/* then the reason's text */

struct ruleset;
int ruleset_open(struct ruleset **ret);			/* 0 or -errno */
void ruleset_close(struct ruleset *r);
DEFINE_AUTO(ruleset, struct ruleset *, ruleset_close)

/*
 * The sets and maps, by name in cordon.nft (of those that exist per address family it is chosen by `addr`):
 *   identity{4,6}   interface . mac . address -> mark      note "NAME PROFILE"
 *   grants{4,6}     profile mark . address . proto . port -> action      note: the name
 *   ranges{4,6}     profile mark . prefix . proto . port -> action       note: the rule
 *   real{4,6}       synthetic -> real address              note: the name
 *   names{4,6}      synthetic address in use               note: the name (put both families)
 *   neighbours      interface . mac . mac . IPv4 address: who may speak ARP (table arp cordon)
 *   dhcp            interface . mac: may ask a DHCP server of this host
 *   new_flows, flows, dns_queries    sandbox id, with its own limit; without an element: nothing new passes
 *   used{4,6}       synthetic addresses that new flows went to in the last RULESET_USED_S seconds
 *   unanswered{4,6} synthetic addresses whose last SYNs nobody answered: `packets` of them, the first
 *                   `age_ms` ago; the kernel adds and deletes these elements
 */
enum ruleset_map {
	MAP_IDENTITY, MAP_GRANTS, MAP_REAL, MAP_NAMES, MAP_RANGES, MAP_NEIGHBOURS, MAP_DHCP,
	MAP_NEW_FLOWS, MAP_FLOWS, MAP_DNS_QUERIES, MAP_USED, MAP_UNANSWERED
};
enum { RULESET_USED_S = 600, RULESET_UNANSWERED_S = 30 };	/* as in cordon.nft */
struct ruleset_elem {
	enum ruleset_map map;
	struct addr addr;			/* guest address, synthetic address, or a range's first */
	uint8_t bits;				/* MAP_RANGES: prefix length */
	struct addr real;			/* MAP_REAL */
	/* MAP_IDENTITY: value; grants, ranges: profile << 16; limits: sandbox */
	uint32_t mark;
	uint32_t limit;				/* MAP_NEW_FLOWS, MAP_DNS_QUERIES: a second; MAP_FLOWS: at once */
	char interface[16];			/* MAP_IDENTITY, MAP_NEIGHBOURS, MAP_DHCP */
	uint8_t mac[6];				/* likewise */
	uint8_t proto;				/* MAP_GRANTS, MAP_RANGES */
	uint16_t port;				/* likewise */
	enum grant_action action;		/* likewise */
	uint64_t packets;			/* read only: MAP_UNANSWERED */
	uint32_t age_ms;			/* read only: MAP_UNANSWERED, MAP_USED (since it was last used) */
	char note[RULESET_NOTE_MAX + 1];	/* printable, no quotes */
};

/* A transaction: begin, any number of put and del, commit (waits for the kernel). -EEXIST and -ENOENT are
 * errors of the whole transaction, nothing of which then happened. Big batches are fine. */
int ruleset_begin(struct ruleset *r);
int ruleset_put(struct ruleset *r, const struct ruleset_elem *e);
int ruleset_del(struct ruleset *r, const struct ruleset_elem *e);
int ruleset_commit(struct ruleset *r);
void ruleset_abort(struct ruleset *r);

/* Every element of one map and family (4 or 6; what has none: 4). fn returns 0 to go on. 0 or -errno. */
typedef int ruleset_each_fn(void *owner, const struct ruleset_elem *e);
int ruleset_each(struct ruleset *r, enum ruleset_map map, uint8_t family, ruleset_each_fn *fn, void *owner);

/*
 * What was refused, exactly, since the sandbox was added: one count per reason, sandbox and interface.
 * sandbox 0: the source was not accepted, `interface` is where it came from.
 */
struct ruleset_refused {
	enum reason reason;
	uint16_t sandbox;
	char interface[16];
	uint64_t packets, bytes;
};
typedef int ruleset_refused_fn(void *owner, const struct ruleset_refused *count);
int ruleset_refused_each(struct ruleset *r, ruleset_refused_fn *fn, void *owner);	/* 0 or -errno */
/* Those of one sandbox on one interface: by key, however many others there are. */
int ruleset_refused_of(struct ruleset *r, uint16_t sandbox, const char *interface, ruleset_refused_fn *fn,
		       void *owner);
/* Forget these: id and interface may become others'. 0 or -errno. */
int ruleset_refused_forget(struct ruleset *r, uint16_t sandbox, const char *interface);

bool ruleset_present(struct ruleset *r);		/* both tables are there */
/* A number that differs after any rule of the table was added, removed or replaced. 0 or -errno. */
int ruleset_fingerprint(struct ruleset *r, uint64_t *ret);
/* Put the queue rule before the drop of chain inspect, unless it is there. ret_native: which kind. */
int ruleset_queue_rule(struct ruleset *r, uint16_t queue, bool *ret_native);

/* Delete conntrack entries whose mark matches under mask (all families). 0 or -errno. */
int ruleset_flows_close(struct ruleset *r, uint32_t mark, uint32_t mask);

/*
 * An epoll descriptor over what other software may change: our tables, links, this host's addresses.
 * Poll it, then read: what happened comes in order. Hints: look before acting. -errno on failure.
 */
int ruleset_watch_open(void);
enum watch_what {
	WATCH_TABLE_GONE,	/* one of our tables, or a chain of it */
	WATCH_RULES_CHANGED,
	WATCH_LINK,		/* index, name; gone: there is no such link any more */
	WATCH_ADDRESS,		/* addr, index; gone likewise */
	WATCH_LOST,		/* messages were lost: anything may have happened to links and addresses */
};
struct watch_event {
	enum watch_what what;
	bool gone;
	int index;
	char name[16];
	struct addr addr;
};
typedef void ruleset_watch_fn(void *owner, const struct watch_event *e);
int ruleset_watch_read(int fd, ruleset_watch_fn *fn, void *owner);	/* 0 or -errno; never blocks */

#endif

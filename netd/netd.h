/*
 * netd.h - what the files of cordon-netd share
 *
 * One struct, made by main() and alive as long as the process; every file works on its own member
 * and reaches the others through their headers. One thread, so nothing here is locked.
 */
#ifndef NETD_NETD_H
#define NETD_NETD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/audit.h"
#include "base/loop.h"
#include "nft/ruleset.h"
#include "policy/host_config.h"

struct registry;
struct links;
struct backstops;
struct host_addresses;
struct profiles;
struct names;
struct pins;
struct parts;
struct control;
struct inspector;
struct guard;
struct nflog;
struct liveness;
struct refusals;
struct recent;
struct scopes;

struct netd {
	struct loop *loop;
	struct host_config *config;
	struct ruleset *rules;
	struct audit *audit;
	struct registry *registry;
	struct links *links;
	struct backstops *backstops;
	struct host_addresses *addresses;
	struct profiles *profiles; /* in force; replaced whole by a reload */
	struct names *names;
	struct pins *pins;
	struct parts *parts;
	struct control *control;
	struct inspector *inspector;
	struct guard *guard;
	struct nflog *nflog;
	struct liveness *liveness;
	int spawner; /* see spawner.h; -1 */
	bool failed; /* the loop was stopped because of an error */
	struct refusals *refusals;
	struct recent *recent;
	struct scopes *scopes;
	const char *config_file;
	const char *pinned_sha256; /* --policy-sha256: no other policy is accepted; or NULL */
	uint64_t started_ms;	   /* wall clock */
	bool reloading;		   /* parts that connect wait for its end */
	struct timer tick;	   /* audit counts, once a second */
};

#endif

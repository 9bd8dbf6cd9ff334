/*
 * doctor.h - what the checks of `cordon doctor` share
 */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "cli/cli.h"
#include "nft/rtnl.h"

enum doctor_severity { DOCTOR_OK = 0, DOCTOR_WARNING, DOCTOR_PROBLEM, DOCTOR_SEVERITIES };
enum { DOCTOR_TEXT_MAX = 1024, DOCTOR_LINKS_MAX = 16384, DOCTOR_UPLINKS_MAX = 16 };

/* A network interface of the host. policed: its name matches sandbox_interfaces. */
struct doctor_link {
	struct rtnl_link l;
	bool policed, registered;
	int master, lower; /* ifindex, 0: none. lower: what a VLAN or the like stands on */
	bool lower_here;   /* in this network namespace */
	char kind[16];	   /* "bridge", "veth", ""; as rtnetlink names it */
};

struct doctor {
	const struct host_config *cfg;
	bool root;
	const char *check; /* the one that runs */
	json_t *rows;	   /* findings, in order; owned */
	size_t n[DOCTOR_SEVERITIES];
	struct doctor_link *links; /* owned */
	size_t n_links;
	char uplinks[DOCTOR_UPLINKS_MAX][16];
	size_t n_uplinks;
	bool loaded; /* the ruleset is there (as root; else unknown and false) */
};

/*
 * One finding: what, where, and what to do, parted by tabs in the format. A finding that was told
 * already (the same for the other address family) is not told again. DOCTOR_OK takes what and where
 * only.
 */
void doctor_say(struct doctor *d, enum doctor_severity s, const char *fmt, ...) PRINTF_LIKE(3, 4);

struct doctor_check {
	const char *name;
	const char *good; /* what is said when nothing is found */
	bool needs_root;
	void (*run)(struct doctor *d);
};
extern const struct doctor_check doctor_kernel, doctor_queue, doctor_sysctls,
	doctor_conntrack; /* doctor_kernel.c */
extern const struct doctor_check doctor_filters, doctor_marks, doctor_bypasses; /* doctor_nft.c */
extern const struct doctor_check doctor_links, doctor_uplinks;			/* doctor_links.c */
extern const struct doctor_check doctor_routes, doctor_routing_rules; /* doctor_routes.c */
extern const struct doctor_check doctor_accounts, doctor_files, doctor_units, doctor_resolver,
	doctor_sockets; /* doctor_host.c */
extern const struct doctor_check doctor_ca; /* doctor_ca.c */
extern const struct doctor_check doctor_scan; /* doctor_scan.c */

/* Fill links, uplinks and loaded. 0 or -errno. */
int doctor_look(struct doctor *d);
/* A file's first line without its newline. False: not readable. */
bool doctor_read(const char *path, char *out, size_t cap);

#endif

/*
 * host_config.h - /etc/cordon/cordon.yaml, compiled
 *
 * Same schema machinery, same errors as a profile. The struct is plain data, owned by the config.
 */
#ifndef POLICY_HOST_CONFIG_H
#define POLICY_HOST_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "policy/address.h"
#include "policy/diag.h"
#include "policy/host_credentials.h"
#include "policy/host_mirrors.h"
#include "policy/host_proxy.h"
#include "policy/policy.h"

struct host_sandbox {			/* static registration */
	char *name, *interface, *profile;
	uint8_t mac[6];
	struct addr addr[2];		/* v4, v6 */
	bool dhcp;
};
struct host_static { char *name; struct addr addr; };		/* hosts: */
struct host_zone { char *suffix; struct addr *servers; size_t n; };

struct host_config {
	char *file;			/* where it came from; profiles are in dirname(file)/profiles */
	char *profiles_dir;
	char **uplinks; size_t n_uplinks;			/* empty: interfaces of the default routes */
	char **interfaces; size_t n_interfaces;			/* patterns such as tap* */
	struct pool pool;					/* synthetic */
	struct prefix *networks; size_t n_networks;		/* sandbox_networks */
	struct prefix run4, run6;				/* run_addresses */
	struct addr *dns_upstream; size_t n_dns_upstream;	/* empty: system */
	uint16_t dns_upstream_port;				/* 53 */
	uint32_t dns_timeout_ms;
	uint64_t dns_forget_ms;					/* names without use */
	struct host_zone *zones; size_t n_zones;
	struct host_static *hosts; size_t n_hosts;
	char *run_dir, *state_dir, *log_dir;
	char **ca_names; size_t n_ca_names;
	bool observe_permitted;
	char *upstream_ca_file;					/* NULL: system */
	struct host_proxy proxy;				/* git.upstream_proxy */
	char **nested_groups; size_t n_nested_groups;
	char **ignore_case; size_t n_ignore_case;
	struct host_mirrors mirrors;				/* git.mirrors */
	char *scan_rules, *scan_exceptions;			/* git.scan; NULL: builtin rules */
	uint16_t explicit_port;					/* of the explicit route; 0: none */
	uint32_t connect_ms, first_byte_ms, idle_ms, total_ms;	/* git timeouts */
	struct host_credential *credentials; size_t n_credentials;
	const char **header_credentials; size_t n_header_credentials;	/* names, of these */
	struct host_sandbox *sandboxes; size_t n_sandboxes;
	/* pool + networks + run + host's own addresses at load */
	struct prefix *forbidden; size_t n_forbidden;
};

int host_config_load(const char *file, struct diag *d, struct host_config **ret);	/* 0, -EINVAL, -errno */
/*
 * For what decides nothing by it, such as a command that only asks a daemon: without the host's own
 * addresses, since reading them is dear on a host with many interfaces. Every address is forbidden by it.
 */
int host_config_load_light(const char *file, struct diag *d, struct host_config **ret);
int host_config_open(const char *file, struct host_config **ret);	/* the same; on failure stderr tells all */
void host_config_free(struct host_config *c);
DEFINE_AUTO(host_config, struct host_config *, host_config_free)
/* To this host, all spellings of a repository's name are one. */
bool host_config_ignores_case(const struct host_config *c, const char *host);
struct policy_site host_config_site(const struct host_config *c);	/* borrows from c */

/*
 * Every *.yaml of the profiles directory, compiled; sorted by name. 0 or -EINVAL with everything that is
 * wrong in d. The set's hash (of "name sha256\n" lines) is in ret->sha256.
 */
struct profile_set { struct policy **policies; size_t n; char sha256[65]; };
int profile_set_load(const struct host_config *c, struct diag *d, struct profile_set *ret);
void profile_set_done(struct profile_set *s);

#endif

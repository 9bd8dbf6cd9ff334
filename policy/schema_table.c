/*
 * schema_table.c - the keys of profiles and of the host configuration, their defaults and meaning
 *
 * Theory of operation: data only. A parent stands before its children, and the canonical form
 * prints profile keys in this order. `U` marks a key that is known but not enforced yet: writing it
 * is an error, so nobody relies on it; `O` names the values that are enforced of a key that has
 * more. When a feature lands, its mark goes away here and nothing else changes in the reader.
 */
#include "policy/schema.h"

#include "base/mem.h"

#define P	    SCHEMA_PROFILE
#define H	    SCHEMA_HOST
#define KIB(n)	    ((uint64_t)(n) << 10)
#define MIB(n)	    ((uint64_t)(n) << 20)
#define GIB(n)	    ((uint64_t)(n) << 30)
#define HOURS(n)    ((uint64_t)(n)*3600 * 1000)
#define R	    .required = true
#define U	    .unsupported = true
#define O(values)   .only = values
#define W(values)   .words = values
#define RANGE(a, b) .min = a, .max = b
#define MEANS(text) .meaning = text

#define N "sandbox.network."
#define G "sandbox.git."
#define L "sandbox.limits."
#define C "credentials[]"

/* clang-format off */
const struct schema_row schema_rows[] = {
	{ P, "version", SCHEMA_INT, "1", RANGE(1, 1), R, MEANS("of this format") },
	{ P, "sandbox", SCHEMA_MAP, R, MEANS("what sandboxes with this profile may do") },
	{ P, "sandbox.mode", SCHEMA_WORD, "enforce", W("enforce|observe"), O("enforce"),
	  MEANS("enforce the policy, or let through and record") },

	{ P, "sandbox.network", SCHEMA_MAP, MEANS("what may be reached") },
	{ P, N "default", SCHEMA_WORD, "deny", W("deny"), MEANS("what is not allowed is denied") },
	{ P, N "allow[]", SCHEMA_MAP, "", MEANS("grants; the order does not matter") },
	{ P, N "allow[].host", SCHEMA_PATTERN,
	  MEANS("exact name, *.suffix (one label, never the suffix) or **.suffix (any depth)") },
	{ P, N "allow[].cidr", SCHEMA_PREFIX,
	  MEANS("addresses instead of a name; needs ports, and protocol tcp (default), ssh or udp") },
	{ P, N "allow[].ports[]", SCHEMA_INT, RANGE(1, 65535),
	  MEANS("default 443 (tls), 80 (http), 22 (ssh)") },
	{ P, N "allow[].protocol", SCHEMA_WORD, W("tls|http|ssh|tcp|udp"), O("tls|ssh|tcp|udp"),
	  MEANS("default by port: 443 tls, 80 http, 22 ssh; tls is checked for its server name") },
	{ P, N "allow[].private", SCHEMA_BOOL, "false",
	  MEANS("the name may resolve to RFC 1918, 100.64/10 and ULA addresses") },
	{ P, N "allow[].resolver", SCHEMA_BOOL, "false",
	  MEANS("says that a public DNS resolver is meant to be reached") },
	{ P, N "allow[].dns_types[]", SCHEMA_TEXT, U, MEANS("record types beyond A and AAAA") },
	{ P, N "allow[].http[]", SCHEMA_MAP, U, MEANS("terminate TLS and check each request") },
	{ P, N "allow[].http[].methods[]", SCHEMA_TEXT, U, MEANS("request methods") },
	{ P, N "allow[].http[].path", SCHEMA_TEXT, U, MEANS("path pattern") },
	{ P, N "allow[].http[].upgrade", SCHEMA_BOOL, "false", U,
	  MEANS("allow protocol upgrades") },
	{ P, N "allow[].credential", SCHEMA_LABEL, U,
	  MEANS("credential of the host configuration, added upstream") },
	{ P, N "allow[].wildcard_budget", SCHEMA_MAP,
	  MEANS("what a sandbox may send upstream in names that it makes up below a wildcard") },
	{ P, N "allow[].wildcard_budget.names_per_minute", SCHEMA_INT, "60", RANGE(1, 100000),
	  MEANS("names not asked for within the last hour; as many at once, refilled evenly") },
	{ P, N "allow[].wildcard_budget.label_bytes_per_hour", SCHEMA_INT, "4096",
	  RANGE(1, 10000000),
	  MEANS("bytes that * or ** stands for in them; as many at once, refilled evenly") },
	{ P, N "deny[]", SCHEMA_MAP, "", MEANS("names that are denied whatever is allowed") },
	{ P, N "deny[].host", SCHEMA_PATTERN, MEANS("as in allow") },
	{ P, N "deny[].cidr", SCHEMA_PREFIX,
	  MEANS("always an error: addresses that no row allows are denied") },
	{ P, N "quic", SCHEMA_WORD, "reject", W("reject|inspect"), O("reject"), MEANS("UDP 443") },
	{ P, N "ech", SCHEMA_WORD, "deny", W("deny|allow"), O("deny"),
	  MEANS("TLS Encrypted Client Hello") },
	{ P, N "icmp_echo", SCHEMA_BOOL, "false", O("false"), MEANS("ping of allowed names") },

	{ P, "sandbox.git", SCHEMA_MAP, MEANS("git over https, policed per repository") },
	{ P, G "enabled", SCHEMA_BOOL, "false", MEANS("needs allowed_hosts") },
	{ P, G "source", SCHEMA_WORD, "upstream", W("upstream|host_mirror"), O("upstream"),
	  MEANS("where packs come from") },
	{ P, G "allowed_hosts[]", SCHEMA_NAME, "",
	  MEANS("git hosts; each request to them is checked") },
	{ P, G "allowed_repos[]", SCHEMA_REPO,
	  MEANS("[host/]owner/name or owner/*; absent: all of allowed_hosts; []: none") },
	{ P, G "denied_repos[]", SCHEMA_REPO, "", MEANS("refused whatever is allowed") },
	{ P, G "stale", SCHEMA_WORD, "deny", W("deny|allow"), O("deny"),
	  MEANS("what an unreachable upstream means for host_mirror") },
	{ P, G "lfs", SCHEMA_BOOL, "false", O("false"), MEANS("Git LFS") },
	{ P, G "push", SCHEMA_MAP, U, MEANS("what may be pushed; absent: nothing") },
	{ P, G "push.allowed_repos[]", SCHEMA_REPO, U,
	  MEANS("repositories that may be pushed to") },
	{ P, G "push.refs[]", SCHEMA_TEXT, U, MEANS("patterns of refs") },
	{ P, G "push.create", SCHEMA_BOOL, "true", U, MEANS("new refs") },
	{ P, G "push.force", SCHEMA_BOOL, "false", U, MEANS("updates that are not fast-forward") },
	{ P, G "push.delete", SCHEMA_BOOL, "false", U, MEANS("deleting refs") },
	{ P, G "push.secrets", SCHEMA_WORD, "reject", W("reject|warn"), U,
	  MEANS("what a finding means") },
	{ P, G "push.denied_paths[]", SCHEMA_TEXT, U, MEANS("paths that a push may not change") },
	{ P, G "push.max_pack_bytes", SCHEMA_SIZE, "512MiB", RANGE(1, GIB(1024)), U,
	  MEANS("size of one pack") },

	{ P, "sandbox.limits", SCHEMA_MAP, MEANS("per sandbox") },
	{ P, L "connections", SCHEMA_INT, "256", RANGE(1, 1000000),
	  MEANS("flows at once") },
	{ P, L "new_connections_per_second", SCHEMA_INT, "50", RANGE(1, 1000000),
	  MEANS("new flows") },
	{ P, L "dns_queries_per_second", SCHEMA_INT, "200", RANGE(1, 1000000),
	  MEANS("DNS queries") },
	{ P, L "names", SCHEMA_INT, "512", RANGE(1, 100000), MEANS("live names under wildcards") },
	{ P, L "git_transfers", SCHEMA_INT, "8", RANGE(1, 10000), MEANS("git requests at once") },
	{ P, L "request_bytes", SCHEMA_SIZE, "1MiB", RANGE(KIB(1), GIB(1)),
	  MEANS("body of one git fetch request") },
	{ P, L "audit_lines_per_second", SCHEMA_INT, "100", RANGE(1, 1000000),
	  MEANS("lines in the audit log") },

	{ H, "version", SCHEMA_INT, "1", RANGE(1, 1), R, MEANS("of this format") },
	{ H, "uplink[]", SCHEMA_INTERFACE, "",
	  MEANS("flows leave only here; default: the interfaces of the default routes") },
	{ H, "sandbox_interfaces[]", SCHEMA_INTERFACE, "tap* cdn*",
	  MEANS("interfaces that are policed; a * may end a name") },
	{ H, "addresses", SCHEMA_MAP,
	  MEANS("synthetic addresses, what sandboxes see instead of real ones") },
	{ H, "addresses.ipv4", SCHEMA_PREFIX4, "198.18.0.0/15", MEANS("pool") },
	{ H, "addresses.ipv6", SCHEMA_PREFIX6, "fd63:6f72:646f::/64", MEANS("pool") },
	{ H, "sandbox_networks[]", SCHEMA_PREFIX, "",
	  MEANS("where sandboxes' own addresses come from; run_addresses are always part of them") },
	{ H, "run_addresses", SCHEMA_MAP,
	  MEANS("addresses of `cordon run`: a /31 and a /127 each") },
	{ H, "run_addresses.ipv4", SCHEMA_PREFIX4, "10.199.0.0/16", MEANS("pool") },
	{ H, "run_addresses.ipv6", SCHEMA_PREFIX6, "fd63:6f72:6472::/64", MEANS("pool") },
	{ H, "dns", SCHEMA_MAP, MEANS("how the host looks names up") },
	{ H, "dns.upstream[]", SCHEMA_SERVER, "system",
	  MEANS("resolvers: addresses (all with one port), or system for the host's own") },
	{ H, "dns.timeout", SCHEMA_TIME, "800ms", RANGE(50, 30000), MEANS("of one try") },
	{ H, "dns.forget", SCHEMA_TIME, "25h", RANGE(1000, HOURS(24 * 30)),
	  MEANS("a name that no sandbox asked for or used for so long gives its address back; longer than "
		"clients keep an address") },
	{ H, "dns.zones", SCHEMA_MAP, MEANS("resolvers of single zones: name: [addresses]") },
	{ H, "dns.zones.*[]", SCHEMA_ADDR, MEANS("resolvers of the zone") },
	{ H, "hosts", SCHEMA_MAP, MEANS("real addresses of names, before DNS: name: address") },
	{ H, "hosts.*", SCHEMA_ADDR, MEANS("address of the name") },
	{ H, "directories", SCHEMA_MAP, MEANS("where things are kept") },
	{ H, "directories.run", SCHEMA_PATH, "/run/cordon", MEANS("sockets") },
	{ H, "directories.state", SCHEMA_PATH, "/var/lib/cordon", MEANS("CA and saved settings") },
	{ H, "directories.log", SCHEMA_PATH, "/var/log/cordon", MEANS("audit log") },
	{ H, "ca", SCHEMA_MAP, MEANS("the certificate authority that sandboxes trust") },
	{ H, "ca.names[]", SCHEMA_NAME, "github.com gitlab.com cordon.internal",
	  MEANS("names, and names below them, that it may sign for") },
	{ H, "observe", SCHEMA_WORD, "forbidden", W("forbidden|permitted"), O("forbidden"),
	  MEANS("whether profiles may use mode: observe") },
	{ H, "audit", SCHEMA_MAP, MEANS("the audit log") },
	{ H, "audit.journald", SCHEMA_BOOL, "false", O("false"),
	  MEANS("write to the journal too") },
	{ H, "metrics", SCHEMA_MAP, U, MEANS("Prometheus text") },
	{ H, "metrics.listen", SCHEMA_TEXT, "127.0.0.1:9747", U, MEANS("address and port") },
	{ H, "git", SCHEMA_MAP, MEANS("git upstreams") },
	{ H, "git.mirrors", SCHEMA_MAP, U, MEANS("mirrors on this host") },
	{ H, "git.mirrors.max_bytes", SCHEMA_SIZE, "200GiB", RANGE(MIB(1), GIB(1 << 20)), U,
	  MEANS("size of all") },
	{ H, "git.mirrors.prewarm[]", SCHEMA_REPO, "", U,
	  MEANS("fetched before they are asked for") },
	{ H, "git.upstream_ca_file", SCHEMA_TEXT, "system",
	  MEANS("PEM file that verifies upstreams, or system") },
	{ H, "git.upstream_proxy", SCHEMA_TEXT, "none",
	  MEANS("http://HOST:PORT of a proxy that upstream connections go through (CONNECT), or none; it "
		"looks the upstreams' names up itself") },
	{ H, "git.timeouts", SCHEMA_MAP, MEANS("of upstream connections") },
	{ H, "git.timeouts.connect", SCHEMA_TIME, "10s", RANGE(100, HOURS(1)),
	  MEANS("until connected") },
	{ H, "git.timeouts.first_byte", SCHEMA_TIME, "60s", RANGE(100, HOURS(1)),
	  MEANS("until the answer begins") },
	{ H, "git.timeouts.idle", SCHEMA_TIME, "15m", RANGE(100, HOURS(24)),
	  MEANS("without a byte") },
	{ H, "git.timeouts.total", SCHEMA_TIME, "6h", RANGE(1000, HOURS(24 * 7)),
	  MEANS("of one transfer") },
	{ H, "git.nested_groups[]", SCHEMA_NAME, "gitlab.com",
	  MEANS("hosts whose repositories may have deeper paths") },
	{ H, "git.explicit_route", SCHEMA_MAP,
	  MEANS("route for clients that are told where the gateway is") },
	{ H, "git.explicit_route.port", SCHEMA_INT, "0", RANGE(0, 65535),
	  MEANS("TCP port of the gateway's own address, see `cordon env`; 0: off") },
	{ H, "git.scan", SCHEMA_MAP, U, MEANS("secret scanner of pushes") },
	{ H, "git.scan.rules", SCHEMA_TEXT, "builtin", U, MEANS("rule file") },
	{ H, "git.scan.exceptions", SCHEMA_PATH, "/etc/cordon/exceptions.yaml", U,
	  MEANS("accepted findings") },
	{ H, C, SCHEMA_MAP, "", MEANS("secrets that are added upstream; the most specific match wins") },
	{ H, C ".name", SCHEMA_LABEL, MEANS("unique; what the audit calls it (else: its match)") },
	{ H, C ".match", SCHEMA_TEXT,
	  MEANS("repositories: host/owner/name, host/owner/* or host/*; ** any depth on hosts of nested_groups") },
	{ H, C ".transport", SCHEMA_WORD, "https", W("https|ssh"), O("https"), MEANS("to upstream") },
	{ H, C ".username", SCHEMA_TEXT, "x-access-token", MEANS("sent with the token") },
	{ H, C ".token_file", SCHEMA_PATH,
	  MEANS("its content is sent as the password; cordon-keeper's own and closed to others; read anew "
		"when it changes") },
	{ H, C ".github_app", SCHEMA_MAP, MEANS("tokens of an installation instead of a file's") },
	{ H, C ".github_app.id", SCHEMA_INT, RANGE(1, 1000000000000000), R, MEANS("of the application") },
	{ H, C ".github_app.installation", SCHEMA_INT, RANGE(1, 1000000000000000), R,
	  MEANS("of the application at the owner") },
	{ H, C ".github_app.key_file", SCHEMA_PATH, R, MEANS("private key, PEM; as token_file") },
	{ H, C ".github_app.api_url", SCHEMA_TEXT,
	  MEANS("https://HOST[/PATH]; default api.github.com for github.com, else HOST/api/v3") },
	{ H, C ".header", SCHEMA_MAP, U, MEANS("a header for terminated hosts; profiles name it") },
	{ H, C ".header.name", SCHEMA_TEXT, U, MEANS("such as Authorization") },
	{ H, C ".header.value_file", SCHEMA_PATH, U, MEANS("as token_file") },
	{ H, C ".identity_file", SCHEMA_PATH, U, MEANS("key for transport ssh") },
	{ H, C ".known_host_key", SCHEMA_TEXT, U, MEANS("the server's key for transport ssh") },
	{ H, "sandboxes[]", SCHEMA_MAP, "", MEANS("sandboxes that are always registered") },
	{ H, "sandboxes[].name", SCHEMA_LABEL, R, MEANS("unique") },
	{ H, "sandboxes[].interface", SCHEMA_INTERFACE, R, MEANS("one of sandbox_interfaces") },
	{ H, "sandboxes[].mac", SCHEMA_MAC, R, MEANS("the guest's") },
	{ H, "sandboxes[].ipv4", SCHEMA_ADDR4, MEANS("the guest's; inside sandbox_networks") },
	{ H, "sandboxes[].ipv6", SCHEMA_ADDR6, MEANS("the guest's; inside sandbox_networks") },
	{ H, "sandboxes[].dhcp", SCHEMA_BOOL, "false",
	  MEANS("the host runs a DHCP server for it") },
	{ H, "sandboxes[].profile", SCHEMA_LABEL, R, MEANS("a file of profiles/ without .yaml") },
};
/* clang-format on */

const size_t schema_rows_n = ARRAY_SIZE(schema_rows);

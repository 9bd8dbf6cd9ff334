/*
 * test_policy_host.c - the host configuration, sets of profiles, and the examples that are shipped
 *
 * Runs in the repository's root (for deploy/examples). Files are made in a directory of its own.
 */
#include "tests/unit/check.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/host_config.h"

static char dir[] = "/tmp/cordon-test-XXXXXX";
static char config_file[64], profiles_dir[64];

static void put(const char *path, const char *text, size_t n)
{
	FILE *to = fopen(path, "w");

	if (!to || fwrite(text, 1, n, to) != n || fclose(to))
		abort();
}

static const char *profile_path(const char *file)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", profiles_dir, file);
	return path;
}

/* One directory for the whole program, with the profile `agent`. */
__attribute__((constructor)) static void directory_make(void)
{
	if (!mkdtemp(dir))
		abort();
	snprintf(config_file, sizeof(config_file), "%s/cordon.yaml", dir);
	snprintf(profiles_dir, sizeof(profiles_dir), "%s/profiles", dir);
	if (mkdir(profiles_dir, 0700))
		abort();
	put(profile_path("agent.yaml"), W("version: 1\nsandbox: {}\n"));
}

__attribute__((destructor)) static void directory_remove(void)
{
	unlink(profile_path("agent.yaml"));
	rmdir(profiles_dir);
	unlink(config_file);
	rmdir(dir);
}

/* What was said, without the file's name, in *ret_said (heap). */
static struct host_config *load(const char *text, size_t n, char **ret_said)
{
	AUTO(diag) struct diag *d = NULL;
	struct host_config *c = NULL;
	size_t said;
	FILE *to = open_memstream(ret_said, &said);
	int err;

	if (!to || diag_new(&d))
		abort();
	put(config_file, text, n);
	err = host_config_load(config_file, d, &c);
	diag_print(d, to);
	fclose(to);
	CHECK_EQ(*ret_said, c != NULL, err == 0);
	CHECK_EQ(*ret_said, err == 0, diag_errors(d) == 0);
	return c;
}

static void check_prefix(const char *what, const struct prefix *p, const char *want)
{
	char text[ADDR_TEXT_MAX];

	prefix_format(p, text);
	CHECK_STR(what, text, want);
}

TEST(one_line_is_a_configuration)
{
	AUTO(mem) char *said = NULL;
	AUTO(host_config) struct host_config *c = load(W("version: 1\n"), &said);
	struct policy_site site;

	CHECK_STR("nothing to say", said, "");
	if (!c)
		return;
	check_prefix("pool", &c->pool.v4, "198.18.0.0/15");
	check_prefix("pool", &c->pool.v6, "fd63:6f72:646f::/64");
	check_prefix("run", &c->run4, "10.199.0.0/16");
	check_prefix("run", &c->run6, "fd63:6f72:6472::/64");
	CHECK_EQ("run networks are sandbox networks", c->n_networks, 2);
	CHECK_EQ("uplinks: default routes", c->n_uplinks, 0);
	CHECK_EQ("patterns", c->n_interfaces, 2);
	CHECK_STR("first pattern", c->interfaces[0], "tap*");
	CHECK_EQ("system resolvers", c->n_dns_upstream, 0);
	CHECK_EQ("port", c->dns_upstream_port, 53);
	CHECK_EQ("timeout", c->dns_timeout_ms, 800);
	CHECK_STR("run", c->run_dir, "/run/cordon");
	CHECK_STR("state", c->state_dir, "/var/lib/cordon");
	CHECK_STR("log", c->log_dir, "/var/log/cordon");
	CHECK_EQ("CA names", c->n_ca_names, 3);
	CHECK("system trust", !c->upstream_ca_file);
	CHECK("builtin rules", !c->scan_rules);
	CHECK_STR("exceptions", c->scan_exceptions, "/etc/cordon/exceptions.yaml");
	CHECK_EQ("idle", c->idle_ms, 15 * 60 * 1000);
	CHECK_EQ("total", c->total_ms, 6 * 3600 * 1000);
	CHECK("observe is off", !c->observe_permitted);
	CHECK_STR("profiles are beside it", c->profiles_dir, profiles_dir);
	site = host_config_site(c);
	CHECK_EQ("the site has the CA's names", site.n_ca_names, 3);
	CHECK_EQ("and the groups", site.n_nested_groups, 1);
}

TEST(what_names_may_not_resolve_to)
{
	static const struct { const char *text; enum address_class want; } rows[] = {
		{ "127.0.0.1", ADDRESS_FORBIDDEN }, { "10.1.2.3", ADDRESS_FORBIDDEN }, { "10.199.4.4", ADDRESS_FORBIDDEN },
		{ "10.2.0.1", ADDRESS_PRIVATE }, { "100.127.1.1", ADDRESS_FORBIDDEN }, { "fd00:77::1", ADDRESS_FORBIDDEN },
		{ "8.8.8.8", ADDRESS_PUBLIC },
	};
	AUTO(mem) char *said = NULL;
	AUTO(host_config) struct host_config *c = load(
		W("version: 1\nsandbox_networks: [10.1.0.0/16]\n"
		  "addresses: {ipv4: 100.126.0.0/15, ipv6: 'fd00:77::/64'}\n"), &said);

	CHECK_STR("nothing to say", said, "");
	for (size_t i = 0; c && i < ARRAY_SIZE(rows); i++) {
		struct address_context ctx = host_config_site(c).addresses;
		struct addr a;

		CHECK(rows[i].text, addr_parse(rows[i].text, &a));
		CHECK_EQ(rows[i].text, address_classify(&a, &ctx), rows[i].want);
	}
}

TEST(everything_given)
{
	static const char text[] =
		"version: 1\nuplink: [eth0, wlan0]\nsandbox_interfaces: ['vm*', br-x]\n"
		"dns: {upstream: ['9.9.9.9:5353', '[2620:fe::fe]:5353'], timeout: 2s, zones: {Corp.Example: [10.0.0.53, 'fd00::53']}}\n"
		"hosts: {Git.Internal.: 100.64.1.2, v6.internal: 'fd00::7'}\n"
		"sandbox_networks: [10.1.0.0/16, 'fd00:1::/48', 10.199.0.0/16]\n"
		"directories: {run: /tmp/r, state: /tmp/s, log: /tmp/l}\n"
		"ca: {names: [GitHub.com, git.corp.example]}\nobserve: forbidden\naudit: {journald: false}\n"
		"git:\n  upstream_ca_file: /etc/ca.pem\n  upstream_proxy: none\n  explicit_route: {port: 0}\n"
		"  scan: {rules: /etc/rules.yaml, exceptions: /srv/exceptions.yaml}\n"
		"  timeouts: {connect: 1s, first_byte: 500ms, idle: 1m, total: 1h}\n  nested_groups: [Git.Corp.Example]\n  ignore_case: [Forge.Corp.Example]\n"
		"  mirrors: {max_bytes: 2MiB, window: 60s, prewarm: [GitHub.com/Acme/Widgets.git, git.corp.example/a/B/c]}\n"
		"sandboxes:\n"
		"  - {name: vm0, interface: vm0, mac: '06:00:AC:10:00:02', ipv4: 10.1.0.2, ipv6: 'fd00:1::2', profile: agent}\n"
		"  - {name: vm1, interface: vm1, mac: '06:00:ac:10:00:03', ipv4: 10.1.0.3, profile: agent, dhcp: false}\n";
	AUTO(mem) char *said = NULL;
	AUTO(host_config) struct host_config *c = load(text, sizeof(text) - 1, &said);

	CHECK_STR("nothing to say", said, "");
	if (!c)
		return;
	CHECK_EQ("uplinks", c->n_uplinks, 2);
	CHECK_EQ("resolvers", c->n_dns_upstream, 2);
	CHECK_EQ("their port", c->dns_upstream_port, 5353);
	CHECK_EQ("timeout", c->dns_timeout_ms, 2000);
	CHECK_STR("zone, canonical", c->zones[0].suffix, "corp.example");
	CHECK_EQ("its resolvers", c->zones[0].n, 2);
	CHECK_STR("host, canonical", c->hosts[0].name, "git.internal");
	CHECK_EQ("its address", c->hosts[1].addr.family, 6);
	CHECK_EQ("networks, and the one of run that is not there", c->n_networks, 4);
	CHECK_STR("CA name, canonical", c->ca_names[0], "github.com");
	CHECK_STR("CA file", c->upstream_ca_file, "/etc/ca.pem");
	CHECK_STR("rules", c->scan_rules, "/etc/rules.yaml");
	CHECK_STR("exceptions", c->scan_exceptions, "/srv/exceptions.yaml");
	CHECK_EQ("first byte", c->first_byte_ms, 500);
	CHECK_EQ("window", c->mirrors.window_ms, 60000);
	CHECK_EQ("size of mirrors", c->mirrors.max_bytes, 2 << 20);
	CHECK_EQ("prewarm", c->mirrors.n_prewarm, 2);
	CHECK_STR("its host, canonical", c->mirrors.prewarm[0].host, "github.com");
	CHECK_STR("its path, where case is ignored", c->mirrors.prewarm[0].path, "acme/widgets");
	CHECK("prewarmed", host_mirrors_prewarms(&c->mirrors, "github.com", "acme/widgets"));
	CHECK("not elsewhere", !host_mirrors_prewarms(&c->mirrors, "gitlab.com", "acme/widgets"));
	CHECK_STR("its path, where it is not", c->mirrors.prewarm[1].path, "a/B/c");
	CHECK("another's spelling", !host_mirrors_prewarms(&c->mirrors, "git.corp.example", "a/b/c"));
	CHECK("known to ignore case", host_config_ignores_case(c, "gitlab.com"));
	CHECK("said to", host_config_ignores_case(c, "forge.corp.example"));
	CHECK("neither", !host_config_ignores_case(c, "git.corp.example"));
	CHECK_STR("group host, canonical", c->nested_groups[0], "git.corp.example");
	CHECK_EQ("sandboxes", c->n_sandboxes, 2);
	CHECK_EQ("mac", c->sandboxes[0].mac[2], 0xac);
	CHECK_EQ("v6", c->sandboxes[0].addr[1].family, 6);
	CHECK_EQ("no v6", c->sandboxes[1].addr[1].family, 0);
}

struct wrong { const char *what, *text; size_t n; const char *want; };

static void check_wrong(const struct wrong *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		AUTO(mem) char *said = NULL;
		AUTO(host_config) struct host_config *c = load(rows[i].text, rows[i].n, &said);

		CHECK(rows[i].what, !c);
		if (strchr(said, '\n') != said + strlen(said) - 1 ||	/* one error is told once */
		    strncmp(said, config_file, strlen(config_file)) ||
		    strncmp(said + strlen(config_file), rows[i].want, strlen(rows[i].want)))
			CHECK_FAIL("%s: said\n%swant\n%s", rows[i].what, said, rows[i].want);
	}
}

static const struct wrong wrong[] = {
	{ "empty", W(""), ":1:1: error: the file is empty" },
	{ "a profile", W("version: 1\nsandbox: {}\n"),
	  ":2:1: error: unknown key \"sandbox\"; did you mean \"sandboxes\"?" },
	{ "interface name too long", W("version: 1\nuplink: [abcdefghijklmnop]\n"),
	  ":2:10: error: uplink[]: \"abcdefghijklmnop\" is not an interface" },
	{ "interface with a quote", W("version: 1\nuplink: ['a\"b']\n"), ":2:10: error: uplink[]: " },
	{ "uplink pattern", W("version: 1\nuplink: ['eth*']\n"),
	  ":2:9: error: \"eth*\": an uplink is one interface" },
	{ "uplink is a sandbox", W("version: 1\nuplink: [tap0]\n"),
	  ":2:9: error: uplink tap0 matches sandbox_interfaces (tap*)" },
	{ "every interface", W("version: 1\nsandbox_interfaces: ['*']\n"),
	  ":2:22: error: sandbox_interfaces[]: \"*\" is not an interface" },
	{ "loopback", W("version: 1\nsandbox_interfaces: ['l*']\n"),
	  ":2:21: error: \"l*\" matches the loopback" },
	{ "one interface, no list", W("version: 1\nsandbox_interfaces: tap0\n"),
	  ":2:21: error: sandbox_interfaces[]: \"tap0\" is not a list" },
	{ "no interfaces", W("version: 1\nsandbox_interfaces: []\n"),
	  ":2:21: error: sandbox_interfaces is empty" },
	{ "host bits", W("version: 1\naddresses: {ipv4: 198.18.0.1/15}\n"),
	  ":2:19: error: addresses.ipv4: \"198.18.0.1/15\" has host bits; the network is 198.18.0.0/15" },
	{ "wrong family", W("version: 1\naddresses: {ipv4: 'fd00::/64'}\n"),
	  ":2:19: error: addresses.ipv4: \"fd00::/64\" is not an IPv4 network" },
	{ "pool too small", W("version: 1\naddresses: {ipv4: 198.18.0.0/24}\n"),
	  ":2:19: error: addresses.ipv4: too small" },
	{ "pool and sandboxes", W("version: 1\nsandbox_networks: [198.18.0.0/16]\n"),
	  ":2:19: error: sandbox_networks: 198.18.0.0/16 overlaps 198.18.0.0/15 of addresses" },
	{ "pool and run", W("version: 1\nrun_addresses: {ipv4: 198.18.0.0/24}\n"),
	  ":2:16: error: run_addresses: 198.18.0.0/24 overlaps" },
	{ "resolver name", W("version: 1\ndns: {upstream: [dns.google]}\n"),
	  ":2:18: error: dns.upstream: \"dns.google\" is not an address" },
	{ "resolver port 0", W("version: 1\ndns: {upstream: ['9.9.9.9:0']}\n"),
	  ":2:18: error: dns.upstream: \"9.9.9.9:0\" is not" },
	{ "resolver port with a sign", W("version: 1\ndns: {upstream: ['9.9.9.9:+53']}\n"),
	  ":2:18: error: dns.upstream: " },
	{ "IPv6 without brackets is an address", W("version: 1\ndns: {upstream: ['fe80::1%eth0']}\n"),
	  ":2:18: error: dns.upstream: " },
	{ "two ports", W("version: 1\ndns: {upstream: ['9.9.9.9:5353', 8.8.8.8]}\n"),
	  ":2:34: error: dns.upstream: one port for all (5353)" },
	{ "system and more", W("version: 1\ndns: {upstream: [system, 8.8.8.8]}\n"),
	  ":2:17: error: dns.upstream: either system or addresses" },
	{ "no resolver", W("version: 1\ndns: {upstream: []}\n"), ":2:17: error: dns.upstream is empty" },
	{ "time without unit", W("version: 1\ndns: {timeout: 800}\n"),
	  ":2:16: error: dns.timeout: \"800\" is not a time such as" },
	{ "time too long", W("version: 1\ndns: {timeout: 1h}\n"),
	  ":2:16: error: dns.timeout: 1h is outside 50ms to 30s" },
	{ "zone is a URL", W("version: 1\ndns: {zones: {'a/b': [10.0.0.1]}}\n"),
	  ":2:15: error: \"a/b\" is not a host name" },
	{ "zone without resolver", W("version: 1\ndns: {zones: {a.example: []}}\n"),
	  ":2:26: error: dns.zones: a.example has no resolver" },
	{ "host is no address", W("version: 1\nhosts: {a.example: b.example}\n"),
	  ":2:20: error: hosts.*: \"b.example\" is not an address" },
	{ "address as host", W("version: 1\nhosts: {10.0.0.1: 10.0.0.2}\n"),
	  ":2:9: error: \"10.0.0.1\" is not a host name" },
	{ "relative directory", W("version: 1\ndirectories: {run: run}\n"),
	  ":2:20: error: directories.run: \"run\" is not an absolute path" },
	{ "rules", W("version: 1\ngit: {scan: {rules: mine.yaml}}\n"),
	  ":2:21: error: git.scan.rules is an absolute path, or builtin" },
	{ "CA file", W("version: 1\ngit: {upstream_ca_file: ca.pem}\n"),
	  ":2:25: error: git.upstream_ca_file is an absolute path, or system" },
	{ "prewarm without a host", W("version: 1\ngit: {mirrors: {prewarm: [acme/widgets]}}\n"),
	  ":2:27: error: git.mirrors.prewarm: \"acme/widgets\" is not one repository" },
	{ "prewarm of many", W("version: 1\ngit: {mirrors: {prewarm: ['github.com/acme/*']}}\n"),
	  ":2:27: error: git.mirrors.prewarm: " },
	{ "prewarm of a group where there are none", W("version: 1\ngit: {mirrors: {prewarm: [github.com/a/b/c]}}\n"),
	  ":2:27: error: git.mirrors.prewarm: " },
	{ "window too wide", W("version: 1\ngit: {mirrors: {window: 61s}}\n"),
	  ":2:25: error: git.mirrors.window: 61s is outside 1ms to 1m" },
	{ "proxy: no scheme", W("version: 1\ngit: {upstream_proxy: '10.0.0.1:3128'}\n"),
	  ":2:23: error: git.upstream_proxy is http://HOST:PORT" },
	{ "proxy: https", W("version: 1\ngit: {upstream_proxy: 'https://10.0.0.1:3128'}\n"),
	  ":2:23: error: git.upstream_proxy is http://HOST:PORT" },
	{ "proxy: no port", W("version: 1\ngit: {upstream_proxy: 'http://proxy.example'}\n"),
	  ":2:23: error: git.upstream_proxy is http://HOST:PORT" },
	{ "proxy: port 0", W("version: 1\ngit: {upstream_proxy: 'http://proxy.example:0'}\n"),
	  ":2:23: error: git.upstream_proxy is http://HOST:PORT" },
	{ "proxy: port too high", W("version: 1\ngit: {upstream_proxy: 'http://proxy.example:65536'}\n"),
	  ":2:23: error: git.upstream_proxy is http://HOST:PORT" },
	{ "proxy: userinfo", W("version: 1\ngit: {upstream_proxy: 'http://u:p@proxy.example:3128'}\n"),
	  ":2:23: error: git.upstream_proxy is http://HOST:PORT" },
	{ "proxy: path", W("version: 1\ngit: {upstream_proxy: 'http://proxy.example:3128/'}\n"),
	  ":2:23: error: git.upstream_proxy is http://HOST:PORT" },
	{ "proxy: bare IPv6", W("version: 1\ngit: {upstream_proxy: 'http://fd00::1:3128'}\n"),
	  ":2:23: error: git.upstream_proxy is http://HOST:PORT" },
	{ "proxy: IPv4 in brackets", W("version: 1\ngit: {upstream_proxy: 'http://[10.0.0.1]:3128'}\n"),
	  ":2:23: error: git.upstream_proxy is http://HOST:PORT" },
	{ "proxy: no host", W("version: 1\ngit: {upstream_proxy: 'http://:3128'}\n"),
	  ":2:23: error: git.upstream_proxy is http://HOST:PORT" },
	{ "CA name is a wildcard", W("version: 1\nca: {names: ['*.example']}\n"),
	  ":2:13: error: ca.names: \"*.example\" is not a host name" },
	{ "observe", W("version: 1\nobserve: permitted\n"),
	  ":2:10: error: observe: \"permitted\" is not supported yet" },
	{ "metrics", W("version: 1\nmetrics: {listen: x}\n"), ":2:1: error: metrics is not supported yet" },
	{ "explicit route", W("version: 1\ngit: {explicit_route: {port: 53}}\n"),
	  ":2:30: error: port 53 is the resolver's" },
};

#define CR(entry) W("version: 1\ncredentials:\n  - {" entry "}\n")
#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
#define SSH(rest) CR("match: github.com/*, transport: ssh, " rest)
static const struct wrong wrong_credentials[] = {
	{ "ssh without a key", CR("match: github.com/*, transport: ssh"),
	  ":3:5: error: transport ssh needs identity_file" },
	{ "ssh without the host's key", SSH("identity_file: /k"),
	  ":3:5: error: transport ssh needs known_host_key, 1 to 16" },
	{ "no host's key", SSH("identity_file: /k, known_host_key: []"),
	  ":3:78: error: transport ssh needs known_host_key, 1 to 16" },
	{ "a fingerprint", SSH("identity_file: /k, known_host_key: 'SHA256:abc'"),
	  ":3:78: error: credentials[].known_host_key: \"SHA256:abc\" is not \"ssh-ed25519 AAAA...\"" },
	{ "a host before the key", SSH("identity_file: /k, known_host_key: 'github.com " KEY "'"),
	  ":3:78: error: credentials[].known_host_key: \"github.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0S\" is not \"ssh-ed25519 AAAA...\"" },
	{ "an authority", SSH("identity_file: /k, known_host_key: '@cert-authority * " KEY "'"),
	  ":3:78: error: credentials[].known_host_key: \"@cert-authority * ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqn\" is not \"ssh-ed25519 AAAA...\"" },
	{ "half a key", SSH("identity_file: /k, known_host_key: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA'"),
	  ":3:78: error: credentials[].known_host_key: \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA\" is damaged: what follows" },
	{ "another type's key", SSH("identity_file: /k, known_host_key: 'ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl'"),
	  ":3:78: error: credentials[].known_host_key: \"ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5\" is damaged: what follows" },
	{ "two keys in one", SSH("identity_file: /k, known_host_key: \"" KEY "\\n" KEY "\""),
	  ":3:78: error: credentials[].known_host_key: \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsa\" is not \"ssh-ed25519 AAAA...\"" },
	{ "second key damaged", SSH("identity_file: /k, known_host_key: ['" KEY "', 'ssh-ed25519 x']"),
	  ":3:163: error: credentials[].known_host_key: \"ssh-ed25519 x\" is damaged" },
	{ "a login that is an option", SSH("identity_file: /k, username: -oProxyCommand, known_host_key: '" KEY "'"),
	  ":3:72: error: credentials[].username: \"-oProxyCommand\" is no login for ssh" },
	{ "a path that ssh expands", SSH("identity_file: '/k/%h', known_host_key: '" KEY "'"),
	  ":3:58: error: credentials[].identity_file: ssh would read another path than \"/k/%h\"" },
	{ "a path that ssh splits", SSH("identity_file: '/k /x', known_host_key: '" KEY "'"),
	  ":3:58: error: credentials[].identity_file: ssh would read another path" },
	{ "port 0", SSH("identity_file: /k, port: 0, known_host_key: '" KEY "'"),
	  ":3:68: error: credentials[].port" },
	{ "ssh's without ssh", CR("match: github.com/*, token_file: /x, port: 22"),
	  ":3:49: error: credentials[].port goes with transport: ssh" },
	{ "key without ssh", CR("match: github.com/*, identity_file: /x"),
	  ":3:42: error: credentials[].identity_file goes with transport: ssh" },
	{ "ssh with a token too", SSH("identity_file: /k, token_file: /x, known_host_key: '" KEY "'"),
	  ":3:5: error: a credential has one of" },
	{ "ssh by a proxy", W("version: 1\ngit: {upstream_proxy: 'http://10.0.0.1:3128'}\ncredentials:\n  - {match: github.com/*, transport: ssh, identity_file: /k, known_host_key: '" KEY "'}\n"),
	  ":4:5: error: transport ssh does not go through git.upstream_proxy" },
	{ "header without a value", CR("name: a, header: {name: A}"),
	  ":3:23: error: credentials[].header.value_file is missing" },
	{ "header without a name to call it by", CR("header: {value_file: /x}"),
	  ":3:5: error: a credential with header needs a name" },
	{ "header with a match", CR("name: a, match: github.com/*, header: {value_file: /x}"),
	  ":3:5: error: a credential with header has no match" },
	{ "header that frames", CR("name: a, header: {name: Content-Length, value_file: /x}"),
	  ":3:30: error: credentials[].header.name: \"Content-Length\" is no header" },
	{ "header that is two", CR("name: a, header: {name: 'A: b', value_file: /x}"),
	  ":3:30: error: credentials[].header.name: \"A: b\" is no header" },
	{ "cookie", CR("name: a, header: {name: cookie, value_file: /x}"),
	  ":3:30: error: credentials[].header.name: \"cookie\" is no header" },
	{ "two schemes", CR("name: a, header: {scheme: 'Bearer x', value_file: /x}"),
	  ":3:32: error: credentials[].header.scheme: \"Bearer x\" is not one word" },
	{ "nobody's password", CR("name: a, header: {scheme: basic, value_file: /x}"),
	  ":3:32: error: credentials[].header.scheme: Basic needs username" },
	{ "user of a bearer", CR("name: a, username: ab, header: {scheme: Bearer, value_file: /x}"),
	  ":3:25: error: credentials[].username goes with token_file or a header's scheme" },
	{ "no secret", CR("match: github.com/*"),
	  ":3:5: error: a credential has one of token_file, github_app, header and identity_file" },
	{ "two secrets", CR("match: github.com/*, token_file: /x, github_app: {id: 1, installation: 2, key_file: /y}"),
	  ":3:5: error: a credential has one of" },
	{ "no match", CR("name: a, token_file: /x"), ":3:5: error: a credential with token_file needs match" },
	{ "match without host", CR("match: widgets, token_file: /x"),
	  ":3:13: error: credentials[].match: \"widgets\" does not begin with a host" },
	{ "match of a URL", CR("match: 'https://github.com/acme/*', token_file: /x"),
	  ":3:13: error: credentials[].match: \"https://github.com/acme/*\" does not begin" },
	{ "match of an address", CR("match: 10.0.0.1/acme/*, token_file: /x"),
	  ":3:13: error: credentials[].match: \"10.0.0.1/acme/*\" does not begin" },
	{ "owner alone", CR("match: github.com/acme, token_file: /x"),
	  ":3:13: error: credentials[].match: \"github.com/acme\" is not host/owner/name" },
	{ "star in a name", CR("match: github.com/acme/w*, token_file: /x"),
	  ":3:13: error: credentials[].match: \"github.com/acme/w*\" is not" },
	{ "star for the owner", CR("match: 'github.com/*/widgets', token_file: /x"),
	  ":3:13: error: credentials[].match: \"github.com/*/widgets\" is not" },
	{ "three stars", CR("match: 'gitlab.com/***', token_file: /x"),
	  ":3:13: error: credentials[].match: \"gitlab.com/***\" is not" },
	{ "deep on a flat host", CR("match: github.com/**, token_file: /x"),
	  ":3:13: error: credentials[].match: \"github.com/**\" is not" },
	{ "groups on a flat host", CR("match: github.com/a/b/c, token_file: /x"),
	  ":3:13: error: credentials[].match: \"github.com/a/b/c\" is not" },
	{ "dots", CR("match: github.com/../x, token_file: /x"),
	  ":3:13: error: credentials[].match: \"github.com/../x\" is not" },
	{ "relative file", CR("match: github.com/*, token_file: x"),
	  ":3:39: error: credentials[].token_file: \"x\" is not an absolute path" },
	{ "user with a colon", CR("match: github.com/*, username: 'a:b', token_file: /x"),
	  ":3:37: error: credentials[].username: may have no space, colon" },
	{ "user of an app", CR("match: github.com/*, username: ab, github_app: {id: 1, installation: 2, key_file: /y}"),
	  ":3:37: error: credentials[].username goes with token_file" },
	{ "app without a key", CR("match: github.com/*, github_app: {id: 1, installation: 2}"),
	  ":3:39: error: credentials[].github_app.key_file is missing" },
	{ "app by plain http", CR("match: github.com/*, github_app: {id: 1, installation: 2, key_file: /y, api_url: 'http://github.com'}"),
	  ":3:87: error: credentials[].github_app.api_url: \"http://github.com\" is not https" },
	{ "app with a user in its URL", CR("match: github.com/*, github_app: {id: 1, installation: 2, key_file: /y, api_url: 'https://a@b.example'}"),
	  ":3:87: error: credentials[].github_app.api_url: \"https://a@b.example\" is not https" },
	{ "match twice", CR("match: github.com/acme/w, token_file: /x}\n  - {match: GitHub.com/Acme/W.git, token_file: /y"),
	  ":4:13: error: a second credential for github.com/acme/w; the first is in line 3" },
	{ "name twice", CR("name: a, match: github.com/acme/w, token_file: /x}\n  - {name: a, match: github.com/acme/v, token_file: /y"),
	  ":4:5: error: a second credential with the name a; the first is in line 3" },
};

#define VM(rest) W("version: 1\nsandboxes:\n  - {name: vm0, interface: tap0, mac: '06:00:ac:10:00:02'" rest)
static const struct wrong wrong_sandboxes[] = {
	{ "no such profile", VM(", ipv4: 10.199.0.2, profile: agnet}\n"),
	  ":3:87: error: there is no profile \"agnet\"" },
	{ "profile is a path", VM(", ipv4: 10.199.0.2, profile: ../agent}\n"),
	  ":3:87: error: sandboxes[].profile: \"../agent\" is not a name" },
	{ "no address", VM(", profile: agent}\n"), ":3:5: error: a sandbox needs ipv4 or ipv6" },
	{ "address outside", VM(", ipv4: 10.9.0.2, profile: agent}\n"),
	  ":3:66: error: 10.9.0.2 is outside sandbox_networks" },
	{ "no profile", VM(", ipv4: 10.199.0.2}\n"), ":3:5: error: sandboxes[].profile is missing" },
	{ "short mac", W("version: 1\nsandboxes: [{name: a, interface: tap0, mac: '6:0:ac:10:0:2', ipv4: 10.199.0.2, profile: agent}]\n"),
	  ":2:45: error: sandboxes[].mac: \"6:0:ac:10:0:2\" is not an Ethernet address" },
	{ "other interface", W("version: 1\nsandboxes: [{name: a, interface: eth1, mac: '06:00:ac:10:00:02', ipv4: 10.199.0.2, profile: agent}]\n"),
	  ":2:34: error: interface eth1 matches none of sandbox_interfaces" },
	{ "name twice", VM(", ipv4: 10.199.0.2, profile: agent}\n  - {name: vm0, interface: tap1, mac: '06:00:ac:10:00:03', ipv4: 10.199.0.3, profile: agent}\n"),
	  ":4:5: error: a second sandbox with the name vm0" },
	{ "address twice", VM(", ipv4: 10.199.0.2, profile: agent}\n  - {name: vm1, interface: tap1, mac: '06:00:ac:10:00:03', ipv4: 10.199.0.2, profile: agent}\n"),
	  ":4:5: error: vm1 has an address of vm0" },
};

TEST(errors)
{
	check_wrong(wrong, ARRAY_SIZE(wrong));
}

TEST(errors_of_credentials)
{
	check_wrong(wrong_credentials, ARRAY_SIZE(wrong_credentials));
}

TEST(errors_of_sandboxes)
{
	check_wrong(wrong_sandboxes, ARRAY_SIZE(wrong_sandboxes));
}

TEST(the_most_specific_credential_wins)
{
	static const char text[] =
		"version: 1\ncredentials:\n"
		"  - {name: host, match: GitHub.com./*, token_file: /t}\n"
		"  - {name: owner, match: github.com/Acme/*, token_file: /t, username: bot}\n"
		"  - {match: github.com/acme/widgets.git, github_app: {id: 7, installation: 8, key_file: /k}}\n"
		"  - {name: deep, match: gitlab.com/**, token_file: /t}\n"
		"  - {name: flat, match: gitlab.com/*, token_file: /t}\n"
		"  - {name: group, match: gitlab.com/g/**, token_file: /t}\n"
		"  - {name: sub, match: gitlab.com/g/s/*, token_file: /t}\n"
		"  - {name: one, match: gitlab.com/g/s/t/r, github_app: {id: 1, installation: 2, key_file: /k, api_url: 'https://Api.Example/v3/'}}\n";
	static const struct { const char *host, *repo, *want; } rows[] = {
		{ "github.com", "acme/widgets", "github.com/acme/widgets" }, { "github.com", "ACME/Widgets", "github.com/acme/widgets" },
		{ "github.com", "acme/widgets.wiki", "owner" }, { "github.com", "acme/gadgets", "owner" },
		{ "github.com", "acme2/widgets", "host" }, { "github.com", "acm/widgets", "host" }, { "github.com", "a/b/c", NULL },
		{ "evil.example", "acme/widgets", NULL }, { "github.com.evil.example", "acme/widgets", NULL },
		{ "api.github.com", "acme/widgets", NULL },
		{ "gitlab.com", "a/b", "flat" }, { "gitlab.com", "a/b/c", "deep" }, { "gitlab.com", "g/r", "group" },
		{ "gitlab.com", "g/x/y/z", "group" }, { "gitlab.com", "g/s", "group" }, { "gitlab.com", "g/s/r", "sub" },
		{ "gitlab.com", "g/s/t/r", "one" }, { "gitlab.com", "g/s/t/q", "group" }, { "gitlab.com", "gg/s/r", "deep" },
		{ "gitlab.com", "../b", NULL }, { "gitlab.com", "a", NULL }, { "gitlab.com", "", NULL },
	};
	AUTO(mem) char *said = NULL;
	AUTO(host_config) struct host_config *c = load(text, sizeof(text) - 1, &said);
	const struct host_credential *h;

	CHECK_STR("nothing to say", said, "");
	if (!c)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		h = host_credential_for(c, rows[i].host, rows[i].repo);
		CHECK_STR(rows[i].repo, h ? h->name : "none", rows[i].want ? rows[i].want : "none");
	}
	CHECK_EQ("all are kept", c->n_credentials, 8);
	CHECK_STR("user", host_credential_named(c, "owner")->username, "bot");
	CHECK_STR("default user", host_credential_named(c, "host")->username, "x-access-token");
	h = host_credential_for(c, "github.com", "acme/widgets");
	CHECK_STR("github's API", h->api_host, "api.github.com");
	CHECK_STR("at its root", h->api_path, "");
	CHECK_EQ("app", h->app * 10 + h->installation, 78);
	h = host_credential_named(c, "one");
	CHECK_STR("its own API", h->api_host, "api.example");
	CHECK_STR("below", h->api_path, "/v3");
}

TEST(credentials_of_terminated_hosts)
{
	static const char text[] =
		"version: 1\ncredentials:\n"
		"  - {name: git, match: github.com/*, token_file: /t}\n"
		"  - {name: key, header: {name: X-Api-Key, value_file: /k}}\n"
		"  - {name: npm, header: {scheme: Bearer, value_file: /n}}\n"
		"  - {name: pair, username: me, header: {scheme: Basic, value_file: /p}}\n";
	AUTO(mem) char *said = NULL;
	AUTO(host_config) struct host_config *c = load(text, sizeof(text) - 1, &said);
	const struct host_credential *h;
	struct policy_site site;

	CHECK_STR("nothing to say", said, "");
	if (!c)
		return;
	site = host_config_site(c);
	CHECK_EQ("profiles may name three", site.n_credentials, 3);
	CHECK_STR("first", site.credentials[0], "key");
	CHECK_STR("last", site.credentials[2], "pair");
	h = host_credential_named(c, "key");
	CHECK_STR("header", h->header, "X-Api-Key");
	CHECK_STR("no scheme", h->scheme, "");
	h = host_credential_named(c, "npm");
	CHECK_STR("default header", h->header, "Authorization");
	CHECK_STR("scheme", h->scheme, "Bearer");
	CHECK_STR("file", h->file, "/n");
	CHECK_STR("user", host_credential_named(c, "pair")->username, "me");
	CHECK("serves no repository", !strcmp(host_credential_for(c, "github.com", "a/b")->name, "git"));
}

TEST(a_credential_for_no_profiles_host)
{
	AUTO(mem) char *said = NULL;
	AUTO(diag) struct diag *d = NULL;
	AUTO(host_config) struct host_config *c = load(
		W("version: 1\ncredentials:\n  - {name: a, match: github.com/*, token_file: /t}\n"
		  "  - {name: b, match: git.example/*, token_file: /t}\n"
		  "  - {name: c, header: {value_file: /t}}\n  - {name: d, header: {value_file: /t}}\n"), &said);
	struct profile_set set = { 0 };
	char line[256];

	CHECK_EQ("new", diag_new(&d), 0);
	put(profile_path("g.yaml"), W("version: 1\nsandbox:\n  git: {enabled: true, allowed_hosts: [github.com]}\n"
				     "  network: {allow: [{host: api.gitlab.com, credential: d}]}\n"));
	CHECK_EQ("load", profile_set_load(c, d, &set), 0);
	diag_summary(d, line, sizeof(line));
	CHECK_STR("no error", line, "no errors");
	AUTO(mem) char *told = NULL;
	size_t n;
	FILE *to = open_memstream(&told, &n);

	diag_print(d, to);
	fclose(to);
	CHECK("which", strstr(told, "warning: credential b: git.example is in no profile's git.allowed_hosts"));
	CHECK("the other is used", !strstr(told, "credential a"));
	CHECK("which header", strstr(told, "warning: credential c: no profile names it"));
	CHECK("that one is", !strstr(told, "credential d"));
	profile_set_done(&set);
	unlink(profile_path("g.yaml"));
}

TEST(ssh_needs_a_mirror)
{
	static const struct { const char *what, *repos, *source; bool error; } rows[] = {
		{ "straight", "[acme/widgets]", "upstream", true },
		{ "a pattern", "['acme/w*']", "upstream", true },
		{ "all of them", "[github.com/acme/other, 'acme/*']", "upstream", true },
		{ "mirrored", "[acme/widgets]", "host_mirror", false },
		{ "others only", "[acme2/widgets, 'ac/*']", "upstream", false },
	};
	AUTO(mem) char *said = NULL;
	AUTO(host_config) struct host_config *c = load(
		W("version: 1\ncredentials:\n  - {name: a, match: github.com/acme/*, transport: ssh, identity_file: /k, port: 2222,\n"
		  "     known_host_key: ['" KEY " comment', '" KEY "']}\n"), &said);

	CHECK("loads", c && c->n_credentials == 1);
	CHECK_STR("user", c->credentials[0].username, "git");
	CHECK_EQ("port", c->credentials[0].port, 2222);
	CHECK_STR("keys", c->credentials[0].host_keys, KEY "\n" KEY "\n");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(diag) struct diag *d = NULL;
		struct profile_set set = { 0 };
		char text[256], line[512];

		snprintf(text, sizeof(text), "version: 1\nsandbox:\n  git: {enabled: true, allowed_hosts: [github.com], "
			 "allowed_repos: %s, source: %s}\n", rows[i].repos, rows[i].source);
		put(profile_path("g.yaml"), text, strlen(text));
		CHECK_EQ("new", diag_new(&d), 0);
		CHECK_EQ(rows[i].what, profile_set_load(c, d, &set), rows[i].error ? -EINVAL : 0);
		diag_summary(d, line, sizeof(line));
		CHECK(rows[i].what, !rows[i].error == !strstr(line, "source: host_mirror"));
		profile_set_done(&set);
	}
	unlink(profile_path("g.yaml"));
}

static const char secret_path[] = "secret";
struct secret_row { const char *what, *text; size_t n; mode_t mode; uid_t other; bool lines; int want; const char *says; };

static void check_secret(const struct secret_row *row)
{
	struct secret_owner o = secret_owner_of(geteuid() + row->other, getegid());
	char path[128], why[SECRET_WHY] = "", got[64];
	AUTO(fd) int fd = -1;
	size_t n = 0;
	int r;

	snprintf(path, sizeof(path), "%s/%s", dir, secret_path);
	put(path, row->text, row->n);
	CHECK_EQ(row->what, chmod(path, row->mode), 0);
	r = secret_file_open(path, &o, &fd, why);
	if (!r)
		r = secret_file_read(fd, row->lines, 8, got, sizeof(got), &n, why);
	CHECK_EQ(row->what, r, row->want);
	if (!strstr(why, row->says))
		CHECK_FAIL("%s: said %s", row->what, why);
	if (!r)
		CHECK(row->what, n == 8 && !memcmp(got, "12345678", 8));
	unlink(path);
}

TEST(who_may_read_a_secret)
{
	static const struct secret_row rows[] = {
		{ "its own", W("12345678"), 0400, 0, false, 0, "" }, { "a line", W("12345678\n"), 0600, 0, false, 0, "" },
		{ "of DOS", W("12345678\r\n"), 0600, 0, false, 0, "" },
		{ "others read", W("12345678"), 0404, 0, false, -EPERM, "is open to others (mode 0404); run: chown" },
		{ "the group reads", W("12345678"), 0440, 0, false, -EPERM, "is open to others (mode 0440)" },
		{ "others write", W("12345678"), 0602, 0, false, -EPERM, "is open to others" },
		{ "another's", W("12345678"), 0400, 1, false, -EPERM, "belongs to user " },
		{ "too short", W("1234567\n"), 0400, 0, false, -EINVAL, "is too short" }, { "empty", W(""), 0400, 0, false, -EINVAL, "is too short" },
		{ "two ends", W("12345678\n\n"), 0400, 0, false, -EINVAL, "holds control characters" },
		{ "two lines", W("1234\n5678"), 0400, 0, false, -EINVAL, "holds control characters" },
		{ "a header's end", W("12345678\r\nX: y"), 0400, 0, false, -EINVAL, "holds control characters" },
		{ "NUL", W("1234\0005678"), 0400, 0, false, -EINVAL, "holds control characters" }, { "NUL in lines", W("1234\0005678"), 0400, 0, true, -EINVAL, "holds" },
		{ "DEL", W("12345678\177"), 0400, 0, false, -EINVAL, "holds control characters" },
		{ "too long", W("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef!"), 0400, 0, false, -EFBIG, "is too long" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check_secret(&rows[i]);
}

TEST(what_is_no_file_of_secrets)
{
	struct secret_owner o = secret_owner_of(geteuid(), getegid()), other = secret_owner_of(geteuid() + 1, getegid() + 1);
	char path[128], link[128], why[SECRET_WHY];
	int fd = -1;

	snprintf(path, sizeof(path), "%s/%s", dir, secret_path);
	snprintf(link, sizeof(link), "%s/link", dir);
	CHECK_EQ("none", secret_file_open(path, &o, &fd, why), -ENOENT);
	CHECK_EQ("directory", secret_file_open(dir, &o, &fd, why), -EINVAL);
	CHECK_EQ("device", secret_file_open("/dev/null", &o, &fd, why), -EINVAL);
	put(path, W("12345678"));
	chmod(path, 0400);
	CHECK_EQ("link", symlink(path, link), 0);
	CHECK_EQ("by a link", secret_file_open(link, &o, &fd, why), -ELOOP);
	CHECK("which is told", strstr(why, "symbolic link"));
	CHECK_EQ("by its own way", secret_file_reach(path, &o, why), 0);
	CHECK_EQ("another cannot pass", secret_file_reach(path, &other, why), -EACCES);
	CHECK("and where", strstr(why, dir));
	CHECK_EQ("nothing came back", fd, -1);
	unlink(link);
	unlink(path);
}

TEST(files_that_are_not_there)
{
	AUTO(diag) struct diag *d = NULL;
	struct host_config *c = NULL;
	char line[256];

	CHECK_EQ("new", diag_new(&d), 0);
	CHECK_EQ("no file", host_config_load("/nonexistent/cordon.yaml", d, &c), -ENOENT);
	diag_summary(d, line, sizeof(line));
	CHECK_STR("says which", line, "/nonexistent/cordon.yaml: error: cannot be read: No such file or directory");
	CHECK_EQ("a directory", host_config_load("/tmp", d, &c), -EISDIR);
	CHECK_EQ("a device", host_config_load("/dev/zero", d, &c), -EINVAL);
	CHECK("nothing came back", !c);
}

TEST(profiles)
{
	AUTO(mem) char *said = NULL;
	AUTO(diag) struct diag *d = NULL;
	AUTO(host_config) struct host_config *c = load(W("version: 1\n"), &said);
	struct profile_set set = { 0 }, again = { 0 };

	CHECK_EQ("new", diag_new(&d), 0);
	put(profile_path("b.yaml"), W("version: 1\nsandbox: {network: {allow: [{host: a.example}]}}\n"));
	put(profile_path("notes.txt"), W("not a profile"));
	put(profile_path(".b.yaml.swp"), W("an editor's"));
	CHECK_EQ("load", profile_set_load(c, d, &set), 0);
	CHECK_EQ("two", set.n, 2);
	CHECK_STR("sorted", policy_name(set.policies[0]), "agent");
	CHECK_STR("sorted", policy_name(set.policies[1]), "b");
	CHECK_EQ("hash", strlen(set.sha256), 64);
	put(profile_path("b.yaml"), W("version: 1\nsandbox: {network: {allow: [{host: A.example.}]}} # same\n"));
	CHECK_EQ("load again", profile_set_load(c, d, &again), 0);
	CHECK_STR("a comment is no change", again.sha256, set.sha256);
	profile_set_done(&again);
	put(profile_path("b.yaml"), W("version: 1\nsandbox: {network: {allow: [{host: b.example}]}}\n"));
	CHECK_EQ("load changed", profile_set_load(c, d, &again), 0);
	CHECK("a host is", strcmp(again.sha256, set.sha256) != 0);
	profile_set_done(&again);
	put(profile_path("b.yaml"), W("version: 1\nsandbox: {network: {allow: [{hots: b.example}]}}\n"));
	put(profile_path("Bad Name.yaml"), W("version: 1\nsandbox: {}\n"));
	CHECK_EQ("errors", profile_set_load(c, d, &again), -EINVAL);
	CHECK_EQ("of both files", diag_errors(d), 2);
	CHECK_EQ("and no set", again.n, 0);
	profile_set_done(&set);
	unlink(profile_path("b.yaml"));
	unlink(profile_path("notes.txt"));
	unlink(profile_path(".b.yaml.swp"));
	unlink(profile_path("Bad Name.yaml"));
}

TEST(examples)
{
	AUTO(diag) struct diag *d = NULL;
	AUTO(host_config) struct host_config *c = NULL;
	struct profile_set set = { 0 };
	char line[256];

	CHECK_EQ("new", diag_new(&d), 0);
	CHECK_EQ("configuration", host_config_load("deploy/examples/cordon.yaml", d, &c), 0);
	if (c)
		CHECK_EQ("profiles", profile_set_load(c, d, &set), 0);
	diag_summary(d, line, sizeof(line));
	CHECK_STR("no error", line, "no errors");
	CHECK_EQ("and no warning", diag_warnings(d), 0);
	CHECK_EQ("default and agent", set.n, 2);
	profile_set_done(&set);
}

static char *text_of(const char *path)
{
	AUTO(mem) char *text = NULL;
	size_t n = 0;
	FILE *from = fopen(path, "r"), *to = open_memstream(&text, &n);

	for (int c; from && to && (c = fgetc(from)) != EOF;)
		fputc(c, to);
	if (from)
		fclose(from);
	if (to)
		fclose(to);
	return text ? STEAL(text) : strdup("");
}

/* The guide is written by hand, the tables below its marker are printed. */
TEST(reference_is_up_to_date)
{
	static const char path[] = "docs/policy.md", marker[] = "<!-- Below: printed by";
	AUTO(mem) char *doc = text_of(path), *want = NULL;
	char *at = strstr(doc, marker);
	size_t n = 0;
	FILE *to = open_memstream(&want, &n);

	at = at ? strchr(at, '\n') : NULL;
	CHECK("docs/policy.md has the marker", at != NULL);
	fputs("\n\n", to);
	policy_print_schema(to);
	fclose(to);
	if (at && getenv("UPDATE")) {
		to = fopen(path, "w");
		fprintf(to, "%.*s%s", (int)(at - doc), doc, want);
		fclose(to);
	} else if (at) {
		CHECK("docs/policy.md is what the schema prints (UPDATE=1 writes it)", !strcmp(at, want));
	}
	CHECK("profile keys", strstr(want, "| `sandbox.network.allow[].host` |"));
	CHECK("defaults", strstr(want, "| 198.18.0.0/15 |"));
	CHECK("what is not there yet", strstr(want, "(not supported yet)"));
}

TEST(proxy)
{
	static const struct { const char *text, *name; int family; } rows[] = {
		{ "http://proxy.example:3128", "proxy.example", 0 },
		{ "http://10.0.0.1:3128", "", 4 },
		{ "http://[fd00::1]:3128", "", 6 },
	};
	struct host_proxy p;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CHECK(rows[i].text, host_proxy_parse(rows[i].text, &p));
		CHECK_EQ(rows[i].text, p.port, 3128);
		CHECK_STR(rows[i].text, p.name, rows[i].name);
		CHECK_EQ(rows[i].text, p.addr.family, rows[i].family);
	}
}

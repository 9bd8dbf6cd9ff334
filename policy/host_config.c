/*
 * host_config.c - compile /etc/cordon/cordon.yaml
 *
 * Theory of operation: the file is checked against the schema like a profile, then each section
 * fills its part of struct host_config, with the schema's defaults for what is absent, so `version:
 * 1` is a whole configuration. Addresses that must not overlap are checked against each other,
 * since an overlap would make a sandbox's own address, a synthetic one and a real one the same
 * thing. The host's own addresses are read at load: they are what no granted name may resolve to.
 */
#include "policy/host_config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fnmatch.h>
#include <ifaddrs.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/doc.h"
#include "policy/file.h"
#include "policy/interface.h"
#include "policy/name.h"
#include "policy/schema.h"

enum { CONFIG_BYTES_MAX = 4 << 20, POOL_BITS4_MAX = 22, POOL_BITS6_MAX = 118 };

struct load {
	const char *file;
	struct diag *d;
	struct node *root;
	struct host_config *c;
	bool no_memory;
	bool light; /* see host_config_load_light() */
};

#define fault(l, at, ...) diag_error((l)->d, (l)->file, (at)->line, (at)->column, __VA_ARGS__)

/* --- ownership --- */

static void free_sandboxes(struct host_config *c)
{
	for (size_t i = 0; i < c->n_sandboxes; i++) {
		free(c->sandboxes[i].name);
		free(c->sandboxes[i].interface);
		free(c->sandboxes[i].profile);
	}
	free(c->sandboxes);
}

static void free_dns(struct host_config *c)
{
	for (size_t i = 0; i < c->n_zones; i++) {
		free(c->zones[i].suffix);
		free(c->zones[i].servers);
	}
	for (size_t i = 0; i < c->n_hosts; i++)
		free(c->hosts[i].name);
	free(c->zones);
	free(c->hosts);
	free(c->dns_upstream);
}

void host_config_free(struct host_config *c)
{
	if (!c)
		return;
	free_sandboxes(c);
	free_dns(c);
	host_credentials_free(c);
	host_mirrors_free(c);
	schema_texts_free(c->uplinks, c->n_uplinks);
	schema_texts_free(c->interfaces, c->n_interfaces);
	schema_texts_free(c->ca_names, c->n_ca_names);
	schema_texts_free(c->nested_groups, c->n_nested_groups);
	schema_texts_free(c->ignore_case, c->n_ignore_case);
	free(c->networks);
	free(c->forbidden);
	free(c->file);
	free(c->profiles_dir);
	free(c->run_dir);
	free(c->state_dir);
	free(c->log_dir);
	free(c->upstream_ca_file);
	free(c->scan_rules);
	free(c->scan_exceptions);
	free(c);
}

struct policy_site host_config_site(const struct host_config *c)
{
	return (struct policy_site){
		.ca_names = (const char *const *)c->ca_names,
		.n_ca_names = c->n_ca_names,
		.nested_groups = (const char *const *)c->nested_groups,
		.n_nested_groups = c->n_nested_groups,
		.ignore_case = (const char *const *)c->ignore_case,
		.n_ignore_case = c->n_ignore_case,
		.credentials = c->header_credentials,
		.n_credentials = c->n_header_credentials,
		.addresses = { c->forbidden, c->n_forbidden },
		.observe_permitted = c->observe_permitted,
	};
}

bool host_config_ignores_case(const struct host_config *c, const char *host)
{
	for (size_t i = 0; i < c->n_ignore_case; i++)
		if (!strcmp(c->ignore_case[i], host))
			return true;
	return known_ignores_case(host);
}

/* --- small helpers --- */

static char *load_dup(struct load *l, const char *text)
{
	char *copy = strdup(text ? text : "");

	l->no_memory |= !copy;
	return copy;
}

static const char *load_text(const struct load *l, const char *path)
{
	return schema_text(SCHEMA_HOST, l->root, "", path);
}

static uint64_t load_number(const struct load *l, const char *path)
{
	return schema_number(SCHEMA_HOST, l->root, "", path);
}

/* Where to point: the value if the file has it, else the beginning. */
static const struct node *load_at(const struct load *l, const char *path)
{
	const struct node *nd = node_at(l->root, path);

	return nd ? nd : l->root;
}

static void add_prefix(struct load *l, struct prefix **list, size_t *n, const struct prefix *p)
{
	struct prefix *more = reallocarray(*list, *n + 1, sizeof(*more));

	l->no_memory |= !more;
	if (!more)
		return;
	more[(*n)++] = *p;
	*list = more;
}

static void load_strings(struct load *l, const char *path, char ***ret, size_t *ret_n)
{
	l->no_memory |= schema_texts(SCHEMA_HOST, l->root, path, ret, ret_n) != 0;
}

/* A list of exact host names, made canonical in place. */
static void load_names(struct load *l, const char *path, char ***ret, size_t *ret_n)
{
	load_strings(l, path, ret, ret_n);
	for (size_t i = 0; i < *ret_n; i++) {
		char name[POLICY_NAME_MAX + 1];

		if (!name_canonical(rd_str((*ret)[i]), name)) {
			fault(l, load_at(l, path), "%s: \"%.80s\" is not a host name", path,
			      (*ret)[i]);
			continue;
		}
		free((*ret)[i]);
		(*ret)[i] = load_dup(l, name);
		if (l->no_memory)
			return;
	}
}

/* --- addresses --- */

static void load_prefix(struct load *l, const char *path, unsigned bits_max, struct prefix *ret)
{
	if (!prefix_parse(load_text(l, path), ret))
		return; /* the schema has complained */
	if (ret->bits > bits_max)
		fault(l, load_at(l, path), "%s: too small; at most /%u", path, bits_max);
}

static void check_overlap(struct load *l, const char *path, const struct prefix *a,
			  const char *other, const struct prefix *b)
{
	char ta[ADDR_TEXT_MAX], tb[ADDR_TEXT_MAX];

	if (!prefix_overlap(a, b))
		return;
	prefix_format(a, ta);
	prefix_format(b, tb);
	fault(l, load_at(l, path), "%s: %s overlaps %s of %s", path, ta, tb, other);
}

static void load_networks(struct load *l)
{
	struct host_config *c = l->c;
	const struct node *list = node_at(l->root, "sandbox_networks");
	struct prefix p;

	for (size_t i = 0; list && !list->bad && i < list->n; i++)
		if (!list->items[i]->bad && prefix_parse(list->items[i]->text, &p))
			add_prefix(l, &c->networks, &c->n_networks, &p);
	for (size_t i = 0; i < c->n_networks; i++) {
		check_overlap(l, "sandbox_networks", &c->networks[i], "addresses", &c->pool.v4);
		check_overlap(l, "sandbox_networks", &c->networks[i], "addresses", &c->pool.v6);
	}
}

static bool networks_cover(const struct host_config *c, const struct prefix *p)
{
	for (size_t i = 0; i < c->n_networks; i++)
		if (prefix_has(&c->networks[i], &p->addr) && c->networks[i].bits <= p->bits)
			return true;
	return false;
}

static void load_addresses(struct load *l)
{
	struct host_config *c = l->c;
	const struct prefix *run[] = { &c->run4, &c->run6 };

	load_prefix(l, "addresses.ipv4", POOL_BITS4_MAX, &c->pool.v4);
	load_prefix(l, "addresses.ipv6", POOL_BITS6_MAX, &c->pool.v6);
	load_prefix(l, "run_addresses.ipv4", 31, &c->run4);
	load_prefix(l, "run_addresses.ipv6", 127, &c->run6);
	check_overlap(l, "run_addresses", &c->run4, "addresses", &c->pool.v4);
	check_overlap(l, "run_addresses", &c->run6, "addresses", &c->pool.v6);
	load_networks(l);
	for (size_t i = 0; i < ARRAY_SIZE(run); i++)
		if (!networks_cover(c, run[i]))
			add_prefix(l, &c->networks, &c->n_networks, run[i]);
}

static void forbid_host_addresses(struct load *l)
{
	struct ifaddrs *all = NULL;

	if (getifaddrs(&all) < 0) {
		diag_error(l->d, l->file, 0, 0, "the host's own addresses cannot be read: %s",
			   strerror(errno));
		return;
	}
	for (struct ifaddrs *i = all; i; i = i->ifa_next) {
		struct sockaddr_storage sa = { 0 };
		struct prefix own = { 0 };
		sa_family_t family = i->ifa_addr ? i->ifa_addr->sa_family : AF_UNSPEC;
		uint16_t port;

		if (family != AF_INET && family != AF_INET6)
			continue;
		memcpy(&sa, i->ifa_addr,
		       family == AF_INET ? sizeof(struct sockaddr_in)
					 : sizeof(struct sockaddr_in6));
		if (!addr_from_sockaddr(&sa, &own.addr, &port))
			continue;
		own.bits = (uint8_t)(8 * addr_len(&own.addr));
		/* Ten thousand sandboxes may mean as many gateways' addresses, all of their networks. */
		if (networks_cover(l->c, &own))
			continue;
		add_prefix(l, &l->c->forbidden, &l->c->n_forbidden, &own);
	}
	freeifaddrs(all);
}

static void forbid_all(struct load *l)
{
	static const struct prefix all[] = { { .addr = { .family = 4 } }, { .addr = { .family = 6 } } };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		add_prefix(l, &l->c->forbidden, &l->c->n_forbidden, &all[i]);
}

static void load_forbidden(struct load *l)
{
	struct host_config *c = l->c;
	const struct prefix *fixed[] = { &c->pool.v4, &c->pool.v6, &c->run4, &c->run6 };

	if (l->light) {
		forbid_all(l);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		add_prefix(l, &c->forbidden, &c->n_forbidden, fixed[i]);
	for (size_t i = 0; i < c->n_networks; i++)
		add_prefix(l, &c->forbidden, &c->n_forbidden, &c->networks[i]);
	forbid_host_addresses(l);
}

/* --- interfaces --- */

static void load_interfaces(struct load *l)
{
	struct host_config *c = l->c;

	load_strings(l, "uplink", &c->uplinks, &c->n_uplinks);
	load_strings(l, "sandbox_interfaces", &c->interfaces, &c->n_interfaces);
	if (!load_at(l, "sandbox_interfaces")->n && !load_at(l, "sandbox_interfaces")->bad)
		fault(l, load_at(l, "sandbox_interfaces"),
		      "sandbox_interfaces is empty: nothing would be policed");
	for (size_t i = 0; i < c->n_interfaces; i++) {
		if (!fnmatch(c->interfaces[i], "lo", 0))
			fault(l, load_at(l, "sandbox_interfaces"),
			      "\"%s\" matches the loopback interface", c->interfaces[i]);
		for (size_t j = 0; j < c->n_uplinks; j++)
			if (!fnmatch(c->interfaces[i], c->uplinks[j], 0))
				fault(l, load_at(l, "uplink"),
				      "uplink %s matches sandbox_interfaces (%s)", c->uplinks[j],
				      c->interfaces[i]);
	}
	for (size_t j = 0; j < c->n_uplinks; j++)
		if (strchr(c->uplinks[j], '*'))
			fault(l, load_at(l, "uplink"),
			      "\"%s\": an uplink is one interface, not a pattern", c->uplinks[j]);
}

/* --- dns --- */

/* ADDRESS, ADDRESS:PORT (IPv4) or [ADDRESS]:PORT (IPv6). */
static bool server_parse(const char *text, struct addr *ret, uint16_t *ret_port)
{
	char host[ADDR_TEXT_MAX];
	const char *port = strrchr(text, ':');
	char *end;
	unsigned long v;

	*ret_port = 53;
	if (addr_parse(text, ret))
		return true;
	if (!port || (size_t)(port - text) >= sizeof(host) ||
	    strspn(port + 1, "0123456789") != strlen(port + 1))
		return false;
	v = strtoul(port + 1, &end, 10);
	if (v < 1 || v > 65535)
		return false;
	*ret_port = (uint16_t)v;
	snprintf(host, sizeof(host), "%.*s", (int)(port - text), text);
	if (*host != '[')
		return addr_parse(host, ret) && ret->family == 4;
	if (host[strlen(host) - 1] != ']')
		return false;
	host[strlen(host) - 1] = 0;
	return addr_parse(host + 1, ret) && ret->family == 6;
}

static void add_server(struct load *l, const struct node *at)
{
	struct host_config *c = l->c;
	struct addr a, *more;
	uint16_t port;

	if (!server_parse(at->text, &a, &port)) {
		fault(l, at,
		      "dns.upstream: \"%.80s\" is not an address, an address with port, or system",
		      at->text);
		return;
	}
	if (c->n_dns_upstream && port != c->dns_upstream_port)
		fault(l, at, "dns.upstream: one port for all (%u)", c->dns_upstream_port);
	more = reallocarray(c->dns_upstream, c->n_dns_upstream + 1, sizeof(*more));
	l->no_memory |= !more;
	if (!more)
		return;
	more[c->n_dns_upstream++] = a;
	c->dns_upstream = more;
	c->dns_upstream_port = port;
}

static void load_upstream(struct load *l)
{
	const struct node *list = node_at(l->root, "dns.upstream");
	bool system = false;

	l->c->dns_upstream_port = 53;
	for (size_t i = 0; list && !list->bad && i < list->n; i++) {
		const struct node *at = list->items[i];

		if (at->bad)
			continue;
		if (!strcmp(at->text, "system"))
			system = true;
		else
			add_server(l, at);
	}
	if (list && !list->bad && !list->n)
		fault(l, list, "dns.upstream is empty; [system] uses the host's own resolvers");
	if (system && l->c->n_dns_upstream)
		fault(l, list, "dns.upstream: either system or addresses");
}

static bool member_name(struct load *l, const struct node *nd, char out[POLICY_NAME_MAX + 1])
{
	if (name_canonical(rd_str(nd->key), out))
		return true;
	diag_error(l->d, l->file, nd->key_line, nd->key_column, "\"%.80s\" is not a host name",
		   nd->key);
	return false;
}

static void load_zone(struct load *l, const struct node *nd, struct host_zone *ret)
{
	char name[POLICY_NAME_MAX + 1];

	ret->servers = calloc(nd->n + 1, sizeof(*ret->servers));
	l->no_memory |= !ret->servers;
	ret->suffix = load_dup(l, member_name(l, nd, name) ? name : "");
	for (size_t i = 0; ret->servers && i < nd->n; i++)
		if (!nd->items[i]->bad && addr_parse(nd->items[i]->text, &ret->servers[ret->n]))
			ret->n++;
	if (!nd->bad && !nd->n)
		fault(l, nd, "dns.zones: %s has no resolver", nd->key);
}

static void load_dns(struct load *l)
{
	struct host_config *c = l->c;
	const struct node *zones = node_at(l->root, "dns.zones"),
			  *hosts = node_at(l->root, "hosts");
	size_t nz = zones && !zones->bad ? zones->n : 0, nh = hosts && !hosts->bad ? hosts->n : 0;

	load_upstream(l);
	c->dns_timeout_ms = (uint32_t)load_number(l, "dns.timeout");
	c->dns_forget_ms = load_number(l, "dns.forget");
	c->zones = calloc(nz + 1, sizeof(*c->zones));
	c->hosts = calloc(nh + 1, sizeof(*c->hosts));
	l->no_memory |= !c->zones || !c->hosts;
	if (l->no_memory)
		return;
	for (; c->n_zones < nz; c->n_zones++)
		load_zone(l, zones->items[c->n_zones], &c->zones[c->n_zones]);
	for (; c->n_hosts < nh; c->n_hosts++) {
		const struct node *nd = hosts->items[c->n_hosts];
		char name[POLICY_NAME_MAX + 1];

		c->hosts[c->n_hosts].name = load_dup(l, member_name(l, nd, name) ? name : "");
		if (!nd->bad)
			addr_parse(nd->text, &c->hosts[c->n_hosts].addr);
	}
}

/* --- static sandboxes --- */

static void mac_parse(const char *text, uint8_t out[6])
{
	for (size_t i = 0; i < 6; i++)
		out[i] = (uint8_t)strtoul((char[3]){ text[3 * i], text[3 * i + 1], 0 }, NULL, 16);
}

static void sandbox_address(struct load *l, const struct node *row, const char *key,
			    struct addr *ret)
{
	const struct node *at = node_at(row, key);
	struct prefix own = { 0 };

	if (!at || at->bad || !addr_parse(at->text, ret))
		return;
	own.addr = *ret;
	own.bits = (uint8_t)(8 * addr_len(ret));
	if (!networks_cover(l->c, &own))
		fault(l, at,
		      "%s is outside sandbox_networks, so nothing would hold it if the ruleset "
		      "were lost",
		      at->text);
}

static void check_profile_file(struct load *l, const struct node *at)
{
	AUTO(mem) char *path = NULL;

	if (asprintf(&path, "%s/%s.yaml", l->c->profiles_dir, at->text) < 0)
		l->no_memory = true;
	else if (access(path, F_OK))
		fault(l, at, "there is no profile \"%s\": %s does not exist", at->text, path);
}

static void check_sandbox(struct load *l, const struct node *row, const struct host_sandbox *s)
{
	const struct node *profile = node_at(row, "profile"),
			  *interface = node_at(row, "interface");

	if (profile && !profile->bad)
		check_profile_file(l, profile);
	if (interface && !interface->bad &&
	    (strchr(s->interface, '*') || !interface_is_policed(l->c, s->interface)))
		fault(l, interface, "interface %s matches none of sandbox_interfaces",
		      s->interface);
	if (!node_at(row, "ipv4") && !node_at(row, "ipv6"))
		fault(l, row, "a sandbox needs ipv4 or ipv6");
	for (size_t i = 0; i < l->c->n_sandboxes; i++) {
		const struct host_sandbox *o = &l->c->sandboxes[i];

		if (*s->name && !strcmp(o->name, s->name))
			fault(l, row, "a second sandbox with the name %s", s->name);
		if ((s->addr[0].family && addr_eq(&o->addr[0], &s->addr[0])) ||
		    (s->addr[1].family && addr_eq(&o->addr[1], &s->addr[1])))
			fault(l, row, "%s has an address of %s", s->name, o->name);
	}
}

static void load_sandbox(struct load *l, const struct node *row)
{
	static const char at[] = "sandboxes[].";
	struct host_config *c = l->c;
	struct host_sandbox *s = &c->sandboxes[c->n_sandboxes];
	const struct node *mac = node_at(row, "mac");

	*s = (struct host_sandbox){
		.name = load_dup(l, schema_text(SCHEMA_HOST, row, at, "name")),
		.interface = load_dup(l, schema_text(SCHEMA_HOST, row, at, "interface")),
		.profile = load_dup(l, schema_text(SCHEMA_HOST, row, at, "profile")),
		.dhcp = schema_number(SCHEMA_HOST, row, at, "dhcp"),
	};
	if (mac && !mac->bad)
		mac_parse(mac->text, s->mac);
	sandbox_address(l, row, "ipv4", &s->addr[0]);
	sandbox_address(l, row, "ipv6", &s->addr[1]);
	if (!l->no_memory)
		check_sandbox(l, row, s);
	c->n_sandboxes++;
}

static void load_sandboxes(struct load *l)
{
	const struct node *list = node_at(l->root, "sandboxes");
	size_t n = list && !list->bad ? list->n : 0;

	l->c->sandboxes = calloc(n + 1, sizeof(*l->c->sandboxes));
	l->no_memory |= !l->c->sandboxes;
	for (size_t i = 0; l->c->sandboxes && i < n; i++)
		if (!list->items[i]->bad)
			load_sandbox(l, list->items[i]);
}

/* --- the rest --- */

static void load_files(struct load *l)
{
	struct host_config *c = l->c;
	const char *slash = strrchr(l->file, '/'), *ca = load_text(l, "git.upstream_ca_file");

	c->file = load_dup(l, l->file);
	if (asprintf(&c->profiles_dir, "%.*sprofiles", slash ? (int)(slash - l->file + 1) : 0,
		     l->file) < 0) {
		c->profiles_dir = NULL;
		l->no_memory = true;
	}
	c->run_dir = load_dup(l, load_text(l, "directories.run"));
	c->state_dir = load_dup(l, load_text(l, "directories.state"));
	c->log_dir = load_dup(l, load_text(l, "directories.log"));
	if (strcmp(ca, "system"))
		c->upstream_ca_file = load_dup(l, ca);
	if (strcmp(ca, "system") && *ca != '/')
		fault(l, load_at(l, "git.upstream_ca_file"),
		      "git.upstream_ca_file is an absolute path, or system");
}

static void load_scan(struct load *l)
{
	const char *rules = load_text(l, "git.scan.rules");

	l->c->scan_exceptions = load_dup(l, load_text(l, "git.scan.exceptions"));
	if (*rules == '/')
		l->c->scan_rules = load_dup(l, rules);
	else if (strcmp(rules, "builtin"))
		fault(l, load_at(l, "git.scan.rules"), "git.scan.rules is an absolute path, or builtin");
}

static void load_git(struct load *l)
{
	struct host_config *c = l->c;
	const char *proxy = load_text(l, "git.upstream_proxy");

	if (strcmp(proxy, "none") && !host_proxy_parse(proxy, &c->proxy))
		fault(l, load_at(l, "git.upstream_proxy"),
		      "git.upstream_proxy is http://HOST:PORT without user and password, or none");
	load_names(l, "ca.names", &c->ca_names, &c->n_ca_names);
	load_names(l, "git.nested_groups", &c->nested_groups, &c->n_nested_groups);
	load_names(l, "git.ignore_case", &c->ignore_case, &c->n_ignore_case);
	c->explicit_port = (uint16_t)load_number(l, "git.explicit_route.port");
	if (c->explicit_port == PORT_DNS)
		fault(l, load_at(l, "git.explicit_route.port"), "port 53 is the resolver's");
	c->connect_ms = (uint32_t)load_number(l, "git.timeouts.connect");
	c->first_byte_ms = (uint32_t)load_number(l, "git.timeouts.first_byte");
	c->idle_ms = (uint32_t)load_number(l, "git.timeouts.idle");
	c->total_ms = (uint32_t)load_number(l, "git.timeouts.total");
	load_scan(l);
	c->observe_permitted = !strcmp(load_text(l, "observe"), "permitted");
}

static void load_credentials(struct load *l)
{
	l->no_memory |= host_credentials_load(l->c, l->root, l->d) != 0;
}

static void load_mirrors(struct load *l)
{
	l->no_memory |= host_mirrors_load(l->c, l->root, l->d) != 0;
}

static int load_tree(struct load *l)
{
	static void (*const sections[])(struct load *) = {
		load_files, load_addresses, load_interfaces, load_dns,
		load_git,   load_mirrors,   load_credentials, load_sandboxes,
		load_forbidden,
	};

	for (size_t i = 0; i < ARRAY_SIZE(sections) && !l->no_memory; i++)
		sections[i](l);
	return l->no_memory ? -ENOMEM : 0;
}

static int load_file(const char *file, bool light, struct diag *d, struct host_config **ret)
{
	size_t errors = diag_errors(d), n = 0;
	AUTO(host_config) struct host_config *c = calloc(1, sizeof(*c));
	AUTO(node) struct node *root = NULL;
	AUTO(mem) char *text = NULL;
	struct load l = { .file = file, .d = d, .c = c, .light = light };
	int err = c ? file_read(file, CONFIG_BYTES_MAX, d, &text, &n) : -ENOMEM;

	err = err ? err : doc_parse(file, text, n, d, &root);
	if (err)
		return err;
	schema_check(SCHEMA_HOST, file, root, d);
	l.root = root;
	err = load_tree(&l);
	if (!err && diag_errors(d) != errors)
		err = -EINVAL;
	if (!err)
		*ret = STEAL(c);
	return err;
}

int host_config_load(const char *file, struct diag *d, struct host_config **ret)
{
	return load_file(file, false, d, ret);
}

int host_config_load_light(const char *file, struct diag *d, struct host_config **ret)
{
	return load_file(file, true, d, ret);
}

int host_config_open(const char *file, struct host_config **ret)
{
	AUTO(diag) struct diag *d = NULL;
	int err = diag_new(&d);

	err = err ? err : host_config_load(file, d, ret);
	if (err && d)
		diag_print(d, stderr);
	return err;
}

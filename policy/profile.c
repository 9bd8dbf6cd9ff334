/*
 * profile.c - compile a profile: from the checked tree to rules, with every error that rules can
 * have
 *
 * Theory of operation: the tree has passed schema_check(), so what is not marked bad has its type.
 * Rows of one host pattern become one rule, whatever their order; rows that contradict each other
 * are errors, never "the last one wins". Rows with a cidr are ranges.c's. The git section
 * (profile_git.c) comes after the rows, and what only the whole shows (profile_checks.c) last.
 * Nothing is returned unless no error was added.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "policy/compile.h"

#define NETWORK "sandbox.network."
#define LIMITS	"sandbox.limits."

static const struct {
	const char *text;
	uint8_t proto;
	enum grant_action action;
	uint16_t port; /* that it is the default of, and that is its default */
} protocols[PROTOCOLS] = {
	[PROTOCOL_NONE] = { "", 0, GRANT_NONE, 0 },
	[PROTOCOL_HTTP] = { "http", IPPROTO_TCP, GRANT_PROXY, 80 },
	[PROTOCOL_SSH] = { "ssh", IPPROTO_TCP, GRANT_FORWARD, 22 },
	[PROTOCOL_TCP] = { "tcp", IPPROTO_TCP, GRANT_FORWARD, 0 },
	[PROTOCOL_TLS] = { "tls", IPPROTO_TCP, GRANT_INSPECT, 443 },
	[PROTOCOL_UDP] = { "udp", IPPROTO_UDP, GRANT_FORWARD, 0 },
};

const char *protocol_text(enum protocol p)
{
	return protocols[p].text;
}

static enum protocol protocol_of_text(const char *text)
{
	for (size_t i = PROTOCOL_NONE + 1; i < PROTOCOLS; i++)
		if (!strcmp(protocols[i].text, text))
			return (enum protocol)i;
	return PROTOCOL_NONE;
}

static enum protocol protocol_of_port(uint64_t port)
{
	for (size_t i = PROTOCOL_NONE + 1; i < PROTOCOLS; i++)
		if (protocols[i].port == port)
			return (enum protocol)i;
	return PROTOCOL_NONE;
}

/* Put a rule into the policy's list, which frees it. */
static bool rules_append(struct policy *p, struct rule *r)
{
	if (!(p->n_rules & (p->n_rules - 1))) { /* full at each power of two */
		size_t cap = p->n_rules ? 2 * p->n_rules : 1;
		struct rule **more = reallocarray(p->rules, cap, sizeof(*more));

		if (!more)
			return false;
		p->rules = more;
	}
	p->rules[p->n_rules++] = r;
	return true;
}

struct rule *compile_rule(struct compile *c, enum verdict v, const struct name_pattern *pattern,
			  const char *key, const struct node *at)
{
	char host[NAME_PATTERN_TEXT];
	AUTO(rule) struct rule *r = calloc(1, sizeof(*r));

	name_pattern_format(pattern, host);
	c->no_memory |= !r || asprintf(&r->text, "%s: %s", key, host) < 0;
	if (c->no_memory)
		return NULL;
	r->base = r->text + strlen(r->text) - strlen(pattern->base);
	r->kind = pattern->kind;
	r->verdict = v;
	r->line = at->line;
	r->column = at->column;
	if (rules_append(c->p, r))
		c->no_memory |= rule_index_add(&c->p->index, STEAL(r)) != 0;
	else
		c->no_memory = true;
	return c->no_memory ? NULL : c->p->rules[c->p->n_rules - 1];
}

/* The rule of a pattern, made when it is the first row of it. NULL: out of memory. */
static struct rule *rule_for(struct compile *c, enum verdict v, const struct name_pattern *pattern,
			     const char *key, const struct node *at)
{
	const struct rule *r = rule_index_get(&c->p->index, v, pattern);

	return r ? (struct rule *)r : compile_rule(c, v, pattern, key, at);
}

bool compile_port(struct compile *c, const struct node *at, uint8_t proto, uint64_t port)
{
	if (port == 53) {
		fault(c, at, "port 53 is DNS, which Cordon itself answers for every name");
		return false;
	}
	if (port == 443 && proto == IPPROTO_UDP) {
		fault(c, at,
		      "UDP 443 is QUIC, which network.quic governs (only reject is supported yet)");
		return false;
	}
	if (port == 853)
		caution(c, at,
			"port 853 is DNS over TLS or QUIC: names can be looked up through it "
			"unseen");
	return true;
}

static bool host_port(struct compile *c, const struct node *at, enum protocol proto, uint64_t port)
{
	if (proto == PROTOCOL_HTTP && port != 80) {
		fault(c, at, "http is read on port 80 only; protocol tcp grants port %u unread",
		      (unsigned)port);
		return false;
	}
	if (!compile_port(c, at, protocols[proto].proto, port))
		return false;
	if ((port == 443 || port == 80) && proto == PROTOCOL_TCP)
		caution(c, at,
			"port %u as tcp is not inspected: the server's other tenants can be "
			"reached%s",
			(unsigned)port, port == 443 ? "; protocol tls checks the name" : "");
	return true;
}

void compile_grant(struct compile *c, struct rule *r, enum protocol proto, struct grant g)
{
	struct grant *grants = reallocarray(r->grants, r->n_grants + 1, sizeof(*grants));
	enum protocol *protos = reallocarray(r->protocols, r->n_grants + 1, sizeof(*protos));

	r->grants = grants ? grants : r->grants;
	r->protocols = protos ? protos : r->protocols;
	c->no_memory |= !grants || !protos;
	if (!grants || !protos)
		return;
	protos[r->n_grants] = proto;
	grants[r->n_grants++] = g;
}

static void rule_grant(struct compile *c, struct rule *r, const struct node *at,
		       enum protocol proto, uint64_t port)
{
	if (!host_port(c, at, proto, port))
		return;
	for (size_t i = 0; i < r->n_grants; i++) {
		if (r->grants[i].port != port || r->grants[i].proto != protocols[proto].proto)
			continue;
		if (r->protocols[i] != proto)
			fault(c, at, "port %u of %s is already granted as %s (line %zu)",
			      (unsigned)port, r->base, protocols[r->protocols[i]].text, r->line);
		return;
	}
	if (r->n_grants >= POLICY_GRANTS_MAX) {
		fault(c, at, "more than %d ports for %s", POLICY_GRANTS_MAX, r->base);
		return;
	}
	compile_grant(
		c, r, proto,
		(struct grant){ protocols[proto].proto, (uint16_t)port, protocols[proto].action });
}

/* One port of a row; without a protocol the port says which. */
static void row_port(struct compile *c, struct rule *r, const struct node *at, enum protocol proto,
		     uint64_t port)
{
	if (proto == PROTOCOL_NONE)
		proto = protocol_of_port(port);
	if (proto != PROTOCOL_NONE)
		rule_grant(c, r, at, proto, port);
	else
		fault(c, at, "port %u needs a protocol: tls, tcp, ssh or udp", (unsigned)port);
}

static void row_ports(struct compile *c, struct rule *r, const struct node *row,
		      const struct node *host)
{
	const struct node *ports = node_at(row, "ports"), *at = node_at(row, "protocol");
	const char *text = schema_text(SCHEMA_PROFILE, row, NETWORK "allow[].", "protocol");
	enum protocol proto = text ? protocol_of_text(text) : PROTOCOL_NONE;

	if ((ports && ports->bad) || (at && at->bad))
		return;
	if (!ports && (proto == PROTOCOL_TCP || proto == PROTOCOL_UDP))
		fault(c, at, "protocol %s needs ports", text);
	else if (!ports)
		rule_grant(c, r, host, proto ? proto : PROTOCOL_TLS,
			   proto ? protocols[proto].port : 443);
	else if (!ports->n)
		fault(c, ports, "ports is empty; leave it out for the default, or drop the row");
	for (size_t i = 0; ports && i < ports->n; i++)
		if (!ports->items[i]->bad)
			row_port(c, r, ports->items[i], proto, ports->items[i]->value);
}

static bool map_has_bad(const struct node *map)
{
	for (size_t i = 0; i < map->n; i++)
		if (map->items[i]->bad)
			return true;
	return false;
}

/* The host of a row as a pattern; false after an error. */
static bool row_host(struct compile *c, const struct node *row, const char *or_else,
		     const struct node **ret_at, struct name_pattern *ret)
{
	const struct node *host = row->kind == NODE_MAP ? node_at(row, "host") : NULL;
	const char *why;

	if (!host || host->bad) {
		if (!host && !row->bad && !map_has_bad(row))
			fault(c, row, "a row needs a host%s", or_else);
		return false;
	}
	*ret_at = host;
	why = name_pattern_parse(host->text, ret);
	if (why)
		fault(c, host, "host \"%.80s\" %s", host->text, why);
	return !why;
}

struct wildcard_budget row_budget(const struct node *row)
{
	return (struct wildcard_budget){
		(uint32_t)schema_number(SCHEMA_PROFILE, row, NETWORK "allow[].",
					"wildcard_budget.names_per_minute"),
		(uint32_t)schema_number(SCHEMA_PROFILE, row, NETWORK "allow[].",
					"wildcard_budget.label_bytes_per_hour"),
	};
}

static void rule_budget(struct compile *c, struct rule *r, bool first, const struct node *row,
			const struct node *host)
{
	const struct node *at = node_at(row, "wildcard_budget");
	struct wildcard_budget b = row_budget(row);

	if (r->kind == PATTERN_EXACT && at && !at->bad)
		fault(c, at, "wildcard_budget is of wildcards, and \"%.80s\" is one name", r->base);
	if (r->kind == PATTERN_EXACT)
		return;
	if (first)
		r->budget = b;
	else if (r->budget.names_per_minute != b.names_per_minute ||
		 r->budget.label_bytes_per_hour != b.label_bytes_per_hour)
		fault(c, host,
		      "wildcard_budget differs from the row of the same host on line %zu; a rule "
		      "has one",
		      r->line);
}

static void allow_row(struct compile *c, const struct node *row)
{
	bool private_ok = schema_number(SCHEMA_PROFILE, row, NETWORK "allow[].", "private");
	struct name_pattern pattern;
	const struct node *host;
	const struct node *cidr = row->kind == NODE_MAP ? node_at(row, "cidr") : NULL;
	struct rule *r;
	bool first;

	if (cidr)
		compile_range(c, row, cidr);
	if (cidr || !row_host(c, row, " or a cidr", &host, &pattern))
		return;
	first = !rule_index_get(&c->p->index, RULE_ALLOW, &pattern);
	r = rule_for(c, RULE_ALLOW, &pattern, "network.allow", host);
	if (!r)
		return;
	if (first)
		r->private_ok = private_ok;
	else if (r->private_ok != private_ok)
		fault(c, host,
		      "private differs from the row of the same host on line %zu; a name has one "
		      "set "
		      "of addresses",
		      r->line);
	rule_budget(c, r, first, row, host);
	r->resolver |= schema_number(SCHEMA_PROFILE, row, NETWORK "allow[].", "resolver") != 0;
	row_ports(c, r, row, host);
	compile_http_row(c, r, row);
}

static void deny_row(struct compile *c, const struct node *row)
{
	struct name_pattern pattern;
	const struct node *host, *cidr = row->kind == NODE_MAP ? node_at(row, "cidr") : NULL;

	if (cidr && !cidr->bad)
		fault(c, cidr,
		      "only rows of allow may have a cidr: addresses that no row allows are "
		      "denied; allow ranges that do without these");
	else if (!cidr && row_host(c, row, "", &host, &pattern))
		rule_for(c, RULE_DENY, &pattern, "network.deny", host);
}

void compile_each(struct compile *c, const char *path,
		  void (*fn)(struct compile *, const struct node *))
{
	const struct node *list = node_at(c->root, path);

	for (size_t i = 0; list && !list->bad && i < list->n; i++)
		fn(c, list->items[i]);
}

static void limits_section(struct compile *c)
{
	struct policy_limits *l = &c->p->limits;
	const struct {
		const char *key;
		uint32_t *to;
	} numbers[] = {
		{ LIMITS "connections", &l->connections },
		{ LIMITS "new_connections_per_second", &l->new_connections_per_second },
		{ LIMITS "dns_queries_per_second", &l->dns_queries_per_second },
		{ LIMITS "names", &l->names },
		{ LIMITS "git_transfers", &l->git_transfers },
		{ LIMITS "upgrades", &l->upgrades },
		{ LIMITS "audit_lines_per_second", &l->audit_lines_per_second },
	};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		*numbers[i].to =
			(uint32_t)schema_number(SCHEMA_PROFILE, c->root, "", numbers[i].key);
	l->request_bytes = schema_number(SCHEMA_PROFILE, c->root, "", LIMITS "request_bytes");
}

static int rule_order(const void *va, const void *vb)
{
	const struct rule *a = *(struct rule *const *)va, *b = *(struct rule *const *)vb;
	int c = (int)b->verdict - (int)a->verdict;

	c = c ? c : strcmp(a->base, b->base);
	return c ? c : (int)a->kind - (int)b->kind;
}

/* Grants by protocol, then port; protocols move with them. Few: insertion sort. */
static void rule_sort_grants(struct rule *r)
{
	for (size_t i = 1; i < r->n_grants; i++) {
		for (size_t j = i; j; j--) {
			struct grant g = r->grants[j];
			enum protocol p = r->protocols[j];

			if (r->protocols[j - 1] < p ||
			    (r->protocols[j - 1] == p && r->grants[j - 1].port < g.port))
				break;
			r->grants[j] = r->grants[j - 1];
			r->protocols[j] = r->protocols[j - 1];
			r->grants[j - 1] = g;
			r->protocols[j - 1] = p;
		}
	}
}

static int compile_tree(struct compile *c)
{
	struct policy *p = c->p;

	compile_each(c, NETWORK "allow", allow_row);
	compile_each(c, NETWORK "deny", deny_row);
	compile_http(c);
	compile_git(c);
	limits_section(c);
	compile_checks(c);
	if (p->n_rules)
		qsort(p->rules, p->n_rules, sizeof(*p->rules), rule_order);
	for (size_t i = 0; i < p->n_rules; i++)
		rule_sort_grants(p->rules[i]);
	compile_ranges_settle(p);
	if (c->no_memory || rule_index_mark_ancestors(&p->index, p->rules, p->n_rules))
		return -ENOMEM;
	return policy_write_canonical(p, c->root);
}

int policy_compile(const char *name, const char *file, const char *text, size_t n,
		   const struct policy_site *site, struct diag *d, struct policy **ret)
{
	static const struct policy_site no_site;
	size_t errors = diag_errors(d);
	AUTO(policy) struct policy *p = calloc(1, sizeof(*p));
	AUTO(node) struct node *root = NULL;
	struct compile c = { .file = file, .d = d, .site = site ? site : &no_site, .p = p };
	int err;

	if (!p)
		return -ENOMEM;
	atomic_init(&p->refs, 1);
	p->name = strdup(name);
	if (!p->name)
		return -ENOMEM;
	if (n > POLICY_TEXT_MAX) {
		diag_error(d, file, 0, 0, "larger than %d bytes", POLICY_TEXT_MAX);
		return -EINVAL;
	}
	err = doc_parse(file, text, n, d, &root);
	if (err)
		return err;
	schema_check(SCHEMA_PROFILE, file, root, d);
	c.root = root;
	err = compile_tree(&c);
	if (!err && diag_errors(d) != errors)
		err = -EINVAL;
	if (!err)
		*ret = STEAL(p);
	return err;
}

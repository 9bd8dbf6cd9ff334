/*
 * ranges.c - addresses that are granted without a name: rows with `cidr`
 *
 * Theory of operation: the one way to grant an address. There is no name, so nothing is inspected,
 * nothing is resolved, and what a row says about names is an error. Each port of a row becomes one
 * range, which the kernel holds as an interval; an interval map takes no two that overlap under one
 * key, so of each protocol and port the wider range swallows those inside it (two prefixes are
 * disjoint, or one holds the other). What swallowed is what remains in the canonical form.
 * Invariants: no range holds, or lies in, an address that a name could never have been resolved to
 * except private ones: the host's own, metadata services, loopback, link-local, multicast,
 * synthetic and sandboxes' addresses. The host may get another address later: the ruleset looks.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "policy/compile.h"

#define ROW "sandbox.network.allow[]."

const struct policy_range *policy_ranges(const struct policy *p, size_t *ret_n)
{
	*ret_n = p->n_ranges;
	return p->ranges;
}

void policy_decide_address(const struct policy *p, const struct addr *a, uint8_t proto,
			   uint16_t port, struct address_decision *ret)
{
	*ret = (struct address_decision){ .reason = REASON_ADDRESS_NOT_GRANTED, .rule = "default" };
	for (size_t i = 0; i < p->n_ranges; i++) {
		const struct policy_range *r = &p->ranges[i];

		if (r->proto == proto && r->port == port && prefix_has(&r->prefix, a))
			*ret = (struct address_decision){ .allowed = true, .rule = r->rule };
	}
}

/* ---- order ---- */

static int prefix_order(const struct prefix *a, const struct prefix *b)
{
	int c = (int)a->addr.family - (int)b->addr.family;

	c = c ? c : memcmp(a->addr.b, b->addr.b, sizeof(a->addr.b));
	return c ? c : (int)a->bits - (int)b->bits;
}

static int service_order(const struct policy_range *a, const struct policy_range *b)
{
	int c = (int)a->proto - (int)b->proto;

	return c ? c : (int)a->port - (int)b->port;
}

static int by_prefix(const void *va, const void *vb)
{
	const struct policy_range *a = va, *b = vb;
	int c = prefix_order(&a->prefix, &b->prefix);

	return c ? c : service_order(a, b);
}

static int by_service(const void *va, const void *vb)
{
	const struct policy_range *a = va, *b = vb;
	int c = service_order(a, b);

	return c ? c : prefix_order(&a->prefix, &b->prefix);
}

bool range_same_row(const struct policy_range *a, const struct policy_range *b)
{
	return a->proto == b->proto && !prefix_order(&a->prefix, &b->prefix);
}

/* By protocol, port and prefix, what a range holds comes right after it. */
void compile_ranges_settle(struct policy *p)
{
	size_t kept = 0;

	if (!p->n_ranges)
		return;
	qsort(p->ranges, p->n_ranges, sizeof(*p->ranges), by_service);
	for (size_t i = 1; i < p->n_ranges; i++) {
		const struct policy_range *r = &p->ranges[i], *last = &p->ranges[kept];

		if (service_order(last, r) || !prefix_overlap(&last->prefix, &r->prefix))
			p->ranges[++kept] = *r;
	}
	p->n_ranges = kept + 1;
	qsort(p->ranges, p->n_ranges, sizeof(*p->ranges), by_prefix);
}

/* ---- rows ---- */

static void range_add(struct compile *c, const struct node *at, const struct prefix *prefix,
		      uint8_t proto, uint16_t port)
{
	struct policy *p = c->p;
	struct policy_range r = { *prefix, proto, port, "" };
	struct policy_range *more;
	char text[ADDR_TEXT_MAX];

	if (p->n_ranges == POLICY_RANGES_MAX) {
		fault(c, at, "more than %d ranges (each port of a cidr is one)", POLICY_RANGES_MAX);
		return;
	}
	more = reallocarray(p->ranges, p->n_ranges + 1, sizeof(*more));
	c->no_memory |= !more;
	if (!more)
		return;
	prefix_format(prefix, text);
	snprintf(r.rule, sizeof(r.rule), "network.allow: %s", text);
	p->ranges = more;
	p->ranges[p->n_ranges++] = r;
}

static void row_port(struct compile *c, const struct node *at, const struct prefix *prefix,
		     uint8_t proto)
{
	uint16_t port = (uint16_t)at->value;

	if (at->bad || !compile_port(c, at, proto, port))
		return;
	if (proto == IPPROTO_TCP && (port == 443 || port == 80))
		caution(c, at,
			"port %u of a cidr is not inspected: whatever names these addresses serve "
			"can be reached",
			port);
	range_add(c, at, prefix, proto, port);
}

/* 0 after an error. */
static uint8_t row_proto(struct compile *c, const struct node *row)
{
	static const struct {
		const char *text;
		uint8_t proto;
	} protos[] = { { "tcp", IPPROTO_TCP }, { "ssh", IPPROTO_TCP }, { "udp", IPPROTO_UDP } };
	const struct node *at = node_at(row, "protocol");

	if (!at)
		return IPPROTO_TCP;
	for (size_t i = 0; !at->bad && i < ARRAY_SIZE(protos); i++)
		if (!strcmp(at->text, protos[i].text))
			return protos[i].proto;
	if (!at->bad)
		fault(c, at,
		      "protocol %s compares names, and a cidr has none: grant the host, or "
		      "protocol tcp, which is not inspected",
		      at->text);
	return 0;
}

static bool row_prefix(struct compile *c, const struct node *cidr, struct prefix *ret)
{
	struct prefix part;
	char text[ADDR_TEXT_MAX];
	const char *what;

	if (!prefix_parse(cidr->text, ret))
		return false; /* schema_check() said so */
	what = address_forbids(ret, &c->site->addresses, &part);
	if (!what)
		return true;
	prefix_format(&part, text);
	fault(c, cidr, "cidr %s %s %s (%s), which no row can grant", cidr->text,
	      part.bits > ret->bits ? "contains" : "is in", text, what);
	return false;
}

/* What a row says beside its addresses. */
static void row_keys(struct compile *c, const struct node *row, const struct node *cidr)
{
	static const char *const of_names[] = { "private",   "resolver", "wildcard_budget",
						"dns_types", "http",	 "credential" };

	if (node_at(row, "host"))
		fault(c, cidr, "a row has a host or a cidr, not both");
	for (size_t i = 0; i < ARRAY_SIZE(of_names); i++) {
		const struct node *at = node_at(row, of_names[i]);

		if (at && !at->bad)
			fault(c, at, "%s is said of names; a row with a cidr has none",
			      of_names[i]);
	}
}

void compile_range(struct compile *c, const struct node *row, const struct node *cidr)
{
	const struct node *ports = node_at(row, "ports");
	uint8_t proto = row_proto(c, row);
	struct prefix prefix;

	row_keys(c, row, cidr);
	if (!ports)
		fault(c, cidr, "a cidr needs ports");
	else if (!ports->bad && !ports->n)
		fault(c, ports, "ports is empty; name some, or drop the row");
	if (cidr->bad || !row_prefix(c, cidr, &prefix) || !proto || !ports || ports->bad)
		return;
	for (size_t i = 0; i < ports->n; i++)
		row_port(c, ports->items[i], &prefix, proto);
}

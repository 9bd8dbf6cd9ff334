/*
 * profile_http.c - compile what rows of network.allow say of requests: http, credential
 *
 * Theory of operation: rules about requests belong to a host pattern, as its addresses do, whichever row
 * wrote them; rows of one pattern add up. A pattern that has any is terminated: its port 443 goes to the
 * proxy instead of the inspector, for which the CA must be allowed to sign. Plain HTTP (protocol http) is
 * read by the proxy anyway. A host without rules may be asked anything. A credential is the pattern's, too:
 * since rules add up, a row without it would quietly get it, so all rows must name the same one; and since
 * requests of such a host never go out without it, nor it in the clear, the host has no port 80.
 */
#include <stdlib.h>
#include <string.h>

#include "policy/compile.h"

#define ALLOW "sandbox.network.allow[]."

enum { PORT_TLS = 443, PORT_HTTP = 80, HTTP_RULES_MAX = 256 };

void compile_ca_covers(struct compile *c, const struct node *at, const char *base)
{
	const struct policy_site *site = c->site;

	for (size_t i = 0; i < site->n_ca_names; i++)
		if (name_is_below(base, site->ca_names[i]))
			return;
	if (site->ca_names)
		fault(c, at,
		      "%s is not among the names of the CA (ca.names), so its TLS cannot be terminated; "
		      "add it there, then: cordon ca renew",
		      base);
}

/* The methods of a rule: GET and HEAD when it names none. */
static uint32_t rule_methods(struct compile *c, const struct node *row)
{
	const struct node *list = node_at(row, "methods");
	uint32_t all = 0;

	if (!list)
		return http_method_bit(rd_str("GET")) | http_method_bit(rd_str("HEAD"));
	if (!list->n)
		fault(c, list, "methods is empty; leave it out for GET and HEAD, or drop the row");
	for (size_t i = 0; i < list->n; i++) {
		const struct node *at = list->items[i];
		uint32_t bit = at->bad ? 0 : http_method_bit(rd_str(at->text));

		if (!at->bad && !bit)
			fault(c, at, "method \"%.40s\" is none of GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE",
			      at->text);
		all |= bit;
	}
	return all;
}

static void http_rule(struct compile *c, struct rule *r, const struct node *row)
{
	const struct node *at = node_at(row, "path");
	struct http_rule rule = { .path = (char *)"/**" };	/* copied */
	const char *wrong;

	if (row->bad || row->kind != NODE_MAP || (at && at->bad))
		return;
	rule.methods = rule_methods(c, row);
	rule.upgrade = schema_number(SCHEMA_PROFILE, row, ALLOW "http[].", "upgrade");
	if (rule.upgrade && !(rule.methods & http_method_bit(rd_str("GET"))))
		fault(c, row, "an upgrade is asked for with GET, which is not among the methods");
	if (at)
		rule.path = at->text;
	wrong = http_pattern_wrong(rule.path);
	if (wrong)
		fault(c, at, "path \"%.80s\" %s", rule.path, wrong);
	else if (r->http.n >= HTTP_RULES_MAX)
		fault(c, row, "more than %d rules of requests for %s", HTTP_RULES_MAX, r->base);
	else
		c->no_memory |= http_rules_add(&r->http, &rule) != 0;
}

static bool site_has_credential(const struct policy_site *site, const char *name)
{
	for (size_t i = 0; site->credentials && i < site->n_credentials; i++)
		if (!strcmp(site->credentials[i], name))
			return true;
	return !site->credentials;
}

static bool same_credential(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static void credential(struct compile *c, struct rule *r, const struct node *at)
{
	if (!site_has_credential(c->site, at->text))
		fault(c, at, "there is no credential \"%s\" with a header in the host configuration", at->text);
	free(r->credential);
	r->credential = strdup(at->text);
	c->no_memory |= !r->credential;
}

void compile_http_row(struct compile *c, struct rule *r, const struct node *row)
{
	const struct node *http = node_at(row, "http"), *cred = node_at(row, "credential");
	bool first = !r->http.n && !r->credential;

	if ((cred && cred->bad) || (!http && !cred))
		return;
	if (http && !http->bad && !http->n)
		fault(c, http, "http is empty, which would refuse every request; drop the row instead");
	for (size_t i = 0; http && !http->bad && i < http->n; i++)
		http_rule(c, r, http->items[i]);
	if (!first && !same_credential(r->credential, cred ? cred->text : NULL))
		fault(c, cred ? cred : row,
		      "credential differs from the row of the same host on line %zu; its rules add up, so all "
		      "rows have one",
		      r->line);
	else if (cred)
		credential(c, r, cred);
}

/* A row as a place for messages. */
static struct node place_of(const struct rule *r)
{
	return (struct node){ .line = r->line, .column = r->column };
}

static void terminate(struct compile *c, struct rule *r)
{
	struct node at = place_of(r);
	bool any = false;

	for (size_t i = 0; i < r->n_grants; i++) {
		struct grant *g = &r->grants[i];

		any |= g->action == GRANT_PROXY;
		if (r->protocols[i] == PROTOCOL_HTTP && r->credential)
			fault(c, &at,
			      "the credential %s is never sent over plain http: do not grant port %u of %s",
			      r->credential, g->port, r->base);
		if (r->protocols[i] != PROTOCOL_TLS)
			continue;
		if (g->port != PORT_TLS)
			fault(c, &at, "requests can be checked on port 443 only: give port %u of %s a row with "
			      "protocol tcp, or leave it out", g->port, r->base);
		g->action = GRANT_PROXY;
		any = true;
		compile_ca_covers(c, &at, r->base);
	}
	if (!any)
		fault(c, &at, "%s has rules of requests or a credential, but neither tls nor http is granted",
		      r->base);
	if (r->credential && r->kind != PATTERN_EXACT)
		caution(c, &at, "whoever serves a name below %s is told the credential %s", r->base,
			r->credential);
	/* What comes back is searched for the secret; of a tunnel that cannot be said. */
	for (size_t i = 0; r->credential && i < r->http.n; i++)
		if (r->http.rule[i].upgrade)
			fault(c, &at, "%s has a credential, so its connections cannot be upgraded",
			      r->base);
}

void compile_http(struct compile *c)
{
	for (size_t i = 0; i < c->p->n_rules; i++) {
		struct rule *r = c->p->rules[i];

		if (r->verdict != RULE_ALLOW || r->git || (!r->http.n && !r->credential))
			continue;
		http_rules_sort(&r->http);
		terminate(c, r);
	}
}

/*
 * report.c - what cordon-dns writes to the audit log
 *
 * Theory of operation: the key of a refusal is (sandbox, name, reason), so that the A and the AAAA
 * query which every client sends for one name are one line and a count. Where a rule's budget is
 * over, the rule takes the name's place, since the sandbox can make up names without end. A
 * malformed query has no name that could be trusted; the resolver it was meant for and what was
 * wrong take the name's place. Peer bytes go through audit_rd() only.
 */
#include "dns/report.h"

#include <stdio.h>

enum { REPORT_RULE = 32 };	/* what a rule has around its pattern, and more */

static void put_client(struct audit_line *l, const struct client *c)
{
	char text[ADDR_TEXT_MAX];

	addr_format(&c->guest, text);
	audit_str(l, "saddr", text);
	addr_format(&c->asked, text);
	audit_str(l, "daddr", text);
	audit_str(l, "proto", c->kind == CLIENT_TCP ? "tcp" : "udp");
	audit_u64(l, "port", PORT_DNS);
}

static void put_question(struct audit_line *l, const struct query *q)
{
	char type[12];

	audit_rd(l, "name", rd_of(q->name, q->name_n));
	audit_str(l, "qtype", message_type_text(q->qtype, type));
}

/* Nothing of a peer but the name, which comes last: no field can pretend to be another. */
static void make_key(const struct report *r, char *out, size_t cap)
{
	char who[ADDR_TEXT_MAX] = "", whom[ADDR_TEXT_MAX] = "";
	const char *name = r->query && r->query->question_n ? r->query->name : "";

	if (!r->sandbox && r->client)
		addr_format(&r->client->guest, who);
	if (r->detail && r->client)
		addr_format(&r->client->asked, whom);
	if (r->detail)
		name = r->detail;
	if (r->any_name)
		name = r->rule;
	if (r->many) {
		whom[0] = 0;
		name = "*";
	}
	snprintf(out, cap, "%s|%s|%s|%s", r->sandbox ? r->sandbox->name : who,
		 reason_text(r->reason), whom, name);
}

bool report_refusal(struct audit *a, const struct report *r)
{
	const struct view_sandbox *s = r->sandbox;
	struct audit_head head = {
		.event = "dns",
		.sandbox = s ? s->name : "",
		.profile = s ? policy_name(s->policy) : "",
		.decision = "deny",
		.reason = reason_text(r->reason),
		.rule = r->rule ? r->rule : "",
		.policy = s ? policy_sha256(s->policy) : "",
	};
	char key[REPORT_RULE + MSG_NAME + 2 * MSG_LABEL + 2 * ADDR_TEXT_MAX];
	struct audit_line l;

	make_key(r, key, sizeof(key));
	audit_begin(&l, &head);
	if (r->many || r->any_name)
		audit_str(&l, "name", "*");
	else if (r->query && r->query->question_n)
		put_question(&l, r->query);
	if (r->client)
		put_client(&l, r->client);
	if (r->detail)
		audit_str(&l, "detail", r->detail);
	return !audit_aggregate(a, key, &l);
}

void report_daemon(struct audit *a, const char *what)
{
	struct audit_head head = { .event = "daemon" };
	struct audit_line l;

	audit_begin(&l, &head);
	audit_str(&l, "what", what);
	audit_put(a, &l);
}

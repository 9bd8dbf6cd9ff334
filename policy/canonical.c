/*
 * canonical.c - print a compiled profile as the one text that stands for it
 *
 * Theory of operation: every key of the schema in the order of the table, defaults written out,
 * names and repositories canonical, rows sorted and merged, ports sorted. Compiling the text gives
 * the same rules, hence the same text: tests and the fuzzer hold it to that. Keys that are not
 * supported yet cannot have a value and are left out. The hash covers the text alone, neither
 * comments nor file name.
 */
#include "policy/compiled.h"

#include <errno.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "policy/doc.h"
#include "policy/schema.h"

#define PUSH "sandbox.git.push."

static void print_budget(FILE *to, const struct rule *r)
{
	struct wildcard_budget b = row_budget(NULL);

	if (r->kind == PATTERN_EXACT || !memcmp(&b, &r->budget, sizeof(b)))
		return;
	fprintf(to, ", wildcard_budget: {names_per_minute: %u, label_bytes_per_hour: %u}",
		r->budget.names_per_minute, r->budget.label_bytes_per_hour);
}

static void print_methods(FILE *to, uint32_t methods)
{
	const char *between = "";

	for (size_t i = 0; http_method_name(i); i++)
		if (methods & 1u << i) {
			fprintf(to, "%s%s", between, http_method_name(i));
			between = ", ";
		}
}

/* With every row that the proxy reads, so that each compiles to the same alone. */
static void print_http(FILE *to, const struct rule *r)
{
	for (size_t i = 0; i < r->http.n; i++) {
		fputs(i ? ", " : ", http: [", to);
		fputs("{methods: [", to);
		print_methods(to, r->http.rule[i].methods);
		fprintf(to, "], path: \"%s\", upgrade: %s}", r->http.rule[i].path,
			r->http.rule[i].upgrade ? "true" : "false");
	}
	fputs(r->http.n ? "]" : "", to);
	if (r->credential)
		fprintf(to, ", credential: %s", r->credential);
}

/* Rows of one rule: one for each protocol. */
static void print_rule(FILE *to, const struct rule *r)
{
	for (size_t i = 0, j; i < r->n_grants; i = j) {
		fprintf(to, "      - {host: \"%s\", ports: [", rule_host(r));
		for (j = i; j < r->n_grants && r->protocols[j] == r->protocols[i]; j++)
			fprintf(to, "%s%u", j > i ? ", " : "", r->grants[j].port);
		fprintf(to, "], protocol: %s%s%s", protocol_text(r->protocols[i]),
			r->private_ok ? ", private: true" : "",
			r->resolver ? ", resolver: true" : "");
		print_budget(to, r);
		if (r->grants[i].action == GRANT_PROXY)
			print_http(to, r);
		fputs("}\n", to);
	}
}

/* Rows of ranges: one for each prefix and protocol. */
static void print_ranges(FILE *to, const struct policy *p)
{
	for (size_t i = 0, j; i < p->n_ranges; i = j) {
		const struct policy_range *r = &p->ranges[i];
		char prefix[ADDR_TEXT_MAX];

		prefix_format(&r->prefix, prefix);
		fprintf(to, "      - {cidr: \"%s\", ports: [", prefix);
		for (j = i; j < p->n_ranges && range_same_row(r, &p->ranges[j]); j++)
			fprintf(to, "%s%u", j > i ? ", " : "", p->ranges[j].port);
		fprintf(to, "], protocol: %s}\n", r->proto == IPPROTO_UDP ? "udp" : "tcp");
	}
}

static void print_rules(FILE *to, const struct policy *p, enum verdict v)
{
	size_t n = v == RULE_ALLOW ? p->n_ranges : 0;

	for (size_t i = 0; i < p->n_rules; i++)
		n += p->rules[i]->verdict == v && !p->rules[i]->git;
	fputs(n ? "\n" : " []\n", to);
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct rule *r = p->rules[i];

		if (r->verdict != v || r->git)
			continue;
		if (v == RULE_ALLOW)
			print_rule(to, r);
		else
			fprintf(to, "      - {host: \"%s\"}\n", rule_host(r));
	}
}

static void print_allow(FILE *to, const struct policy *p)
{
	print_rules(to, p, RULE_ALLOW);
	print_ranges(to, p);
}
static void print_deny(FILE *to, const struct policy *p)
{
	print_rules(to, p, RULE_DENY);
}

static void print_hosts(FILE *to, const struct policy *p)
{
	fputs(" [", to);
	for (size_t i = 0; i < p->n_git_hosts; i++)
		fprintf(to, "%s\"%s\"", i ? ", " : "", p->git_hosts[i]);
	fputs("]\n", to);
}

static void print_repos(FILE *to, const struct repo_set *s)
{
	fputs(s->n ? "\n" : " []\n", to);
	for (size_t i = 0; i < s->n; i++)
		fprintf(to, "      - \"%s%s%s\"\n", s->rules[i].host ? s->rules[i].host : "",
			s->rules[i].host ? "/" : "", s->rules[i].spelled);
}

static void print_allowed_repos(FILE *to, const struct policy *p)
{
	print_repos(to, &p->allowed_repos);
}
static void print_denied_repos(FILE *to, const struct policy *p)
{
	print_repos(to, &p->denied_repos);
}

static void print_push_repos(FILE *to, const struct policy *p)
{
	print_repos(to, &p->push_repos);
}

/* Of what has a meaning between quotes a pattern can have one. */
static void print_patterns(FILE *to, const char (*patterns)[PUSH_PATTERN_MAX], uint32_t n)
{
	fputs(n ? "\n" : " []\n", to);
	for (uint32_t i = 0; i < n; i++) {
		fputs("        - \"", to);
		for (const char *at = patterns[i]; *at; at++)
			fprintf(to, "%s%c", *at == '"' ? "\\" : "", *at);
		fputs("\"\n", to);
	}
}

static void print_push_refs(FILE *to, const struct policy *p)
{
	print_patterns(to, p->push->refs, p->push->n_refs);
}

static void print_push_paths(FILE *to, const struct policy *p)
{
	print_patterns(to, p->push->denied, p->push->n_denied);
}

/* Lists are printed from what was compiled, everything else from the tree. */
static const struct {
	const char *path;
	void (*print)(FILE *to, const struct policy *p);
} lists[] = {
	{ "sandbox.network.allow[]", print_allow },
	{ "sandbox.network.deny[]", print_deny },
	{ "sandbox.git.allowed_hosts[]", print_hosts },
	{ "sandbox.git.allowed_repos[]", print_allowed_repos },
	{ "sandbox.git.denied_repos[]", print_denied_repos },
	{ PUSH "allowed_repos[]", print_push_repos },
	{ PUSH "refs[]", print_push_refs },
	{ PUSH "denied_paths[]", print_push_paths },
};

static bool print_list(FILE *to, const struct policy *p, const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		if (strcmp(lists[i].path, path))
			continue;
		lists[i].print(to, p);
		return true;
	}
	return false;
}

static void print_value(FILE *to, const struct schema_row *row, const struct node *root)
{
	char number[32];

	if (row->type == SCHEMA_MAP) {
		fputc('\n', to);
	} else if (row->type == SCHEMA_WORD) {
		fprintf(to, " %s\n", schema_text(SCHEMA_PROFILE, root, "", row->path));
	} else {
		schema_format(row, schema_number(SCHEMA_PROFILE, root, "", row->path), number);
		fprintf(to, " %s\n", number);
	}
}

/* A row is printed unless it is inside a list's rows, not supported, or an absent allowed_repos or push. */
static bool row_is_printed(const struct schema_row *row, const struct policy *p)
{
	if (row->doc != SCHEMA_PROFILE || row->unsupported || strstr(row->path, "[]."))
		return false;
	if (!p->push && !strncmp(row->path, PUSH, strlen(PUSH) - 1))
		return false;
	return !p->all_repos || strcmp(row->path, "sandbox.git.allowed_repos[]");
}

static void print_profile(FILE *to, const struct policy *p, const struct node *root)
{
	for (size_t i = 0; i < schema_rows_n; i++) {
		const struct schema_row *row = &schema_rows[i];
		const char *key = strrchr(row->path, '.');

		if (!row_is_printed(row, p))
			continue;
		for (const char *at = row->path; *at; at++)
			if (*at == '.')
				fputs("  ", to);
		key = key ? key + 1 : row->path;
		fprintf(to, "%.*s:", (int)strcspn(key, "["), key);
		if (!print_list(to, p, row->path))
			print_value(to, row, root);
	}
}

static int sha256_hex(const char *text, size_t n, char out[65])
{
	uint8_t sum[32];

	if (!EVP_Digest(text, n, sum, NULL, EVP_sha256(), NULL))
		return -ENOMEM;
	bytes_hex(sum, sizeof(sum), out);
	return 0;
}

int policy_write_canonical(struct policy *p, const struct node *root)
{
	FILE *to = open_memstream(&p->canonical, &p->n_canonical);
	bool failed;

	if (!to)
		return -ENOMEM;
	print_profile(to, p, root);
	failed = ferror(to);
	if (fclose(to) || failed)
		return -ENOMEM;
	return sha256_hex(p->canonical, p->n_canonical, p->sha256);
}

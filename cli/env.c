/*
 * env.c - cordon env: the git environment of the explicit route
 *
 * Theory of operation: netd makes a scope token for the sandbox and tells which git hosts its
 * profile has. What is printed are variables that make git rewrite those hosts' URLs
 * (GIT_CONFIG_COUNT and its like, git-config(1)), one NAME=value a line, without quotes: no value
 * holds a byte that a shell or an env file would take for anything. The gateway's address is that
 * of the sandbox's interface, which is this host's end of its link.
 * The output holds the token: it is for the sandbox, not for logs.
 */
#include <ifaddrs.h>
#include <jansson.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/client.h"
#include "policy/address.h"

enum { TTL_DIGITS_MAX = 9, BASE_MAX = 512 };
#define TTL_DEFAULT "24h"

struct env_values {
	const char *sandbox, *ttl;
	bool tls;
};

static const struct option_row env_options[] = {
	{ "sandbox", 's', OPTION_TEXT, offsetof(struct env_values, sandbox), "S",
	  "whose environment (required)" },
	{ "ttl", 0, OPTION_TEXT, offsetof(struct env_values, ttl), "24h",
	  "how long it is good: 30s, 10m, 24h, 7d" },
	{ "tls", 0, OPTION_FLAG, offsetof(struct env_values, tls), NULL,
	  "https://" CORDON_INTERNAL "/ instead of the gateway's address: the client verifies it" },
};

static bool ttl_parse(const char *text, uint64_t *ret_ms)
{
	static const struct { char unit; uint32_t seconds; } units[] = {
		{ 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 },
	};
	size_t digits = strspn(text, "0123456789");
	uint64_t v = 0;

	if (!digits || digits > TTL_DIGITS_MAX || !text[digits] || text[digits + 1])
		return false;
	for (size_t i = 0; i < digits; i++)
		v = v * 10 + (uint64_t)(text[i] - '0');
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (units[i].unit == text[digits])
			*ret_ms = v * units[i].seconds * 1000;
	return v && strchr("smhd", text[digits]);
}

/* An address of the interface, IPv4 first, never a link-local one. False: it has none. */
static bool gateway_of(const char *interface, struct addr *ret)
{
	struct ifaddrs *all = NULL;

	*ret = (struct addr){ 0 };
	if (getifaddrs(&all) < 0)
		return false;
	for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
		struct sockaddr_storage ss = { 0 };
		struct addr a;
		uint16_t port;
		int family = i->ifa_addr ? i->ifa_addr->sa_family : 0;

		if (strcmp(i->ifa_name, interface) || (family != AF_INET && family != AF_INET6))
			continue;
		memcpy(&ss, i->ifa_addr,
		       family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
		if (!addr_from_sockaddr(&ss, &a, &port) ||
		    (a.family == 6 && a.b[0] == 0xfe && (a.b[1] & 0xc0) == 0x80))
			continue;
		if (!ret->family || (ret->family == 6 && a.family == 4))
			*ret = a;
	}
	freeifaddrs(all);
	return ret->family != 0;
}

/* What stands before the host in a rewritten URL. */
static int base_of(const struct env_values *v, json_t *got, char out[BASE_MAX])
{
	const char *token = json_string_value(json_object_get(got, "token"));
	const char *interface = json_string_value(json_object_get(got, "interface"));
	int port = (int)json_integer_value(json_object_get(got, "port"));
	char text[ADDR_TEXT_MAX];
	struct addr a;

	if (!token || !interface)
		return cli_fail("env: netd's answer is not understood: restart it");
	if (v->tls) {
		snprintf(out, BASE_MAX, "https://" CORDON_INTERNAL "/git/%s/", token);
		return EXIT_DONE;
	}
	if (!gateway_of(interface, &a))
		return cli_fail("env: %s has no address of this host: use --tls", interface);
	addr_format(&a, text);
	snprintf(out, BASE_MAX, a.family == 6 ? "http://[%s]:%d/git/%s/" : "http://%s:%d/git/%s/", text,
		 port, token);
	return EXIT_DONE;
}

/* Every way in which a host's repositories are usually written. */
static void print_all(const char *base, json_t *hosts)
{
	static const char *const forms[] = { "https://%s/", "http://%s/", "ssh://git@%s/", "git@%s:" };
	size_t i, n = 0;
	json_t *host;

	printf("GIT_CONFIG_COUNT=%zu\n", json_array_size(hosts) * ARRAY_SIZE(forms));
	json_array_foreach (hosts, i, host) {
		const char *name = json_string_value(host);

		for (size_t f = 0; f < ARRAY_SIZE(forms); f++, n++) {
			printf("GIT_CONFIG_KEY_%zu=url.%s%s/.insteadOf\n", n, base, name);
			printf("GIT_CONFIG_VALUE_%zu=", n);
			printf("%.*s%s%s\n", (int)strcspn(forms[f], "%"), forms[f], name,
			       strchr(forms[f], '%') + 2);
		}
	}
}

static int env_print(const struct cli *c, const struct env_values *v, const char *json)
{
	json_t *got = json ? json_loads(json, 0, NULL) : NULL;
	char base[BASE_MAX];
	int r = base_of(v, got, base);

	if (!r && c->json)
		json_dumpf(got, stdout, JSON_INDENT(2));
	if (!r && c->json)
		putchar('\n');
	else if (!r)
		print_all(base, json_object_get(got, "hosts"));
	OPENSSL_cleanse(base, sizeof(base));
	json_decref(got);
	return r;
}

static int env(const struct cli *c, const void *values, const struct args *a)
{
	const struct env_values *v = values;
	const char *ttl = v->ttl ? v->ttl : TTL_DEFAULT;
	AUTO(host_config) struct host_config *cfg = NULL;
	struct client_reply got = { 0 };
	struct msg_token m = { 0 };
	int r;

	(void)a;
	if (!v->sandbox)
		return cli_misuse("env: --sandbox is missing: cordon ls");
	if (!msg_text_set(m.name, sizeof(m.name), v->sandbox))
		return cli_misuse("env: %s: no such sandbox: cordon ls", v->sandbox);
	if (!ttl_parse(ttl, &m.ttl_ms))
		return cli_misuse("env: --ttl %s: give 30s, 10m, 24h or 7d", ttl);
	r = cli_config_light(c, &cfg);
	if (!r)
		r = client_ask(cfg, MSG_TOKEN, &m, &got);
	if (r)
		return r;
	r = env_print(c, v, got.json);
	client_reply_done(&got);
	return r;
}

const struct command command_env = {
	.name = "env",
	.usage = "--sandbox S [--ttl 24h] [--tls]",
	.line = "Print the git environment of the explicit route",
	.more = "For clients that are told where the gateway is, where git.explicit_route.port\n"
		"of the configuration is set. Each call makes a new token, good for this one\n"
		"sandbox, until its time is over, the sandbox is removed or cordon-netd ends;\n"
		"the ninth replaces the one that would end first. One NAME=value a line, as\n"
		"env files have it; --json prints token, port and hosts instead.",
	.examples = "  sudo cordon env --sandbox vm0 > vm0.env\n"
		    "  sudo cordon env --sandbox vm0 --ttl 1h --tls\n",
	.options = env_options,
	.n_options = ARRAY_SIZE(env_options),
	.run = env,
};

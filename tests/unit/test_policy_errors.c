/*
 * test_policy_errors.c - every error and warning of a profile, with the place it points to
 *
 * Each row is one text and all that the compiler has to say about it: "p:LINE:COLUMN: error: " and what the
 * text begins with, one line each, in order.
 */
#include "tests/unit/check.h"

#include "policy/policy.h"
#include "policy/reason.h"
#include "tests/unit/policy_fixture.h"

#define E(at) "p:" at ": error: "
#define WARN(at) "p:" at ": warning: "
#define ALLOW(row) NET "    allow:\n      - " row "\n"
#define GIT(keys) HEAD "  git: {enabled: true, allowed_hosts: [github.com], allowed_repos: [a/b]" keys "}\n"

struct row {
	const char *what, *text;
	size_t n;
	const char *want[4];
};

/* Does `said` consist of lines that begin with those of want, and no more? */
static bool said_all(const char *said, const char *const want[4])
{
	size_t i = 0, n;

	for (; *said; said += n + 1, i++) {
		n = strcspn(said, "\n");
		if (i == 4 || !want[i] || strncmp(said, want[i], strlen(want[i])))
			return false;
	}
	return i == 4 || !want[i];
}

static void check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		AUTO(mem) char *said = NULL;
		AUTO(policy) struct policy *p = fixture_compile(rows[i].text, rows[i].n, &said);

		if (!said_all(said, rows[i].want))
			CHECK_FAIL("%s: said\n%swant\n%s\n%s", rows[i].what, said, rows[i].want[0],
				   rows[i].want[1] ? rows[i].want[1] : "");
		CHECK_EQ(rows[i].what, p == NULL, strstr(said, ": error: ") != NULL);
	}
}

TEST(files)
{
	static const struct row rows[] = {
		{ "empty", W(""), { E("1:1") "the file is empty" } },
		{ "comment only", W("# nothing\n"), { E("1:1") "the file is empty" } },
		{ "null", W("---\n...\n"), { E("1:1") "the file is empty" } },
		{ "UTF-8 mark", W("\xef\xbb\xbfversion: 1\n"), { E("1:1") "byte order mark" } },
		{ "UTF-16", W("\xff\xfev\0"), { E("1:1") "byte order mark" } },
		{ "list", W("- version\n"), { E("1:1") "the file must be a mapping" } },
		{ "word", W("version\n"), { E("1:1") "the file must be a mapping" } },
		{ "tab indent", W("version: 1\nsandbox:\n\tnetwork: {}\n"), { E("3:1") "tab character" } },
		{ "tabs in two lines, and a key",
		  W("version: 1\t\nsandbox: {}\t\t# here\nvresion: 2\n"),
		  { E("1:11") "tab character", E("2:12") "tab character", E("3:1") "unknown key \"vresion\"" } },
		{ "two documents", W("version: 1\nsandbox: {}\n---\nversion: 1\n"),
		  { E("3:1") "a second document" } },
		{ "anchor and alias", W("version: 1\nsandbox: {network: &a {}, limits: *a}\n"),
		  { E("2:20") "anchors are not allowed", E("2:35") "aliases are not allowed" } },
		{ "tag", W("version: !!int 1\nsandbox: {}\n"), { E("1:10") "tags are not allowed" } },
		{ "merge key", W("version: 1\nsandbox:\n  <<: {}\n"), { E("3:3") "unknown key \"<<\"" } },
		{ "duplicate key", W("version: 1\nsandbox: {}\nversion: 1\n"),
		  { E("3:1") "duplicate key \"version\" (first on line 1)" } },
		{ "duplicate in flow", W("version: 1\nsandbox: {git: {}, git: {}}\n"),
		  { E("2:20") "duplicate key \"git\"" } },
		{ "key is a list", W("[a]: 1\n"), { E("1:1") "a key must be a word" } },
		{ "unclosed", W("version: 1\nsandbox: {\n"), { E("3:1") "not valid YAML" } },
		{ "bad UTF-8", W("version: 1\nsandbox: {} # \xff\n"),
		  { E("2:15") "not valid YAML: invalid leading UTF-8" } },
		{ "NUL in quotes", W("version: 1\nsandbox: {mode: \"enf\\0orce\"}\n"), { E("2:17") "NUL inside" } },
		{ "NUL byte", W("version: 1\n\0"), { E("2:1") "not valid YAML" } },
		{ "too deep", W("version: 1\nsandbox: [[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]\n"),
		  { E("2:25") "nested too deep" } },
	};

	check_rows(rows, ARRAY_SIZE(rows));
}

TEST(keys_and_types)
{
	static const struct row rows[] = {
		{ "no version", W("sandbox: {}\n"), { E("1:1") "version is missing" } },
		{ "no sandbox", W("version: 1\n"), { E("1:1") "sandbox is missing" } },
		{ "version 2", W("version: 2\nsandbox: {}\n"), { E("1:10") "version: must be 1" } },
		{ "version in quotes", W("version: '1'\nsandbox: {}\n"),
		  { E("1:10") "version: \"1\" is in quotes" } },
		{ "octal", W("version: 01\nsandbox: {}\n"), { E("1:10") "version: \"01\" is not a whole number" } },
		{ "unknown, no near one", W("version: 1\nsandbox: {quux: 1}\n"),
		  { E("2:11") "unknown key \"quux\" in sandbox" } },
		{ "did you mean", W("version: 1\nsandbox: {netwrok: {}}\n"),
		  { E("2:11") "unknown key \"netwrok\"; did you mean \"network\"?" } },
		{ "key at the wrong level", W("version: 1\nsandbox: {allow: []}\n"),
		  { E("2:11") "unknown key \"allow\"" } },
		{ "case counts", W("version: 1\nSandbox: {}\n"),
		  { E("1:1") "sandbox is missing", E("2:1") "unknown key \"Sandbox\"; did you mean" } },
		{ "no value", W("version: 1\nsandbox:\n"),
		  { E("2:9") "sandbox has no value; expected a mapping" } },
		{ "list for a mapping", W("version: 1\nsandbox: []\n"),
		  { E("2:10") "sandbox: expected a mapping, not a list" } },
		{ "word for a list", W(NET "    allow: pypi.org\n"),
		  { E("4:12") "sandbox.network.allow[]: \"pypi.org\" is not a list" } },
		{ "null for a list", W(HEAD "  git:\n    allowed_repos:\n"),
		  { E("4:19") "sandbox.git.allowed_repos[] has no value; expected a list ([] for an empty one)" } },
		{ "default allow", W(NET "    default: allow\n"),
		  { E("4:14") "sandbox.network.default: unknown value \"allow\"" } },
		{ "yes is no boolean", W(ALLOW("{host: a.example, private: yes}")),
		  { E("5:36") "sandbox.network.allow[].private: \"yes\" is not true or false" } },
		{ "quoted boolean", W(ALLOW("{host: a.example, private: 'true'}")),
		  { E("5:36") "sandbox.network.allow[].private: \"true\" is in quotes" } },
		{ "port 0", W(ALLOW("{host: a.example, ports: [0]}")),
		  { E("5:35") "sandbox.network.allow[].ports[]: 0 is outside 1 to 65535" } },
		{ "port 65536", W(ALLOW("{host: a.example, ports: [65536]}")),
		  { E("5:35") "sandbox.network.allow[].ports[]: 65536 is" } },
		{ "port of twenty digits", W(ALLOW("{host: a.example, ports: [18446744073709551617]}")),
		  { E("5:35") "sandbox.network.allow[].ports[]: \"18446744073709551617\" is not a whole" } },
		{ "negative", W(ALLOW("{host: a.example, ports: [-1]}")),
		  { E("5:35") "sandbox.network.allow[].ports[]: \"-1\" is not a whole" } },
		{ "a port alone", W(ALLOW("{host: a.example, ports: 443}")),
		  { E("5:34") "sandbox.network.allow[].ports[]: \"443\" is not a list" } },
		{ "wrong unit", W(HEAD "  limits: {request_bytes: 1MB}\n"),
		  { E("3:27") "sandbox.limits.request_bytes: \"1MB\" is not a size" } },
		{ "size too large", W(HEAD "  limits: {request_bytes: 99999999GiB}\n"),
		  { E("3:27") "sandbox.limits.request_bytes: 99999999GiB is outside 1KiB to 1GiB" } },
		{ "size overflows", W(HEAD "  limits: {request_bytes: 99999999999999999GiB}\n"),
		  { E("3:27") "sandbox.limits.request_bytes: " } },
		{ "limit 0", W(HEAD "  limits: {names: 0}\n"),
		  { E("3:19") "sandbox.limits.names: 0 is outside 1 to" } },
		{ "escape in a value", W(HEAD "  mode: \"\\e[31mred\"\n"),
		  { E("3:9") "sandbox.mode: unknown value \"?[31mred\"" } },
	};

	check_rows(rows, ARRAY_SIZE(rows));
}

TEST(requests)
{
	static const struct row rows[] = {
		{ "CA", W(ALLOW("{host: a.example, http: [{}]}")),
		  { E("5:16") "a.example is not among the names of the CA" } },
		{ "no rules", W(ALLOW("{host: git.x.example, http: []}")), { E("5:37") "http is empty" } },
		{ "no methods", W(ALLOW("{host: git.x.example, http: [{methods: []}]}")),
		  { E("5:48") "methods is empty" } },
		{ "lower case", W(ALLOW("{host: git.x.example, http: [{methods: [get]}]}")),
		  { E("5:49") "method \"get\" is none of GET, HEAD" } },
		{ "CONNECT", W(ALLOW("{host: git.x.example, http: [{methods: [CONNECT]}]}")),
		  { E("5:49") "method \"CONNECT\" is none of" } },
		{ "no slash", W(ALLOW("{host: git.x.example, http: [{path: v1}]}")),
		  { E("5:45") "path \"v1\" must begin with /" } },
		{ "dots", W(ALLOW("{host: git.x.example, http: [{path: /a/../b}]}")),
		  { E("5:45") "path \"/a/../b\" must begin with /" } },
		{ "stars inside", W(ALLOW("{host: git.x.example, http: [{path: /**/b}]}")),
		  { E("5:45") "path \"/**/b\" may have ** only at its end" } },
		{ "stars in a segment", W(ALLOW("{host: git.x.example, http: [{path: /a**}]}")),
		  { E("5:45") "path \"/a**\" may have ** only as a whole segment" } },
		{ "star inside", W(ALLOW("{host: git.x.example, http: [{path: /a*b}]}")),
		  { E("5:45") "path \"/a*b\" may have * only at the end of a segment" } },
		{ "stars behind an escape", W(ALLOW("{host: git.x.example, http: [{path: '/a%2f**'}]}")),
		  { E("5:45") "path \"/a%2f**\" may have ** only as a whole segment" } },
		{ "an escape at the end", W(ALLOW("{host: git.x.example, http: [{path: '/a%2f'}]}")),
		  { E("5:45") "path \"/a%2f\" must begin with /" } },
		{ "port", W(ALLOW("{host: git.x.example, ports: [8443], protocol: tls, http: [{}]}")),
		  { E("5:16") "requests can be checked on port 443 only" } },
		{ "not read at all", W(ALLOW("{host: git.x.example, ports: [22], http: [{}]}")),
		  { E("5:16") "git.x.example has rules of requests or a credential, but neither" } },
		{ "CA of a credential", W(ALLOW("{host: a.example, credential: api}")),
		  { E("5:16") "a.example is not among the names of the CA" } },
		{ "credential that is none", W(ALLOW("{host: git.x.example, credential: apo}")),
		  { E("5:43") "there is no credential \"apo\" with a header" } },
		{ "secret in the clear", W(ALLOW("{host: git.x.example, protocol: http, credential: api}")),
		  { E("5:16") "the credential api is never sent over plain http: do not grant port 80 of git.x.example" } },
		{ "secret in the clear, too", W(ALLOW("{host: git.x.example, credential: api}\n      - {host: git.x.example, ports: [80]}")),
		  { E("5:16") "the credential api is never sent over plain http: do not grant port 80 of" } },
		{ "secret unread", W(ALLOW("{host: git.x.example, ports: [5432], protocol: tcp, credential: api}")),
		  { E("5:16") "git.x.example has rules of requests or a credential, but" } },
		{ "two credentials", W(ALLOW("{host: git.x.example, credential: api}\n      - {host: git.x.example, credential: npm}")),
		  { E("6:43") "credential differs from the row of the same host on line 5" } },
		{ "one row with, one without", W(ALLOW("{host: git.x.example, http: [{path: /a}], credential: api}\n      - {host: git.x.example, http: [{path: /b}]}")),
		  { E("6:9") "credential differs from the row of the same host on line 5" } },
		{ "one row without, one with", W(ALLOW("{host: git.x.example, http: [{path: /a}]}\n      - {host: git.x.example, http: [{path: /b}], credential: api}")),
		  { E("6:63") "credential differs from the row of the same host on line 5" } },
		{ "a secret and a tunnel", W(ALLOW("{host: git.x.example, http: [{upgrade: true}], credential: api}")),
		  { E("5:16") "git.x.example has a credential, so its connections cannot be upgraded" } },
		{ "upgrade without GET", W(ALLOW("{host: git.x.example, http: [{methods: [POST], upgrade: true}]}")),
		  { E("5:38") "an upgrade is asked for with GET, which is not among the methods" } },
		{ "for whoever is below", W(ALLOW("{host: '*.git.x.example', credential: api}")),
		  { WARN("5:16") "whoever serves a name below git.x.example is told the credential api" } },
		{ "http elsewhere", W(ALLOW("{host: a.example, ports: [8080], protocol: http}")),
		  { E("5:35") "http is read on port 80 only" } },
	};

	check_rows(rows, ARRAY_SIZE(rows));
}

TEST(not_supported_yet)
{
	static const struct row rows[] = {
		{ "observe", W(HEAD "  mode: observe\n"),
		  { E("3:9") "sandbox.mode: \"observe\" is not supported yet" } },
		{ "quic", W(NET "    quic: inspect\n"),
		  { E("4:11") "sandbox.network.quic: \"inspect\" is not supported yet" } },
		{ "ech", W(NET "    ech: allow\n"),
		  { E("4:10") "sandbox.network.ech: \"allow\" is not supported yet" } },
		{ "echo", W(NET "    icmp_echo: true\n"),
		  { E("4:16") "sandbox.network.icmp_echo: \"true\" is not supported yet" } },
		{ "dns_types", W(ALLOW("{host: a.example, dns_types: [SRV]}")),
		  { E("5:27") "sandbox.network.allow[].dns_types[] is not" } },
	};

	check_rows(rows, ARRAY_SIZE(rows));
}

TEST(rows_of_rules)
{
	static const struct row rows[] = {
		{ "address", W(ALLOW("host: 140.82.121.3")), { E("5:15") "host \"140.82.121.3\" is an address" } },
		{ "everything", W(ALLOW("host: '*'")), { E("5:15") "host \"*\" would allow every name" } },
		{ "a top-level domain", W(ALLOW("host: '*.com'")),
		  { E("5:15") "host \"*.com\" covers a whole top-level" } },
		{ "a public suffix", W(ALLOW("host: '**.co.uk'")),
		  { E("5:15") "host \"**.co.uk\" covers a public suffix" } },
		{ "alias for everything", W(ALLOW("host: *")), { E("5:16") "not valid YAML" } },
		{ "denied top-level domain", W(NET "    deny: [{host: '*.com'}]\n"),
		  { E("4:19") "host \"*.com\" covers" } },
		{ "no host", W(ALLOW("ports: [443]")), { E("5:9") "a row needs a host" } },
		{ "empty row", W(ALLOW("{}")), { E("5:9") "a row needs a host" } },
		{ "a word as row", W(ALLOW("pypi.org")),
		  { E("5:9") "sandbox.network.allow[]: \"pypi.org\" is not a mapping" } },
		{ "host is a list", W(ALLOW("host: [a.example]")),
		  { E("5:15") "sandbox.network.allow[].host: expected a host name or wildcard, not a list" } },
		{ "port without protocol", W(ALLOW("{host: a.example, ports: [8443]}")),
		  { E("5:35") "port 8443 needs a protocol" } },
		{ "tcp without ports", W(ALLOW("{host: a.example, protocol: tcp}")),
		  { E("5:37") "protocol tcp needs ports" } },
		{ "no ports", W(ALLOW("{host: a.example, ports: []}")), { E("5:34") "ports is empty" } },
		{ "DNS", W(ALLOW("{host: a.example, ports: [53], protocol: udp}")),
		  { E("5:35") "port 53 is DNS" } },
		{ "QUIC", W(ALLOW("{host: a.example, ports: [443], protocol: udp}")),
		  { E("5:35") "UDP 443 is QUIC" } },
		{ "two protocols for one port", W(ALLOW("{host: a.example}\n      - {host: A.example, ports: [443], protocol: tcp}")),
		  { WARN("6:35") "port 443 as tcp is not inspected", E("6:35") "port 443 of a.example is already granted as tls (line 5)" } },
		{ "budget of one name", W(ALLOW("{host: a.example, wildcard_budget: {names_per_minute: 1}}")),
		  { E("5:44") "wildcard_budget is of wildcards, and \"a.example\" is one name" } },
		{ "budget of no names", W(ALLOW("{host: '*.a.example', wildcard_budget: {names_per_minute: 0}}")),
		  { E("5:67") "sandbox.network.allow[].wildcard_budget.names_per_minute: 0 is outside 1 to 100000" } },
		{ "budget of too many bytes", W(ALLOW("{host: '*.a.example', wildcard_budget: {label_bytes_per_hour: 10000001}}")),
		  { E("5:71") "sandbox.network.allow[].wildcard_budget.label_bytes_per_hour: 10000001 is outside 1 to" } },
		{ "budget in quotes", W(ALLOW("{host: '*.a.example', wildcard_budget: {names_per_minute: '9'}}")),
		  { E("5:67") "sandbox.network.allow[].wildcard_budget.names_per_minute: \"9\" is in quotes" } },
		{ "budget is a number", W(ALLOW("{host: '*.a.example', wildcard_budget: 9}")),
		  { E("5:48") "sandbox.network.allow[].wildcard_budget: \"9\" is not a mapping" } },
		{ "budget of what", W(ALLOW("{host: '*.a.example', wildcard_budget: {names_per_hour: 9}}")),
		  { E("5:49") "unknown key \"names_per_hour\"; did you mean \"names_per_minute\"?" } },
		{ "two budgets", W(ALLOW("{host: '*.a.example', wildcard_budget: {names_per_minute: 9}}\n      - {host: '*.a.example', ports: [22]}")),
		  { E("6:16") "wildcard_budget differs from the row of the same host on line 5" } },
		{ "private and not", W(ALLOW("{host: a.example, private: true}\n      - {host: a.example, ports: [22]}")),
		  { E("6:16") "private differs from the row of the same host on line 5" } },
		{ "a git host granted otherwise", W(GIT("") "  network: {allow: [{host: GitHub.com, ports: [22]}]}\n"),
		  { E("4:28") "github.com is one of git.allowed_hosts" } },
		{ "even when git is off", W(HEAD "  git: {allowed_hosts: [github.com]}\n  network: {allow: [{host: github.com}]}\n"),
		  { WARN("3:24") "git is not enabled", E("4:28") "github.com is one of git.allowed_hosts" } },
		{ "misspelt key hides no host error", W(ALLOW("hots: a.example")),
		  { E("5:9") "unknown key \"hots\"; did you mean \"host\"?" } },
	};

	check_rows(rows, ARRAY_SIZE(rows));
}

/* A context as of a host: its pool, its sandboxes, its own addresses. */
static const struct prefix of_host[] = {
	{ { 4, { 198, 18 } }, 15 }, { { 4, { 10, 199 } }, 16 }, { { 4, { 10, 21, 0, 7 } }, 32 },
	{ { 6, { 0xfd, 0x63, 0x6f, 0x72, 0x64, 0x72 } }, 64 }, { { 6, { 0x2a, 0x04, [15] = 7 } }, 128 },
};
#define CIDR(net) W(ALLOW("{cidr: '" net "', ports: [9000]}"))

TEST(rows_of_ranges)
{
	static const struct row rows[] = {
		{ "host and cidr", W(ALLOW("{cidr: 10.20.0.0/16, host: a.example, ports: [9000]}")),
		  { E("5:16") "a row has a host or a cidr, not both" } },
		{ "neither", W(ALLOW("{ports: [9000]}")), { E("5:9") "a row needs a host or a cidr" } },
		{ "host bits", CIDR("10.20.3.4/16"),
		  { E("5:16") "sandbox.network.allow[].cidr: \"10.20.3.4/16\" has host bits; the network is 10.20.0.0/16" } },
		{ "host bits of IPv6", CIDR("2a05::1/64"),
		  { E("5:16") "sandbox.network.allow[].cidr: \"2a05::1/64\" has host bits; the network is 2a05::/64" } },
		{ "no length", CIDR("10.20.3.4"),
		  { E("5:16") "sandbox.network.allow[].cidr: \"10.20.3.4\" is not a network" } },
		{ "too long", CIDR("10.20.3.4/33"),
		  { E("5:16") "sandbox.network.allow[].cidr: \"10.20.3.4/33\" is not a network" } },
		{ "leading zero", CIDR("010.20.0.0/16"),
		  { E("5:16") "sandbox.network.allow[].cidr: \"010.20.0.0/16\" is not a network" } },
		{ "a name", CIDR("a.example/16"),
		  { E("5:16") "sandbox.network.allow[].cidr: \"a.example/16\" is not a network" } },
		{ "no ports", W(ALLOW("cidr: 10.20.0.0/16")), { E("5:15") "a cidr needs ports" } },
		{ "ssh has no default here", W(ALLOW("{cidr: 10.20.0.0/16, protocol: ssh}")),
		  { E("5:16") "a cidr needs ports" } },
		{ "empty ports", W(ALLOW("{cidr: 10.20.0.0/16, ports: []}")), { E("5:37") "ports is empty" } },
		{ "a bad port", W(ALLOW("{cidr: 10.20.0.0/16, ports: [0]}")),
		  { E("5:38") "sandbox.network.allow[].ports[]: 0 is outside" } },
		{ "tls", W(ALLOW("{cidr: 10.20.0.0/16, ports: [9000], protocol: tls}")),
		  { E("5:55") "protocol tls compares names, and a cidr has none" } },
		{ "private", W(ALLOW("{cidr: 10.20.0.0/16, ports: [9000], private: true}")),
		  { E("5:54") "private is said of names" } },
		{ "resolver", W(ALLOW("{cidr: 10.20.0.0/16, ports: [9000], resolver: true}")),
		  { E("5:55") "resolver is said of names" } },
		{ "budget", W(ALLOW("{cidr: 10.20.0.0/16, ports: [9000], wildcard_budget: {}}")),
		  { E("5:62") "wildcard_budget is said of names" } },
		{ "record types", W(ALLOW("{cidr: 10.20.0.0/16, ports: [9000], dns_types: [TXT]}")),
		  { E("5:45") "sandbox.network.allow[].dns_types[] is not supported yet" } },
		{ "DNS", W(ALLOW("{cidr: 10.20.0.0/16, ports: [53], protocol: udp}")),
		  { E("5:38") "port 53 is DNS" } },
		{ "QUIC", W(ALLOW("{cidr: 10.20.0.0/16, ports: [443], protocol: udp}")),
		  { E("5:38") "UDP 443 is QUIC" } },
		{ "DNS over TLS", W(ALLOW("{cidr: 10.20.0.0/16, ports: [853]}")),
		  { WARN("5:38") "port 853 is DNS over TLS" } },
		{ "web", W(ALLOW("{cidr: 10.20.0.0/16, ports: [443]}")),
		  { WARN("5:38") "port 443 of a cidr is not inspected" } },
		{ "denied", W(NET "    deny: [{cidr: 10.20.0.0/16}]\n"),
		  { E("4:19") "only rows of allow may have a cidr" } },
		{ "a row of nothing in deny", W(NET "    deny: [{}]\n"), { E("4:12") "a row needs a host" } },

		{ "everything", CIDR("0.0.0.0/0"),
		  { E("5:16") "cidr 0.0.0.0/0 contains 100.100.100.200/32 (the metadata service of Alibaba), which no row can grant" } },
		{ "all of IPv6", CIDR("::/0"),
		  { E("5:16") "cidr ::/0 contains fd00:ec2::/32 (the metadata service of AWS)" } },
		{ "inside loopback", CIDR("127.0.0.1/32"),
		  { E("5:16") "cidr 127.0.0.1/32 is in 127.0.0.0/8 (loopback)" } },
		{ "around loopback", CIDR("126.0.0.0/7"),
		  { E("5:16") "cidr 126.0.0.0/7 contains 127.0.0.0/8 (loopback)" } },
		{ "link-local", CIDR("169.254.169.254/32"),
		  { E("5:16") "cidr 169.254.169.254/32 is in 169.254.0.0/16 (link-local)" } },
		{ "link-local of IPv6", CIDR("fe80::/64"),
		  { E("5:16") "cidr fe80::/64 is in fe80::/10 (link-local)" } },
		{ "multicast", CIDR("239.0.0.0/8"),
		  { E("5:16") "cidr 239.0.0.0/8 is in 224.0.0.0/4 (multicast)" } },
		{ "multicast of IPv6", CIDR("ff00::/8"), { E("5:16") "cidr ff00::/8 is in ff00::/8 (multicast)" } },
		{ "shared addresses", CIDR("100.64.0.0/10"),
		  { E("5:16") "cidr 100.64.0.0/10 contains 100.100.100.200/32 (the metadata" } },
		{ "v4-mapped", CIDR("::ffff:10.20.0.0/112"),
		  { E("5:16") "cidr ::ffff:10.20.0.0/112 is in ::ffff:0.0.0.0/96 (IPv4 inside)" } },
		{ "NAT64", CIDR("64:ff9b::808:0/112"),
		  { E("5:16") "cidr 64:ff9b::808:0/112 is in 64:ff9b::/96 (IPv4 addresses behind NAT64)" } },
	};

	check_rows(rows, ARRAY_SIZE(rows));
}

TEST(ranges_of_this_host)
{
	static const struct { const char *cidr, *want; } rows[] = {
		{ "198.18.0.0/24", "is in 198.18.0.0/15 (synthetic or sandboxes' addresses)" },
		{ "198.16.0.0/12", "contains 198.18.0.0/15 (synthetic" },
		{ "10.0.0.0/8", "contains 10.199.0.0/16 (synthetic or sandboxes' addresses)" },
		{ "10.199.3.0/24", "is in 10.199.0.0/16 (synthetic" },
		{ "10.21.0.0/24", "contains 10.21.0.7/32 (an address of this host)" },
		{ "10.21.0.7/32", "is in 10.21.0.7/32 (an address of this host)" },
		{ "fd63:6f72::/32", "contains fd63:6f72:6472::/64 (synthetic" },
		{ "2a04::/112", "contains 2a04::7/128 (an address of this host)" },
		{ "10.20.0.0/16", NULL }, { "10.21.0.8/32", NULL }, { "2a04::1:0/112", NULL }, { "192.168.0.0/16",
		  NULL },
		{ "fd63:6f73::/32", NULL },
	};
	struct policy_site site = { .addresses = { of_host, ARRAY_SIZE(of_host) } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(diag) struct diag *d = NULL;
		AUTO(policy) struct policy *p = NULL;
		char text[256], said[256] = "";
		int n = snprintf(text, sizeof(text), NET "    allow: [{cidr: '%s', ports: [9000]}]\n", rows[i].cidr);

		CHECK_EQ("diag", diag_new(&d), 0);
		policy_compile("p", "p", text, (size_t)n, &site, d, &p);
		diag_summary(d, said, sizeof(said));
		CHECK(said, strstr(said, rows[i].want ? rows[i].want : "no errors") != NULL);
		CHECK_EQ(rows[i].cidr, p == NULL, rows[i].want != NULL);
	}
}

/* Two rows of 600 ports: the second does not fit. */
TEST(too_many_ranges)
{
	AUTO(mem) char *said = NULL, *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	fprintf(f, NET "    allow:\n");
	for (int row = 0; row < 2; row++) {
		fprintf(f, "      - {cidr: 10.%d.0.0/16, ports: [1000", row);
		for (int port = 1001; port < 1600; port++)
			fprintf(f, ", %d", port);
		fprintf(f, "]}\n");
	}
	fclose(f);
	CHECK("refused", fixture_compile(text, n, &said) == NULL);
	CHECK(said, strstr(said, "p:6:") && strstr(said, "more than 1024 ranges (each port of a cidr is one)"));
}

TEST(git_errors)
{
	static const struct row rows[] = {
		{ "no hosts", W(HEAD "  git: {enabled: true}\n"), { E("3:8") "git.enabled needs allowed_hosts" } },
		{ "empty hosts", W(HEAD "  git: {enabled: true, allowed_hosts: []}\n"),
		  { E("3:8") "git.enabled needs allowed_hosts" } },
		{ "wildcard host", W(HEAD "  git: {enabled: true, allowed_hosts: ['*.example.org'], allowed_repos: []}\n"),
		  { E("3:40") "git host \"*.example.org\" is a wildcard" } },
		{ "address as host", W(HEAD "  git: {enabled: true, allowed_hosts: [10.0.0.1], allowed_repos: []}\n"),
		  { E("3:40") "git host \"10.0.0.1\" is an address" } },
		{ "not in the CA", W(HEAD "  git: {enabled: true, allowed_hosts: [git.corp.test], allowed_repos: []}\n"),
		  { E("3:40") "git.corp.test is not among the names of the CA (ca.names), so its TLS cannot be terminated; add it there, then: cordon ca renew" } },
		{ "looks like a CA name", W(HEAD "  git: {enabled: true, allowed_hosts: [evilgithub.com], allowed_repos: []}\n"),
		  { E("3:40") "evilgithub.com is not among" } },
		{ "no owner", W(GIT(", denied_repos: [widgets]")),
		  { E("3:90") "repository \"widgets\" needs an owner" } },
		{ "a URL", W(GIT(", denied_repos: ['https://github.com/a/b']")),
		  { E("3:90") "repository \"https://github.com/a/b\" is a URL" } },
		{ "three parts", W(GIT(", denied_repos: [a/b/c]")),
		  { E("3:90") "repository \"a/b/c\" has more than two parts" } },
		{ "foreign host", W(GIT(", denied_repos: [gitlab.com/a/b]")),
		  { E("3:90") "repository \"gitlab.com/a/b\" has more than two parts" } },
		{ "two .git", W(GIT(", denied_repos: [a/b.git.git]")),
		  { E("3:90") "repository \"a/b.git.git\" is not owner/name" } },
		{ "only .git", W(GIT(", denied_repos: [a/.git]")),
		  { E("3:90") "repository \"a/.git\" is not owner/name" } },
		{ "dots", W(GIT(", denied_repos: [a/..]")), { E("3:90") "repository \"a/..\" is not owner/name" } },
		{ "percent", W(GIT(", denied_repos: [a/%2e]")),
		  { E("3:90") "repository \"a/%2e\" is not owner/name" } },
		{ "slash at the end", W(GIT(", denied_repos: [a/b/]")),
		  { E("3:90") "repository \"a/b/\" has more than two parts" } },
		{ "any owner", W(HEAD "  git: {enabled: true, allowed_hosts: [github.com], allowed_repos: ['*/b']}\n"),
		  { E("3:69") "repository \"*/b\" may have * only in its last part" } },
		{ "everything", W(HEAD "  git: {enabled: true, allowed_hosts: [github.com], allowed_repos: ['*']}\n"),
		  { E("3:69") "repository \"*\" needs an owner" } },
		{ "any depth without groups", W(GIT(", denied_repos: ['a/**']")),
		  { E("3:90") "repository \"a/**\" may have ** only as its last part, and on hosts of git.nested_groups" } },
	};

	check_rows(rows, ARRAY_SIZE(rows));
}

#define TO(keys) GIT(", push: {denied_paths: ['.github/**'], allowed_repos: [a/b]" keys "}")

TEST(pushes)
{
	static const struct row rows[] = {
		{ "to nothing", W(GIT(", push: {refs: [refs/heads/x]}")),
		  { WARN("3:81") "git.push.allowed_repos names none: nothing can be pushed" } },
		{ "no ref", W(TO("")), { WARN("3:81") "git.push.refs names none: every push is refused" } },
		{ "short ref", W(TO(", refs: [main]")),
		  { E("3:141") "pattern \"main\" is no whole name; write refs/heads/NAME" } },
		{ "every ref", W(TO(", refs: ['*']")), { E("3:141") "pattern \"*\" is no whole name" } },
		{ "set", W(TO(", refs: ['refs/heads/[ab]']")),
		  { E("3:141") "pattern \"refs/heads/[ab]\" is no name that git takes; only * and ** are special" } },
		{ "pull requests", W(TO(", refs: ['refs/pull/*']")),
		  { E("3:141") "pattern \"refs/pull/*\" is made by servers or read specially by git" } },
		{ "covers main", W(TO(", refs: ['refs/heads/*']")),
		  { WARN("3:81") "git.push.refs: refs/heads/* covers refs/heads/main" } },
		{ "main itself", W(TO(", refs: [refs/heads/main]")), { NULL } },
		{ "unreadable", W(GIT(", push: {denied_paths: ['.GitHub/Workflows/'], allowed_repos: [a/c], refs: [refs/heads/x]}")),
		  { WARN("3:81") "git.push.allowed_repos: a/c: it may not be read, so nothing can be pushed to it" } },
		{ "no repository", W(GIT(", push: {allowed_repos: [b]}")),
		  { E("3:98") "repository \"b\" needs an owner" } },
		{ "CI", W(GIT(", push: {allowed_repos: [a/b], refs: [refs/heads/x]}")),
		  { WARN("3:81") "git.push.denied_paths leaves .github/workflows/ open" } },
		{ "secrets", W(TO(", refs: [refs/heads/x], secrets: warn")),
		  { WARN("3:81") "git.push.secrets: warn lets secrets out" } },
		{ "from the root", W(GIT(", push: {allowed_repos: [a/b], refs: [refs/heads/x], denied_paths: [.github/**, /ci/]}")),
		  { E("3:153") "pattern \"/ci/\" begins with a slash" } },
		{ "a class", W(GIT(", push: {allowed_repos: [a/b], refs: [refs/heads/x], denied_paths: [.github/**, 'a[bc]']}")),
		  { E("3:153") "pattern \"a[bc]\" has one of ?, [" } },
		{ "no size", W(TO(", refs: [refs/heads/x], max_pack_bytes: 0")),
		  { E("3:172") "sandbox.git.push.max_pack_bytes" } },
		{ "unknown key", W(TO(", refs: [refs/heads/x], branches: [x]")),
		  { E("3:156") "unknown key \"branches\"" } },
	};

	check_rows(rows, ARRAY_SIZE(rows));
}

TEST(too_many_patterns)
{
	AUTO(mem) char *said = NULL, *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	fprintf(f, HEAD "  git:\n    enabled: true\n    allowed_hosts: [github.com]\n    push:\n"
			"      allowed_repos: [a/b]\n      refs:\n");
	for (int i = 0; i < 65; i++)
		fprintf(f, "        - refs/heads/x%d\n", i);
	fclose(f);
	CHECK("refused", !fixture_compile(text, n, &said));
	CHECK(said, strstr(said, "73:11: error: more than 64 patterns"));
}

TEST(warnings)
{
	static const struct row rows[] = {
		{ "every repository", W(HEAD "  git: {enabled: true, allowed_hosts: [github.com]}\n"),
		  { WARN("3:8") "git.allowed_repos is absent: every repository" } },
		{ "git off", W(HEAD "  git: {allowed_hosts: [github.com]}\n"),
		  { WARN("3:24") "git is not enabled" } },
		{ "a resolver", W(ALLOW("host: dns.google")),
		  { WARN("5:15") "dns.google is a public DNS resolver" } },
		{ "a resolver under a wildcard", W(ALLOW("host: '**.quad9.net'")),
		  { WARN("5:15") "dns.quad9.net is a public DNS resolver" } },
		{ "a suffix under a wildcard", W(ALLOW("host: '**.amazonaws.com'")),
		  { WARN("5:15") "covers s3.amazonaws.com" } },
		{ "a side door", W(GIT("") "  network: {allow: [{host: codeload.github.com}]}\n"),
		  { WARN("4:28") "codeload.github.com is another way into github.com" } },
		{ "a denied grant", W(NET "    allow: [{host: a.b.example}]\n    deny: [{host: '*.b.example'}]\n"),
		  { WARN("4:20") "never matches: network.deny: *.b.example (line 5) denies it" } },
		{ "a denied git host", W(GIT("") "  network: {deny: [{host: github.com}]}\n"),
		  { WARN("4:27") "denies the git host github.com" } },
		{ "DNS over TLS", W(ALLOW("{host: a.example, ports: [853], protocol: tls}")),
		  { WARN("5:35") "port 853 is DNS over TLS" } },
		{ "unchecked web", W(ALLOW("{host: a.example, ports: [80], protocol: tcp}")),
		  { WARN("5:35") "port 80 as tcp is not inspected" } },
	};

	check_rows(rows, ARRAY_SIZE(rows));
}

TEST(acknowledged)
{
	AUTO(mem) char *said = NULL;
	AUTO(policy) struct policy *p = fixture_compile(W(ALLOW("{host: dns.google, resolver: true}")), &said);

	CHECK_STR("resolver: true says it is meant", said, "");
}

TEST(all_errors_at_once)
{
	static const struct row rows[] = { { "four", W(
		"version: 1\nsandbox:\n  network:\n    allow:\n      - host: '*'\n      - {host: a.example, ports: [x]}\n"
		"    qiuc: reject\n  mode: observe\n"),
		{ E("5:15") "host \"*\"", E("6:35") "sandbox.network.allow[].ports[]", E("7:5") "unknown key \"qiuc\"; did you mean \"quic\"?",
		  E("8:9") "sandbox.mode" } } };

	check_rows(rows, 1);
}

TEST(summary)
{
	AUTO(diag) struct diag *d = NULL;
	char line[64];

	CHECK_EQ("new", diag_new(&d), 0);
	diag_summary(d, line, sizeof(line));
	CHECK_STR("none", line, "no errors");
	diag_error(d, "b", 2, 1, "later");
	diag_warn(d, "a", 1, 1, "a warning");
	diag_summary(d, line, sizeof(line));
	CHECK_STR("one", line, "b:2:1: error: later");
	diag_error(d, "a", 0, 0, "whole file");
	diag_summary(d, line, sizeof(line));
	CHECK_STR("the first", line, "a: error: whole file (and 1 more)");
	for (int i = 0; i < 2000; i++)
		diag_error(d, "c", 1, 1, "again");
	CHECK_EQ("all are counted", diag_errors(d), 2002);
}

TEST(nearest)
{
	static const char *const words[] = { "host", "ports", "protocol", "private" };
	static const struct { const char *word, *want; } rows[] = {
		{ "hots", "host" }, { "port", "ports" }, { "protcol", "protocol" }, { "Private", "private" },
		{ "xyzzy", NULL }, { "", NULL }, { "h", NULL },
		{ "protocolprotocolprotocolprotocolprotocolprotocolprotocolprotocolprotocol", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *got = diag_nearest(rows[i].word, words, ARRAY_SIZE(words));

		CHECK_STR(rows[i].word, got ? got : "none", rows[i].want ? rows[i].want : "none");
	}
}

TEST(reasons)
{
	CHECK_STR("text", reason_text(REASON_SNI_MISMATCH), "sni_mismatch");
	CHECK_STR("none", reason_text(REASON_NONE), "");
	CHECK_STR("unknown", reason_text((enum reason)9999), "internal_error");
	CHECK_STR("negative", reason_text((enum reason)-1), "internal_error");
	CHECK_EQ("unknown word", reason_of_text("sni_mismatched"), REASON_NONE);
	for (int r = REASON_NONE + 1; r < REASON_COUNT; r++) {
		CHECK_EQ("there and back", reason_of_text(reason_text((enum reason)r)), r);
		CHECK("a sentence", strlen(reason_sentence((enum reason)r)) > 10);
	}
}

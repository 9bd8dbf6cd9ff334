/*
 * test_policy_name.c - one canonical form of names (threats A13), wildcards, well-known names
 */
#include "tests/unit/check.h"

#include "policy/name.h"

#define L63 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg"
#define N253 L63 "." L63 "." L63 ".aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffa"

TEST(canonical)
{
	static const struct { const char *what, *wire; size_t n; const char *want; } rows[] = {
		{ "plain", W("github.com"), "github.com" },
		{ "upper case", W("GitHub.COM"), "github.com" },
		{ "one trailing dot", W("github.com."), "github.com" },
		{ "one label", W("intranet"), "intranet" },
		{ "hyphens, underscores, digits", W("_sip._tcp.a-1.example"), "_sip._tcp.a-1.example" },
		{ "A-label", W("XN--mnchen-3ya.example"), "xn--mnchen-3ya.example" },
		{ "hex-like but no number", W("0xg.example0"), "0xg.example0" },
		{ "numeric label inside", W("1.2.3.example"), "1.2.3.example" },
		{ "longest label", W(L63 ".example"), L63 ".example" },
		{ "longest name", W(N253), N253 },
		{ "longest name and a dot", W(N253 "."), N253 },
		{ "empty", W(""), NULL },
		{ "the root", W("."), NULL },
		{ "two trailing dots", W("github.com.."), NULL },
		{ "leading dot", W(".github.com"), NULL },
		{ "empty label", W("github..com"), NULL },
		{ "label too long", W("a" L63 ".example"), NULL },
		{ "name too long", W(N253 "a"), NULL },
		{ "name too long, and a dot", W(N253 "a."), NULL },
		{ "NUL inside", W("github.com\0.evil.test"), NULL },
		{ "NUL at the end", W("github.com\0"), NULL },
		{ "CR LF", W("github.com\r\n"), NULL },
		{ "space", W("github.com "), NULL },
		{ "slash", W("github.com/evil"), NULL },
		{ "backslash", W("github.com\\evil"), NULL },
		{ "userinfo", W("evil@github.com"), NULL },
		{ "port", W("github.com:443"), NULL },
		{ "percent", W("github%2ecom"), NULL },
		{ "wildcard", W("*.example"), NULL },
		{ "UTF-8", W("m\xc3\xbcnchen.example"), NULL },
		{ "full-width digits", W("\xef\xbc\x91.1.1.1"), NULL },
		{ "full-width dot", W("github\xef\xbc\x8e" "com"), NULL },
		{ "high byte", W("git\x80hub.com"), NULL },
		{ "dotted address", W("140.82.121.3"), NULL },
		{ "dotted address, trailing dot", W("140.82.121.3."), NULL },
		{ "octal address", W("0177.0.0.1"), NULL },
		{ "short hex address", W("0x7f.1"), NULL },
		{ "upper-case hex address", W("0X7F000001"), NULL },
		{ "decimal address", W("2130706433"), NULL },
		{ "empty hex", W("0x"), NULL },
		{ "address of too many parts", W("1.2.3.4.5"), NULL },
		{ "brackets", W("[::1]"), NULL },
		{ "IPv6", W("::1"), NULL },
		{ "last label a number", W("github.1"), NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(mem) void *in = check_exact(rows[i].wire, rows[i].n);
		char out[POLICY_NAME_MAX + 1] = "x";
		bool ok = name_canonical(rd_of(in, rows[i].n), out);

		CHECK_EQ(rows[i].what, ok, rows[i].want != NULL);
		CHECK_STR(rows[i].what, out, rows[i].want ? rows[i].want : "");
	}
	CHECK_EQ("the longest is 253", strlen(N253), POLICY_NAME_MAX);
}

TEST(pattern_matches)
{
	static const struct { const char *pattern, *name; bool want; } rows[] = {
		{ "github.com", "github.com", true }, { "github.com", "evil-github.com", false },
		{ "github.com", "github.com.evil.test", false }, { "github.com", "api.github.com", false },
		{ "*.files.example", "a.files.example", true }, { "*.files.example", "files.example", false },
		{ "*.files.example", "a.b.files.example", false }, { "*.files.example", "evilfiles.example", false },
		{ "*.files.example", "a.files.example.evil.test", false },
		{ "**.cdn.example", "a.cdn.example", true }, { "**.cdn.example", "a.b.c.cdn.example", true },
		{ "**.cdn.example", "cdn.example", false }, { "**.cdn.example", "xcdn.example", false },
		{ "**.cdn.example", "a.xcdn.example", false }, { "**.cdn.example", "cdn", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct name_pattern p;

		CHECK(rows[i].pattern, !name_pattern_parse(rows[i].pattern, &p));
		CHECK_EQ(rows[i].name, name_pattern_matches(&p, rows[i].name), rows[i].want);
	}
}

TEST(pattern_parse)
{
	static const struct { const char *text, *want, *why; } rows[] = {
		{ "GitHub.com.", "github.com", NULL },
		{ "*.Files.Example", "*.files.example", NULL },
		{ "**.cdn.example.", "**.cdn.example", NULL },
		{ "m\xc3\xbcnchen.example", "xn--mnchen-3ya.example", NULL },
		{ "*.M\xc3\x9cNCHEN.example", "*.xn--mnchen-3ya.example", NULL },
		{ "stra\xc3\x9f" "e.example", "xn--strae-oqa.example", NULL },	/* not strasse: non-transitional */
		{ "*", NULL, "would allow every name" }, { "**", NULL, "would allow every name" },
		{ "*.com", NULL, "top-level" }, { "**.com.", NULL, "top-level" }, { "*.co.uk", NULL, "public suffix" },
		{ "**.github.io", NULL, "public suffix" }, { "*.S3.amazonaws.com", NULL, "public suffix" },
		{ "1.2.3.4", NULL, "is an address" }, { "::1", NULL, "is an address" }, { "[::1]", NULL, "is an address" },
		{ "10.0.0.0/8", NULL, "is an address" }, { "0x7f.1", NULL, "is an address" },
		{ "2130706433", NULL, "is an address" }, { "*.2.3.4", NULL, "is an address" },
		{ "\xef\xbc\x91.1.1.1", NULL, "is an address" },	/* full-width 1 */
		{ "https://github.com", NULL, "is a URL" }, { "github.com/acme", NULL, "is a URL" },
		{ "evil@github.com", NULL, "has a user" }, { "github.com:443", NULL, "has a port" },
		{ "a.*.example", NULL, "not at its front" }, { "*foo.example", NULL, "not at its front" },
		{ "***.example", NULL, "not at its front" }, { "*.*.example", NULL, "not at its front" },
		{ ".example.com", NULL, "begins with a dot" }, { "a..example", NULL, "is not a host name" },
		{ "git hub.com", NULL, "white space" }, { "", NULL, "is not a host name" }, { ".", NULL, "dot" },
		{ "*.", NULL, "is not a host name" }, { "a!.example", NULL, "is not a host name" },
		{ "cordon.internal", NULL, "Cordon's own" }, { "x.cordon.internal", NULL, "Cordon's own" },
		{ "**.cordon.internal", NULL, "Cordon's own" }, { "localhost", NULL, "the sandbox itself" },
		{ "\xff\xfe.example", NULL, "internationalised" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct name_pattern p = { .kind = PATTERN_EXACT };
		const char *why = name_pattern_parse(rows[i].text, &p);
		char out[NAME_PATTERN_TEXT];

		CHECK_EQ(rows[i].text, why == NULL, rows[i].want != NULL);
		if (why)
			CHECK(why, rows[i].why && strstr(why, rows[i].why));
		name_pattern_format(&p, out);
		CHECK_STR(rows[i].text, out, rows[i].want ? rows[i].want : "");
	}
}

TEST(known_names)
{
	struct name_pattern exact = { PATTERN_EXACT, "dns.google" }, wild = { PATTERN_ANY, "cloudflare-dns.com" };
	struct name_pattern other = { PATTERN_EXACT, "pypi.org" };

	CHECK_STR("exact resolver", known_resolver(&exact), "dns.google");
	CHECK("wildcard over resolvers", known_resolver(&wild) != NULL);
	CHECK("no resolver", !known_resolver(&other));
	CHECK("a suffix below", known_suffix_below("amazonaws.com") != NULL);
	CHECK("no suffix below itself", !known_suffix_below("github.io"));
	CHECK("api is a way around", !strcmp(known_side_door(1), "api"));
}

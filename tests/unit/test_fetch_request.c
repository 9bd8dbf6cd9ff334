/*
 * test_fetch_request.c - requests of protocol v2: what is taken, their one form, their key
 */
#include "gitproxy/mirror/fetch_request.h"

#include <errno.h>

#include "gitproxy/mirror/fetch_filter.h"
#include "tests/unit/check.h"
#include "tests/unit/make_pkts.h"

#define FETCH "command=fetch|0001|"
#define WANT FETCH "want " SHA1_A "|"
#define LS "command=ls-refs|0001|"

/* `body` stays allocated while its request is used. */
struct parsed {
	void *body;
	struct fetch_request q;
	struct fetch_error error;
	int r;
};

static struct parsed parse(const char *text)
{
	static uint8_t buf[1 << 16];
	struct wr w = wr_of(buf, sizeof(buf));
	struct parsed p = { 0 };

	make_pkts(&w, text);
	p.body = check_exact(buf, w.n);
	p.r = fetch_request_parse(rd_of(p.body, w.n), &p.q, &p.error);
	return p;
}

static void parsed_done(struct parsed *p)
{
	fetch_request_done(&p->q);
	free(p->body);
}

static const struct {
	const char *what, *text;
	const char *again;		/* NULL: refused with `error` */
	const char *error;
} cases[] = {
	{ "a probe", "0000", "0000", NULL },
	{ "a clone", WANT "done|0000", WANT "done|0000", NULL },
	{ "as git sends it",
	  "command=fetch|agent=git/2.39.5|object-format=sha1|0001|thin-pack|no-progress|include-tag|"
	  "ofs-delta|want " SHA1_A "|done|0000",
	  FETCH "thin-pack|no-progress|include-tag|ofs-delta|want " SHA1_A "|done|0000", NULL },
	{ "no line feeds", "!0011command=fetch|0001|!0031want " SHA1_A "|!0008done|0000",
	  WANT "done|0000", NULL },
	{ "sorted, and each once", FETCH "want " SHA1_B "|want " SHA1_A "|want " SHA1_B "|0000",
	  WANT "want " SHA1_B "|0000", NULL },
	{ "haves and shallows", WANT "have " SHA1_C "|have " SHA1_B "|shallow " SHA1_B "|0000",
	  WANT "shallow " SHA1_B "|have " SHA1_B "|have " SHA1_C "|0000", NULL },
	{ "large digits", FETCH "want AAAAAAAAAAaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa|0000", WANT "0000", NULL },
	{ "depth", WANT "deepen 1|done|0000", FETCH "deepen 1|want " SHA1_A "|done|0000", NULL },
	{ "the whole history", WANT "deepen 2147483647|0000",
	  FETCH "deepen 2147483647|want " SHA1_A "|0000", NULL },
	{ "deeper by", WANT "deepen 3|deepen-relative|0000",
	  FETCH "deepen-relative|deepen 3|want " SHA1_A "|0000", NULL },
	{ "relative to nothing", WANT "deepen-relative|0000", WANT "0000", NULL },
	{ "since and not", WANT "deepen-since 1700000000|deepen-not v1.0|deepen-not refs/heads/a|0000",
	  FETCH "deepen-since 1700000000|deepen-not refs/heads/a|deepen-not v1.0|want " SHA1_A "|0000",
	  NULL },
	{ "filter", WANT "filter blob:none|0000", FETCH "filter blob:none|want " SHA1_A "|0000", NULL },
	{ "only to negotiate", FETCH "wait-for-done|have " SHA1_A "|0000",
	  FETCH "wait-for-done|have " SHA1_A "|0000", NULL },
	{ "sha256", "command=fetch|object-format=sha256|0001|want " SHA256_A "|0000",
	  "command=fetch|object-format=sha256|0001|want " SHA256_A "|0000", NULL },
	{ "flags twice", WANT "done|done|0000", WANT "done|0000", NULL },
	{ "ls-refs", LS "peel|symrefs|unborn|ref-prefix refs/tags/|ref-prefix HEAD|0000",
	  LS "peel|symrefs|unborn|ref-prefix HEAD|ref-prefix refs/tags/|0000", NULL },
	{ "all references", "command=ls-refs|session-id=x-1|0000", LS "0000", NULL },
	{ "an empty prefix", LS "ref-prefix |0000", LS "ref-prefix |0000", NULL },

	{ "nothing", "", NULL, "the request is cut short or malformed" },
	{ "no flush", WANT "done", NULL, "the request is cut short or malformed" },
	{ "cut", WANT "!0031want", NULL, "the request is cut short or malformed" },
	{ "bytes behind it", WANT "0000|0000", NULL, "the request does not end where it should" },
	{ "bytes behind a probe", "0000|0000", NULL, "the request does not begin with a command" },
	{ "two delimiters", FETCH "0001|want " SHA1_A "|0000", NULL,
	  "the request does not end where it should" },
	{ "an end of response", WANT "0002", NULL, "the request does not end where it should" },
	{ "no command", "agent=x|command=fetch|0000", NULL,
	  "the request does not begin with a command" },
	{ "a delimiter first", "0001|0000", NULL, "the request does not begin with a command" },
	{ "another command", "command=push|0000", NULL, "this command was not advertised: push" },
	{ "object-info", "command=object-info|0001|size|oid " SHA1_A "|0000", NULL,
	  "this command was not advertised: object-info" },
	{ "a second command", "command=fetch|command=ls-refs|0000", NULL,
	  "this was not advertised: command=" },
	{ "two formats", "command=fetch|object-format=sha1|object-format=sha256|0000", NULL,
	  "this capability is there twice: object-format=" },
	{ "another format", "command=fetch|object-format=md5|0000", NULL,
	  "this object format is not known: md5" },
	{ "a server option", "command=fetch|server-option=x|0000", NULL,
	  "this was not advertised: server-option=" },
	{ "an unknown capability", "command=fetch|frobnicate|0000", NULL,
	  "this is not known: frobnicate" },
	{ "an unknown argument", WANT "redirect http://evil.example/|0000", NULL,
	  "this is not known: redirect http://evil.exa..." },
	{ "an argument of the other", LS "want " SHA1_A "|0000", NULL,
	  "this is not known: want aaaaaaaaaaaaaaaaaaa..." },
	{ "control characters", WANT "\x1b[2J|0000", NULL, "this is not known: \\x1b[2J" },
	{ "an empty line", WANT "!0004|0000", NULL, "this is not known: " },
	{ "a word with more behind it", WANT "done |0000", NULL, "this is not known: done " },
	{ "want-ref", WANT "want-ref refs/heads/a|0000", NULL, "this was not advertised: want-ref " },
	{ "sideband-all", WANT "sideband-all|0000", NULL, "this was not advertised: sideband-all" },
	{ "packfile-uris", WANT "packfile-uris https|0000", NULL,
	  "this was not advertised: packfile-uris " },
	{ "an id of the other format", FETCH "want " SHA256_A "|0000", NULL,
	  "this is no object id of the repository's format: " "aaaaaaaaaaaaaaaaaaaaaaaa..." },
	{ "no id", FETCH "want |0000", NULL, "this is no object id of the repository's format: " },
	{ "a name where an id belongs", FETCH "want HEAD|0000", NULL,
	  "this is no object id of the repository's format: HEAD" },
	{ "wants nothing", FETCH "done|0000", NULL, "the request wants nothing" },
	{ "no arguments", "command=fetch|0000", NULL, "the request wants nothing" },
	{ "depth 0", WANT "deepen 0|0000", NULL, "this is no depth, or a second one: 0" },
	{ "depth -1", WANT "deepen -1|0000", NULL, "this is no depth, or a second one: -1" },
	{ "octal depth", WANT "deepen 010|0000", NULL, "this is no depth, or a second one: 010" },
	{ "huge depth", WANT "deepen 2147483648|0000", NULL,
	  "this is no depth, or a second one: 2147483648" },
	{ "two depths", WANT "deepen 1|deepen 2|0000", NULL,
	  "this is no depth, or a second one: 2" },
	{ "depth and time", WANT "deepen 1|deepen-since 5|0000", NULL,
	  "deepen goes with neither deepen-since nor deepen-not" },
	{ "depth and name", WANT "deepen 1|deepen-not a|0000", NULL,
	  "deepen goes with neither deepen-since nor deepen-not" },
	{ "time 0", WANT "deepen-since 0|0000", NULL, "this is no time, or a second one: 0" },
	{ "huge time", WANT "deepen-since 9999999999999999999|0000", NULL,
	  "this is no time, or a second one: 9999999999999999999" },
	{ "an expression", WANT "deepen-not HEAD~1|0000", NULL,
	  "this is no name of a reference: HEAD~1" },
	{ "two filters", WANT "filter blob:none|filter tree:0|0000", NULL,
	  "this filter is not supported: tree:0" },
	{ "sparse", WANT "filter sparse:oid=HEAD:x|0000", NULL,
	  "this filter is not supported: sparse:oid=HEAD:x" },
	{ "a space in a prefix", LS "ref-prefix a b|0000", NULL,
	  "this is no prefix of a reference: a b" },
};

TEST(cases)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct parsed p = parse(cases[i].text);
		uint8_t wanted[4096];
		struct wr w = wr_of(wanted, sizeof(wanted)), again;
		size_t bound = fetch_request_bound(&p.q);
		AUTO(mem) uint8_t *room = check_exact(wanted, bound);

		again = wr_of(room, bound);
		CHECK_EQ(cases[i].what, p.r, cases[i].again ? 0 : -EBADMSG);
		if (!cases[i].again) {
			CHECK_STR(cases[i].what, p.error.text, cases[i].error);
		} else {
			make_pkts(&w, cases[i].again);
			CHECK(cases[i].what, fetch_request_write(&p.q, &again));
			CHECK(cases[i].what, rd_eq(wr_rd(&again), w.p, w.n));
		}
		parsed_done(&p);
	}
}

static const struct { const char *spec; bool ok; } filters[] = {
	{ "blob:none", true },
	{ "blob:limit=0", true },
	{ "blob:limit=10k", true },
	{ "blob:limit=1M", true },
	{ "tree:0", true },
	{ "tree:65536", true },
	{ "object:type=commit", true },
	{ "combine:blob:none+tree:1", true },
	{ "combine:tree:0", true },
	{ "", false },
	{ "blob:", false },
	{ "blob:none ", false },
	{ "blob:limit=", false },
	{ "blob:limit=k", false },
	{ "blob:limit=0x10", false },
	{ "blob:limit=010", false },
	{ "blob:limit=1kk", false },
	{ "blob:limit=-1", false },
	{ "blob:limit=9999999999999999999", false },
	{ "tree:65537", false },
	{ "tree:", false },
	{ "object:type=any", false },
	{ "sparse:oid=" SHA1_A, false },
	{ "sparse:path=x", false },
	{ "auto", false },
	{ "combine:", false },
	{ "combine:blob:none+", false },
	{ "combine:+blob:none", false },
	{ "combine:combine:blob:none", false },
	{ "combine:blob%3anone", false },
	{ "combine:tree:1+tree:2+tree:3+tree:4", true },
	{ "combine:tree:1+tree:2+tree:3+tree:4+tree:5", false },
};

TEST(filter_specs)
{
	for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
		size_t n = strlen(filters[i].spec);
		AUTO(mem) void *p = check_exact(filters[i].spec, n);

		CHECK_EQ(filters[i].spec, fetch_filter_ok(rd_of(p, n)), filters[i].ok);
	}
}

/* n lines of one text, then a flush, behind `head`. */
static int many(const char *head, const char *line, size_t n, struct fetch_error *ret_error)
{
	size_t cap = 256 + (n + 1) * (strlen(line) + PKT_HEAD + 1);
	AUTO(mem) uint8_t *buf = malloc(cap);
	struct wr w = wr_of(buf, cap);
	struct fetch_request q;
	int r;

	if (!buf)
		abort();
	make_pkts(&w, head);
	for (size_t i = 0; i < n; i++)
		pkt_line(&w, "%s", line);
	pkt_flush(&w);
	CHECK("it fits", wr_ok(&w));
	r = fetch_request_parse(wr_rd(&w), &q, ret_error);
	fetch_request_done(&q);
	return r;
}

TEST(bounds)
{
	struct fetch_error e;

	CHECK_EQ("ids", many(FETCH, "want " SHA1_A, FETCH_OIDS_MAX, &e), 0);
	CHECK_EQ("one more", many(WANT, "have " SHA1_A, FETCH_OIDS_MAX, &e), -EBADMSG);
	CHECK_STR("why", e.text, "too many objects are named in one request");
	CHECK_EQ("prefixes", many(LS, "ref-prefix a", FETCH_PREFIXES_MAX, &e), 0);
	CHECK_EQ("one more", many(LS, "ref-prefix a", FETCH_PREFIXES_MAX + 1, &e), -EBADMSG);
	CHECK_EQ("names", many(WANT, "deepen-not a", FETCH_NOTS_MAX, &e), 0);
	CHECK_EQ("one more", many(WANT, "deepen-not a", FETCH_NOTS_MAX + 1, &e), -EBADMSG);
	CHECK_STR("why", e.text, "too many names are in one request");
}

static const uint8_t domain[2][FETCH_KEY] = { { 1 }, { 2 } }, refs[2][FETCH_KEY] = { { 1 }, { 2 } };

static bool same_key(const char *a, const char *b, unsigned other_domain, unsigned other_refs)
{
	struct parsed p = parse(a), q = parse(b);
	uint8_t x[FETCH_KEY], y[FETCH_KEY];

	CHECK_EQ(a, fetch_request_key(&p.q, domain[0], refs[0], x), 0);
	CHECK_EQ(b, fetch_request_key(&q.q, domain[other_domain], refs[other_refs], y), 0);
	parsed_done(&p);
	parsed_done(&q);
	return !memcmp(x, y, sizeof(x));
}

TEST(keys)
{
	static const char *const differ[] = {
		FETCH "want " SHA1_B "|done|0000", WANT "0000", WANT "thin-pack|done|0000",
		WANT "have " SHA1_B "|done|0000", WANT "shallow " SHA1_B "|done|0000",
		WANT "deepen 1|done|0000", WANT "deepen 2|done|0000", WANT "filter tree:0|done|0000",
		WANT "deepen-since 1|done|0000", WANT "no-progress|done|0000",
	};
	const char *plain = WANT "done|0000";

	CHECK("agents and sessions do not count",
	      same_key("command=fetch|agent=a|session-id=1|0001|want " SHA1_A "|done|0000",
		       "command=fetch|agent=b|object-format=sha1|0001|done|want " SHA1_A "|0000", 0, 0));
	CHECK("the domain does", !same_key(plain, plain, 1, 0));
	CHECK("references do not", same_key(plain, plain, 0, 1));
	CHECK("with tags they do",
	      !same_key(WANT "include-tag|0000", WANT "include-tag|0000", 0, 1));
	CHECK("with a name they do",
	      !same_key(WANT "deepen-not a|0000", WANT "deepen-not a|0000", 0, 1));
	for (size_t i = 0; i < ARRAY_SIZE(differ); i++)
		CHECK(differ[i], !same_key(plain, differ[i], 0, 0));
}

TEST(our_own)
{
	struct oid want = { .byte = { 1 } }, have = { .byte = { 2 } };
	struct fetch_request q = fetch_request_refresh(OBJECT_SHA1, &want, 1, &have, 1);
	uint8_t a[1024], b[1024];
	struct wr w = wr_of(a, sizeof(a)), wanted = wr_of(b, sizeof(b));

	CHECK("ls-refs", fetch_write_ls_refs(&w, OBJECT_SHA1, false));
	make_pkts(&wanted, LS "peel|symrefs|ref-prefix HEAD|ref-prefix refs/heads/|"
			      "ref-prefix refs/tags/|0000");
	CHECK("its bytes", rd_eq(wr_rd(&w), wanted.p, wanted.n));
	w.n = wanted.n = 0;
	CHECK("refresh", fetch_request_write(&q, &w));
	make_pkts(&wanted, FETCH "thin-pack|no-progress|ofs-delta|"
			   "want 0100000000000000000000000000000000000000|"
			   "have 0200000000000000000000000000000000000000|done|0000");
	CHECK("its bytes", rd_eq(wr_rd(&w), wanted.p, wanted.n));
}

/*
 * test_push_advert.c - what upstream offers for pushes, and what of it is passed on
 */
#include "gitproxy/mirror/push_advert.h"

#include "tests/unit/check.h"
#include "tests/unit/make_pkts.h"

#define ZERO "0000000000000000000000000000000000000000"
#define SERVICE "# service=git-receive-pack|0000|"
#define ALL "report-status report-status-v2 delete-refs side-band-64k quiet atomic ofs-delta push-options " \
	    "push-cert=nonce object-format=sha1 session-id=1 agent=git/2"
#define OURS "report-status side-band-64k quiet"
#define AGENT " agent=git/cordon-" CORDON_VERSION

/* `out` NULL: refused. */
static const struct { const char *what, *in, *out; } cases[] = {
	{ "git's", SERVICE SHA1_A " refs/heads/main@" ALL "|0000",
	  SERVICE SHA1_A " refs/heads/main@" OURS " delete-refs atomic push-options ofs-delta object-format=sha1" AGENT "|0000" },
	{ "by another way", SHA1_A " refs/heads/main@|0000", SERVICE SHA1_A " refs/heads/main@" OURS AGENT "|0000" },
	{ "empty", SERVICE ZERO " capabilities^{}@atomic|0000", SERVICE ZERO " capabilities^{}@" OURS " atomic" AGENT "|0000" },
	{ "others' objects", SERVICE SHA1_A " .have@no-thin|" SHA1_B " refs/heads/a|" SHA1_C " .have|0000",
	  SERVICE SHA1_B " refs/heads/a@" OURS " no-thin" AGENT "|0000" },
	{ "a name that climbs", SERVICE SHA1_A " refs/../x@|" SHA1_B " refs/heads/a|0000",
	  SERVICE SHA1_B " refs/heads/a@" OURS AGENT "|0000" },
	{ "sha256", SERVICE SHA256_A " refs/heads/a@object-format=sha256|0000",
	  SERVICE SHA256_A " refs/heads/a@" OURS " object-format=sha256" AGENT "|0000" },
	{ "a shallow server", SERVICE SHA1_A " refs/heads/a@|shallow " SHA1_B "|0000",
	  SERVICE SHA1_A " refs/heads/a@" OURS AGENT "|0000" },
	{ "an unknown format", SERVICE SHA1_A " refs/heads/a@object-format=md5|0000", NULL },
	{ "nothing", "", NULL },
	{ "only a flush", SERVICE "0000", NULL },
	{ "no capabilities", SERVICE SHA1_A " refs/heads/a|0000", NULL },
	{ "no flush", SERVICE SHA1_A " refs/heads/a@", NULL },
	{ "another service", "# service=git-upload-pack|0000|" SHA1_A " refs/heads/a@|0000", NULL },
	{ "version 2", SERVICE "version 2|0000", NULL },
	{ "version 1", SERVICE "version 1|" SHA1_A " refs/heads/a@|0000", NULL },
	{ "an error", SERVICE "ERR no@such|0000", NULL },
	{ "more behind it", SERVICE SHA1_A " refs/heads/a@|0000|!x", NULL },
	{ "a short id", SERVICE "aaaa refs/heads/a@|0000", NULL },
	{ "a delimiter", SERVICE SHA1_A " refs/heads/a@|0001|0000", NULL },
};

TEST(adverts)
{
	uint8_t text[4096], want[4096], out[8192];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = make_pkts_nul(cases[i].in, text, sizeof(text));
		size_t m = cases[i].out ? make_pkts_nul(cases[i].out, want, sizeof(want)) : 0;
		AUTO(mem) void *in = check_exact(text, n);
		struct wr w = wr_of(out, push_advert_bound(rd_of(in, n)));
		struct push_advert a;

		CHECK_EQ(cases[i].what, push_advert_parse(rd_of(in, n), &a), cases[i].out ? PARSE_OK : PARSE_BAD);
		if (!cases[i].out)
			continue;
		CHECK(cases[i].what, push_advert_write(&w, &a));
		if (!rd_eq(wr_rd(&w), want, m))
			CHECK_FAIL("%s: got %.*s", cases[i].what, (int)w.n, (const char *)out);
	}
}

TEST(what_upstream_has)
{
	uint8_t text[4096];
	size_t n = make_pkts_nul(SERVICE SHA1_A " refs/heads/main@" ALL "|0000", text, sizeof(text));
	struct push_advert a;

	CHECK_EQ("parsed", push_advert_parse(rd_of(text, n), &a), PARSE_OK);
	CHECK_EQ("all", a.upstream, PUSH_CAPABILITIES | PUSH_OFS_DELTA);
	CHECK_EQ("one", a.n_refs, 1);
}

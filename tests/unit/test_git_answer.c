/*
 * test_git_answer.c - whole packets go on, and an error finds its place
 */
#include "tests/unit/check.h"

#include <stdlib.h>

#include "gitproxy/front/git_answer.h"

enum { V0, V2, V0_REFS, V2_REFS };
#define BROKE "cordon: upstream_unreachable: The server's answer broke off; try again later.\n"
#define ERR "0056ERR " BROKE
#define BAND "0053\3" BROKE

static const struct {
	const char *what;
	int kind;
	const char *wire;
	size_t n;
	const char *pass;		/* NULL: all of it */
	size_t pass_n;
	const char *error;		/* NULL: none can be said */
} cases[] = {
	{ "nothing yet", V2, W(""), W(""), ERR },
	{ "half a length", V2, W("00"), W(""), ERR },
	{ "half a line", V2, W("000dpackfile"), W(""), ERR },
	{ "acknowledgments", V2, W("0014acknowledgments\n0008NAK\n"), NULL, 0, ERR },
	{ "between sections", V2, W("0014acknowledgments\n0001"), NULL, 0, ERR },
	{ "packfile, nothing in it", V2, W("000dpackfile\n"), NULL, 0, BAND },
	{ "half a band", V2, W("000dpackfile\n000a\1PA"), W("000dpackfile\n"), BAND },
	{ "after a band", V2, W("000dpackfile\n0009\1PACK"), NULL, 0, BAND },
	{ "a keepalive", V2, W("000dpackfile\n0005\1"), NULL, 0, BAND },
	{ "band and half of the next", V2, W("000dpackfile\n0009\1PACK0009\2x"),
	  W("000dpackfile\n0009\1PACK"), BAND },
	{ "sideband-all", V2, W("0012\1shallow-info\n"), NULL, 0, BAND },
	{ "complete", V2, W("000dpackfile\n0009\1PACK0000"), NULL, 0, NULL },
	{ "complete refs", V2, W("0009refs\n0000"), NULL, 0, NULL },
	{ "refs, none complete", V2, W("0009refs\n0009re"), W("0009refs\n"), ERR },
	{ "v0: shallow lines", V0, W("000dshallow a0000"), NULL, 0, ERR },
	{ "v0: before the pack", V0, W("0008NAK\n"), NULL, 0, BAND },
	{ "v0: after an ACK", V0, W("000aACK a\n000a\2hello"), W("000aACK a\n000a\2hello"), BAND },
	{ "v0: a pack without bands", V0, W("0008NAK\nPACK\0\0"), NULL, 0, NULL },
	{ "v0: complete", V0, W("0008NAK\n0009\1PACK0000"), NULL, 0, NULL },
	{ "refs of v0", V0_REFS, W("001e# service=git-upload-pack\n0000"), NULL, 0, ERR },
	{ "refs of v2", V2_REFS, W("001e# service=git-upload-pack\n0000000eversion 2\n"), NULL, 0, ERR },
	{ "a page", V2, W("<html>"), NULL, 0, NULL },
	{ "a length that is none", V2, W("0009refs\n0003"), NULL, 0, NULL },
};

static void start(struct git_answer *a, int kind)
{
	git_answer_init(a, kind == V2 || kind == V2_REFS, kind == V0_REFS || kind == V2_REFS);
}

static void check_error(const char *what, const struct git_answer *a, const char *want)
{
	uint8_t text[GIT_ANSWER_ERROR];
	struct wr w = wr_of(text, sizeof(text));
	bool said = git_answer_error(a, REASON_UPSTREAM_UNREACHABLE, &w);

	CHECK_EQ(what, said, want != NULL);
	if (said && want)
		CHECK_EQ(what, rd_eq(wr_rd(&w), want, strlen(want)), true);
}

TEST(places)
{
	AUTO(mem) struct git_answer *a = malloc(sizeof(*a));

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO(mem) void *in = check_exact(cases[i].wire, cases[i].n);
		const char *want = cases[i].pass ? cases[i].pass : cases[i].wire;
		size_t n = cases[i].pass ? cases[i].pass_n : cases[i].n;
		struct rd pass;

		start(a, cases[i].kind);
		pass = git_answer_next(a, rd_of(in, cases[i].n));
		CHECK_EQ(cases[i].what, rd_eq(pass, want, n), true);
		check_error(cases[i].what, a, cases[i].error);
		CHECK_EQ(cases[i].what, git_answer_end(a).n, cases[i].n - n);
	}
}

/* The largest packets in pieces of any size: nothing is lost, and less than a packet is held. */
TEST(pieces)
{
	static const size_t sizes[] = { 1, 4, 5, 1000, 16384, GIT_ANSWER_INPUT };
	size_t n = 3 * PKT_MAX, whole;
	AUTO(mem) uint8_t *wire = malloc(n);
	AUTO(mem) struct git_answer *a = malloc(sizeof(*a));

	for (size_t i = 0; i < n; i++)
		wire[i] = i % PKT_MAX < PKT_HEAD ? (uint8_t)"fff0"[i % PKT_MAX] :
			  i % PKT_MAX == PKT_HEAD ? 1 : (uint8_t)(i * 7);
	for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
		struct rd left = rd_of(wire, n), piece, pass;

		start(a, V2);
		whole = 0;
		while (rd_left(&left)) {
			CHECK_EQ("piece", rd_take(&left, left.n < sizes[k] ? left.n : sizes[k], &piece), true);
			pass = git_answer_next(a, piece);
			CHECK_EQ("same", rd_eq(pass, wire + whole, pass.n), true);
			whole += pass.n;
			CHECK_EQ("whole", whole % PKT_MAX, 0);
		}
		CHECK_EQ("all", whole, n);
		CHECK_EQ("raw", a->raw, false);
	}
}

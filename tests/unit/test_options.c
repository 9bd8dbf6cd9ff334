/*
 * test_options.c - the option parser of the command line
 */
#include "cli/options.h"

#include <errno.h>
#include <stddef.h>

#include "tests/unit/check.h"

struct values {
	const char *text, *other;
	struct text_list list;
	bool flag;
};
struct globals { const char *config; bool help; };

static const struct option_row rows[] = {
	{ "text", 't', OPTION_TEXT, offsetof(struct values, text), "T", "" },
	{ "other", 0, OPTION_TEXT, offsetof(struct values, other), "O", "" },
	{ "list", 0, OPTION_LIST, offsetof(struct values, list), "L", "" },
	{ "flag", 'f', OPTION_FLAG, offsetof(struct values, flag), NULL, "" },
};
static const struct option_row global_rows[] = {
	{ "config", 0, OPTION_TEXT, offsetof(struct globals, config), "FILE", "" },
	{ "help", 'h', OPTION_FLAG, offsetof(struct globals, help), NULL, "" },
};

enum { WORDS_MAX = 48 };

struct outcome {
	struct values v;
	struct globals g;
	struct args a;
	char err[OPTION_ERROR_MAX];
	int r;
	char text[1024], *argv[WORDS_MAX + 1];
};

/* The line is split at blanks. */
static struct outcome *parse(const char *line, bool stop)
{
	static struct outcome o;
	struct option_table tables[] = { { rows, ARRAY_SIZE(rows), &o.v },
					 { global_rows, ARRAY_SIZE(global_rows), &o.g } };
	int argc = 0;

	o = (struct outcome){ 0 };
	snprintf(o.text, sizeof(o.text), "%s", line);
	for (char *w = strtok(o.text, " "); w && argc < WORDS_MAX; w = strtok(NULL, " "))
		o.argv[argc++] = w;
	o.r = options_parse(tables, ARRAY_SIZE(tables), stop, o.argv, argc, &o.a, o.err);
	return &o;
}

/* Words and values joined, as a row of a table can hold them. */
static const char *shown(const struct outcome *o)
{
	static char out[2048];
	size_t n = 0;

	if (o->r < 0)
		return o->err;
	out[0] = 0;
	for (int i = 0; i < o->a.n; i++)
		n += (size_t)snprintf(out + n, sizeof(out) - n, "%s ", o->a.word[i]);
	for (size_t i = 0; i < o->v.list.n; i++)
		n += (size_t)snprintf(out + n, sizeof(out) - n, "l=%s ", o->v.list.text[i]);
	snprintf(out + n, sizeof(out) - n, "t=%s o=%s f=%d c=%s", o->v.text ? o->v.text : "",
		 o->v.other ? o->v.other : "", o->v.flag, o->g.config ? o->g.config : "");
	return out;
}

static const struct { const char *line; bool stop; const char *want; } cases[] = {
	{ "", false, "t= o= f=0 c=" },
	{ "a b", false, "a b t= o= f=0 c=" },
	{ "a --text x b -f", false, "a b t=x o= f=1 c=" },
	{ "--text=x --other=", false, "t=x o= f=0 c=" },
	{ "-t x --config y", false, "t=x o= f=0 c=y" },
	{ "--list a --list=b w", false, "w l=a l=b t= o= f=0 c=" },
	{ "-- --text -f", false, "--text -f t= o= f=0 c=" },
	{ "a -- b", false, "a b t= o= f=0 c=" },
	{ "-f cmd -f --text", true, "cmd -f --text t= o= f=1 c=" },
	{ "-f -- cmd -- x", true, "cmd -- x t= o= f=1 c=" },
	{ "-", false, "- t= o= f=0 c=" },
	{ "--text --flag", false, "t=--flag o= f=0 c=" },
	{ "--txt x", false, "unknown option --txt: did you mean --text?" },
	{ "--zzzzzzzz", false, "unknown option --zzzzzzzz: --help lists the options" },
	{ "-z", false, "unknown option -z: --help lists the options" },
	{ "-ff", false, "unknown option -ff: --help lists the options" },
	{ "--text", false, "option --text: needs a value" },
	{ "--text a --text b", false, "option --text: given twice: give it once" },
	{ "--flag=yes", false, "option --flag=yes: takes no value" },
	{ "--tex=1", false, "unknown option --tex: did you mean --text?" },
	{ "--=x", false, "unknown option --: --help lists the options" },
};

TEST(options)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct outcome *o = parse(cases[i].line, cases[i].stop);

		CHECK_STR(cases[i].line, shown(o), cases[i].want);
		if (!o->r)
			CHECK(cases[i].line, !o->a.word[o->a.n]);
	}
}

TEST(list_is_bounded)
{
	char line[1024] = "";

	for (int i = 0; i < OPTION_LIST_MAX; i++)
		strcat(line, "--list=x ");
	CHECK_EQ("full", parse(line, false)->r, 0);
	strcat(line, "--list=y");
	CHECK_EQ("one too many", parse(line, false)->r, -EINVAL);
}

/*
 * test_event.c - audit lines as people see them
 */
#include "cli/event.h"

#include "tests/unit/check.h"

#define HEAD "{\"ts\":\"2026-11-22T06:30:00.123Z\",\"src\":\"netd\",\"sandbox\":\"vm0\",\"decision\":\"deny\","

static const struct { const char *line, *what; } shapes[] = {
	{ "{\"ts\":\"1\",\"qtype\":\"A\",\"name\":\"evil.example\"}", "A evil.example" },
	{ "{\"ts\":\"1\",\"daddr\":\"1.2.3.4\",\"port\":443,\"proto\":\"tcp\"}", "1.2.3.4:443/tcp" },
	{ "{\"ts\":\"1\",\"daddr\":\"2001:db8::1\",\"port\":443,\"proto\":\"tcp\"}", "[2001:db8::1]:443/tcp" },
	{ "{\"ts\":\"1\",\"daddr\":\"1.2.3.4\",\"proto\":\"icmp\"}", "1.2.3.4/icmp" },
	{ "{\"ts\":\"1\",\"service\":\"git-upload-pack\",\"repo\":\"acme/payroll\",\"host\":\"github.com\"}",
	  "git-upload-pack github.com/acme/payroll" },
	{ "{\"ts\":\"1\",\"service\":\"lfs\",\"repo\":\"a/b\",\"host\":\"github.com\",\"direction\":\"upload\",\"oid\":\"01ab\"}",
	  "lfs upload github.com/a/b 01ab" },
	{ "{\"ts\":\"1\",\"service\":\"lfs\",\"repo\":\"a/b\",\"host\":\"github.com\",\"direction\":\"download\",\"objects\":2}",
	  "lfs download github.com/a/b" },
	{ "{\"ts\":\"1\",\"name\":\"a.example\",\"port\":443,\"sni\":\"b.example\",\"daddr\":\"1.2.3.4\"}",
	  "a.example:443 sni b.example" },
	{ "{\"ts\":\"1\",\"service\":\"\",\"host\":\"github.com\",\"repo\":\"a/b\"}", "github.com/a/b" },
	{ "{\"ts\":\"1\",\"what\":\"evicted\",\"host\":\"github.com\",\"repo\":\"a/b\"}", "mirror evicted github.com/a/b" },
	{ "{\"ts\":\"1\",\"method\":\"GET\",\"host\":\"h\",\"path\":\"/x\"}", "GET h/x" },
	{ "{\"ts\":\"1\",\"event\":\"push\",\"host\":\"github.com\",\"repo\":\"a/b\",\"service\":\"git-receive-pack\","
	  "\"outcome\":\"forwarded\",\"n_findings\":0,\"n_commands\":1,\"findings\":[],\"commands\":[{\"ref\":\"refs/heads/x\"}]}",
	  "push github.com/a/b refs/heads/x forwarded" },
	{ "{\"ts\":\"1\",\"event\":\"push\",\"host\":\"github.com\",\"repo\":\"a/b\",\"outcome\":\"rejected\",\"n_findings\":3,"
	  "\"n_commands\":4,\"findings\":[{\"rule\":\"github-pat\",\"path\":\"a.c\",\"line\":7,\"fingerprint\":\"01ab\"}],"
	  "\"commands\":[{\"ref\":\"refs/heads/x\"},{\"ref\":\"refs/heads/y\"}]}",
	  "push github.com/a/b refs/heads/x and 3 more rejected: github-pat in a.c:7, fingerprint 01ab, and 2 findings more" },
	{ "{\"ts\":\"1\",\"event\":\"push\",\"host\":\"github.com\",\"repo\":\"a/b\",\"outcome\":\"rejected\",\"n_findings\":1,"
	  "\"n_commands\":1,\"findings\":[{\"rule\":\"github-pat\",\"path\":\"\",\"line\":0,\"fingerprint\":\"01ab\"}],\"commands\":[]}",
	  "push github.com/a/b rejected: github-pat, fingerprint 01ab" },
	{ "{\"ts\":\"1\",\"event\":\"push\",\"outcome\":\"rejected\"}", "push -/- rejected" },
	{ "{\"ts\":\"1\",\"what\":\"added\",\"interface\":\"tap0\",\"ipv4\":\"10.1.0.2\"}", "added tap0" },
	{ "{\"ts\":\"1\",\"name\":\"esc\\u001b[31m\\u0085\\n\"}", "esc?[31m???" },
	{ "{\"ts\":\"1\"}", "-" },
};

TEST(what)
{
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		AUTO(mem) char *in = check_exact(shapes[i].line, strlen(shapes[i].line));
		char out[EVENT_TEXT_MAX] = "";
		struct event e;

		CHECK(shapes[i].line, event_parse(in, strlen(shapes[i].line), &e));
		event_what(&e, out, sizeof(out));
		CHECK_STR(shapes[i].line, out, shapes[i].what);
		event_done(&e);
	}
}

TEST(small_buffers_are_cut)
{
	static const char line[] = "{\"ts\":\"1\",\"daddr\":\"2001:db8::1\",\"port\":443,\"proto\":\"tcp\"}";

	for (size_t cap = 1; cap < 24; cap++) {
		AUTO(mem) char *out = malloc(cap);
		struct event e;

		CHECK(line, event_parse(W(line), &e));
		event_what(&e, out, cap);
		CHECK("ends inside", strlen(out) < cap);
		event_done(&e);
	}
}

TEST(not_events)
{
	static const char *const lines[] = { "", "x", "[]", "{}", "{\"ts\":1}", "{\"ts\":\"\"}", "{\"ts\":\"1\"",
					     "{\"ts\":\"1\",\"ts\":\"2\"}" };
	struct event e;

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		CHECK(lines[i], !event_parse(lines[i], strlen(lines[i]), &e));
}

TEST(line_for_people)
{
	static const char line[] = HEAD "\"reason\":\"address_not_granted\",\"rule\":\"default\",\"daddr\":\"1.2.3.4\","
				   "\"port\":443,\"proto\":\"tcp\",\"count\":3}";
	char out[EVENT_TEXT_MAX];
	struct event e;

	CHECK("parses", event_parse(W(line), &e));
	event_format(&e, false, out, sizeof(out));
	CHECK_STR("plain", out, "2026-11-22T06:30:00.123Z  vm0          deny    netd      "
				"1.2.3.4:443/tcp                           address_not_granted     default  x3");
	event_format(&e, true, out, sizeof(out));
	CHECK("coloured", strstr(out, "\033[31mdeny   \033[0m"));
	event_done(&e);
}

TEST(filter)
{
	static const char line[] = HEAD "\"reason\":\"x\"}";
	static const struct { const char *what; struct event_filter f; bool want; } cases[] = {
		{ "all", { 0 }, true },
		{ "its sandbox", { .sandbox = "vm0" }, true },
		{ "another sandbox", { .sandbox = "vm1" }, false },
		{ "refusals", { .deny = true }, true },
		{ "since before", { .since = "2026-11-22T06:29" }, true },
		{ "since the minute", { .since = "2026-11-22T06:30" }, true },
		{ "since after", { .since = "2026-11-22T06:30:00.124Z" }, false },
	};
	struct event e;

	CHECK("parses", event_parse(W(line), &e));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		CHECK_EQ(cases[i].what, event_wanted(&e, &cases[i].f), cases[i].want);
	event_done(&e);
}

TEST(since)
{
	static const struct { const char *text, *want; } cases[] = {
		{ "10m", "1970-01-01T00:50:00.000Z" }, { "1h", "1970-01-01T00:00:00.000Z" },
		{ "30m10s", "1970-01-01T00:29:50.000Z" }, { "2d", "1970-01-01T00:00:00.000Z" },
		{ "2026-11-22", "2026-11-22" },	       { "2026-11-22T06:30", "2026-11-22T06:30" },
		{ "", NULL }, { "m", NULL }, { "10", NULL }, { "10x", NULL }, { "-1m", NULL }, { "2026-11", NULL },
		{ "9999999999999999999m", NULL }, { "2026-11-22X", NULL },
	};
	char got[EVENT_TS_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool ok = event_since(cases[i].text, 3600000, got);

		CHECK_EQ(cases[i].text, ok, cases[i].want != NULL);
		if (ok && cases[i].want)
			CHECK_STR(cases[i].text, got, cases[i].want);
	}
}

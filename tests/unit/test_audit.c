/*
 * test_audit.c - the chain, torn lines, aggregation, escaping, failing disks
 */
#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/audit.h"
#include "base/audit_last.h"

static char dir[64], file[96];

static void setup(void)
{
	strcpy(dir, "/tmp/cordon-audit-XXXXXX");
	CHECK("dir", mkdtemp(dir) != NULL);
	snprintf(file, sizeof(file), "%s/t.jsonl", dir);
}

static void teardown(void)
{
	unlink(file);
	rmdir(dir);
}

static struct audit *reopen(void)
{
	struct audit *a = NULL;

	CHECK_EQ("open", audit_open(dir, "t", geteuid(), getegid(), &a), 0);
	return a;
}

static char *slurp(size_t *ret_n)
{
	char *text = calloc(1, 1 << 20);
	FILE *f = fopen(file, "rb");

	*ret_n = f ? fread(text, 1, (1 << 20) - 1, f) : 0;
	if (f)
		fclose(f);
	return text;
}

static void append(const char *text)
{
	FILE *f = fopen(file, "ab");

	fputs(text, f);
	fclose(f);
}

static void hex_of(const char *p, size_t n, char hex[65])
{
	unsigned char md[32];

	EVP_Digest(p, n, md, NULL, EVP_sha256(), NULL);
	for (int i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", md[i]);
}

/*
 * Walk the chain as whoever verifies it does: raw lines, prev is the hash of the line before.
 * Returns the number of lines, and that of lines that are not whole ones of ours.
 */
static int verify(int *ret_torn)
{
	size_t n;
	AUTO(mem) char *text = slurp(&n);
	char want[65], prev[80];
	int lines = 0;
	unsigned long long seq = 0, s;

	*ret_torn = 0;
	memset(want, '0', 64);
	want[64] = 0;
	CHECK("ends whole", n == 0 || text[n - 1] == '\n');
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1, lines++) {
		*end = 0;
		if (sscanf(line,
			   "{\"ts\":\"%*[^\"]\",\"seq\":%llu,\"src\":\"t\",\"prev\":\"%64[0-9a-f]"
			   "\",",
			   &s, prev) == 2 &&
		    end[-1] == '}') {
			CHECK_STR("chained", prev, want);
			CHECK("counts up", s > seq);
			seq = s;
		} else {
			++*ret_torn;
		}
		hex_of(line, (size_t)(end - line), want);
	}
	return lines;
}

static int count_of(const char *needle)
{
	size_t n;
	AUTO(mem) char *text = slurp(&n);
	int found = 0;

	for (char *at = text; (at = strstr(at, needle)); at++)
		found++;
	return found;
}

static int put(struct audit *a, const char *name)
{
	struct audit_head h = { .event = "dns", .sandbox = "vm0", .decision = "deny" };
	struct audit_line l;

	audit_begin(&l, &h);
	audit_rd(&l, "name", rd_of(name, strlen(name)));
	return audit_put(a, &l);
}

static int deny(struct audit *a, const char *key)
{
	struct audit_head h = { .event = "flow", .decision = "deny" };
	struct audit_line l;

	audit_begin(&l, &h);
	audit_str(&l, "key", key);
	return audit_aggregate(a, key, &l);
}

TEST(a_line)
{
	struct audit_head h = { .event = "dns",
				.sandbox = "vm0",
				.profile = "agent",
				.decision = "deny",
				.reason = "name_not_allowed",
				.rule = "default",
				.policy = "00ff" };
	struct audit_line l;
	struct audit *a;
	struct stat st;
	int torn;

	setup();
	a = reopen();
	audit_begin(&l, &h);
	audit_u64(&l, "port", UINT64_MAX);
	CHECK_EQ("put", audit_put(a, &l), 0);
	audit_close(a);
	CHECK_EQ(
		"whole",
		count_of(",\"event\":\"dns\",\"sandbox\":\"vm0\",\"profile\":\"agent\","
			 "\"decision\":\"deny\","
			 "\"reason\":\"name_not_allowed\",\"rule\":\"default\",\"policy\":\"00ff\","
			 "\"port\":18446744073709551615}\n"),
		1);
	CHECK_EQ("chain", verify(&torn), 1);
	CHECK("mode", !stat(file, &st) && (st.st_mode & 07777) == 0640);
	teardown();
}

static const struct {
	const char *name, *src;
	bool want;
} rotated[] = {
	{ "dns.jsonl", "dns", false },
	{ "dns.jsonl.1", "dns", true },
	{ "dns.jsonl-20261122", "dns", true },
	{ "dns-20261122T092351.123Z.jsonl", "dns", true },
	{ "dns.jsonl.1.gz", "dns", false },
	{ "dns.jsonl.", "dns", false },
	{ "dns.jsonl.new", "dns", false },
	{ "dns-.jsonl", "dns", false },
	{ "dns-new.jsonl", "dns", false },
	{ "dns2.jsonl", "dns", false },
	{ "dnsx-1.jsonl", "dns", false },
	{ "dns.log", "dns", false },
	{ "dns", "dns", false },
	{ "netd.jsonl.1", "dns", false },
	{ "", "dns", false },
};

TEST(names_of_rotated_files)
{
	for (size_t i = 0; i < ARRAY_SIZE(rotated); i++)
		CHECK_EQ(rotated[i].name, audit_is_rotated(rotated[i].name, rotated[i].src),
			 rotated[i].want);
}

/* An empty file continues what was written last, torn or not, and leaves that alone. */
TEST(the_chain_goes_on_after_a_rotation_and_a_restart)
{
	static const char *const ends[] = { "", "{\"ts\":\"half" };
	static const struct timespec long_ago[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		char old[96], older[96], want[65], prev[80] = "";
		AUTO(mem) char *before = NULL;
		AUTO(mem) char *after = NULL;
		const char *line;
		unsigned long long seq = 0;
		struct audit *a;
		size_t n, m;

		setup();
		snprintf(old, sizeof(old), "%s/t-20261122T092351.123Z.jsonl", dir);
		snprintf(older, sizeof(older), "%s/t.jsonl.7", dir);
		append("old news\n");
		CHECK_EQ("older", rename(file, older), 0);
		CHECK_EQ("long ago", utimensat(AT_FDCWD, older, long_ago, 0), 0);
		a = reopen();
		put(a, "a.example");
		put(a, "b.example");
		audit_close(a);
		append(ends[i]);
		before = slurp(&n);
		CHECK_EQ("rotated", rename(file, old), 0);
		a = reopen();
		put(a, "c.example");
		audit_close(a);
		after = slurp(&m);
		n -= before[n - 1] == '\n';
		line = (char *)memrchr(before, '\n', n) + 1;
		hex_of(line, n - (size_t)(line - before), want);
		CHECK_EQ("a line",
			 sscanf(after,
				"{\"ts\":\"%*[^\"]\",\"seq\":%llu,\"src\":\"t\",\"prev\":\"%64[0-9a-f]",
				&seq, prev),
			 2);
		CHECK_STR("chained", prev, want);
		CHECK("numbered on", seq >= 3);
		CHECK_EQ("the torn one is told of", count_of("\"event\":\"lost\""), i);
		unlink(old);
		unlink(older);
		teardown();
	}
}

TEST(the_chain_goes_on_after_a_restart)
{
	int torn;

	setup();
	for (int i = 0; i < 3; i++) {
		struct audit *a = reopen();

		CHECK_EQ("put", put(a, "a.example"), 0);
		CHECK_EQ("put", put(a, "b.example"), 0);
		audit_close(a);
	}
	CHECK_EQ("lines", verify(&torn), 6);
	CHECK_EQ("torn", torn, 0);
	CHECK_EQ("numbers go on", count_of("\"seq\":6,"), 1);
	teardown();
}

TEST(a_torn_last_line)
{
	static const struct { const char *what, *tail; } rows[] = {
		{ "half a line", "{\"ts\":\"2026-01-01T00:00:00.000Z\",\"se" },
		{ "only the newline is missing",
		  "{\"ts\":\"2026-01-01T00:00:00.000Z\",\"seq\":3,\"src\":\"t\"}" },
		{ "something else", "garbage\n" },
		{ "empty line", "\n" },
		{ "a number too long", "{\"ts\":\"\",\"seq\":99999999999999999999999,\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct audit *a;
		int torn;

		setup();
		a = reopen();
		put(a, "a");
		put(a, "b");
		audit_close(a);
		append(rows[i].tail);
		a = reopen();
		CHECK_EQ(rows[i].what, put(a, "c"), 0);
		audit_close(a);
		CHECK_EQ(rows[i].what, verify(&torn), 5);		/* a b torn lost c */
		CHECK_EQ(rows[i].what, torn, 1);
		CHECK_EQ(rows[i].what, count_of("\"event\":\"lost\""), 1);
		CHECK_EQ(rows[i].what, count_of("\"count\":1}"), 1);
		teardown();
	}
}

TEST(a_file_longer_than_what_is_read_back)
{
	char name[300];
	struct audit *a;
	int torn;

	setup();
	memset(name, 1, sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	a = reopen();
	for (int i = 0; i < 100; i++)
		put(a, name);
	audit_close(a);
	a = reopen();
	put(a, "last");
	audit_close(a);
	CHECK_EQ("lines", verify(&torn), 101);
	CHECK_EQ("torn", torn, 0);
	CHECK_EQ("numbered", count_of("\"seq\":101,"), 1);
	teardown();
}

TEST(aggregation_counts)
{
	struct audit *a;
	int torn;

	setup();
	a = reopen();
	for (int i = 0; i < 5; i++)
		CHECK_EQ("deny", deny(a, "vm0 evil.example 443 sni_mismatch"), i > 0);
	CHECK_EQ("other", deny(a, "vm1 evil.example 443 sni_mismatch"), 0);
	CHECK_EQ("at once, once", count_of("vm0 evil.example"), 1);
	audit_tick(a, false);
	CHECK_EQ("window is open", count_of("vm0 evil.example"), 1);
	audit_tick(a, true);
	CHECK_EQ("one line for the rest", count_of("\"count\":4}"), 1);
	CHECK_EQ("none for what did not repeat", count_of("vm1 evil.example"), 1);
	CHECK_EQ("a new window", deny(a, "vm0 evil.example 443 sni_mismatch"), 0);
	CHECK_EQ("first again", count_of("vm0 evil.example"), 3);
	deny(a, "vm0 evil.example 443 sni_mismatch");
	audit_close(a);
	CHECK_EQ("closing writes what is owed", count_of("\"count\":1}"), 1);
	CHECK_EQ("chain", verify(&torn), 5);
	teardown();
}

/* The table has an end; the counts have none. */
TEST(more_keys_than_fit)
{
	enum { KEYS = AUDIT_KEYS_MAX + 10 };
	struct audit *a = NULL;
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	char key[32];

	setup();
	a = reopen();
	audit_reopen(a, fd);
	for (int i = 0; i < KEYS; i++) {
		snprintf(key, sizeof(key), "key %d", i);
		CHECK_EQ("deny", deny(a, key), 0);
	}
	fd = open(file, O_RDWR | O_APPEND | O_TRUNC | O_CLOEXEC);
	audit_reopen(a, fd);
	for (int i = KEYS - 20; i < KEYS; i++) {
		snprintf(key, sizeof(key), "key %d", i);
		deny(a, key);
	}
	CHECK_EQ("at once where there is no room", count_of("\"event\":\"flow\""), 10);
	audit_close(a);
	CHECK_EQ("counted where there is", count_of("\"count\":1}"), 10);
	teardown();
}

TEST(escaping)
{
	static const struct { const char *what, *in; size_t n; const char *want; } rows[] = {
		{ "plain", W("pypi.example"), "\"name\":\"pypi.example\"}" },
		{ "newline ends no line", W("a\n{\"ts\":\"x\"}"),
		  "\"name\":\"a\\\\x0a{\\\"ts\\\":\\\"x\\\"}\"}" },
		{ "ANSI", W("\33[31m"), "\"name\":\"\\\\x1b[31m\"}" },
		{ "U+009B", W("\xc2\x9b" "31m"), "\"name\":\"\\\\xc2\\\\x9b31m\"}" },
		{ "invalid UTF-8", W("\xff\xc0\x80"), "\"name\":\"\\\\xff\\\\xc0\\\\x80\"}" },
		{ "NUL", W("a\0b"), "\"name\":\"a\\\\x00b\"}" },
		{ "what looks escaped", W("\\x1b"), "\"name\":\"\\\\\\\\x1b\"}" },
		{ "quote and backslash", W("\"\\"), "\"name\":\"\\\"\\\\\\\\\"}" },
		{ "good UTF-8", W("\xc3\xa9"), "\"name\":\"\xc3\xa9\"}" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(mem) void *in = check_exact(rows[i].in, rows[i].n);
		struct audit_head h = { .event = "dns" };
		struct audit_line l;
		struct audit *a;

		setup();
		a = reopen();
		audit_begin(&l, &h);
		audit_rd(&l, "name", rd_of(in, rows[i].n));
		CHECK_EQ(rows[i].what, audit_put(a, &l), 0);
		audit_close(a);
		CHECK_EQ(rows[i].what, count_of(rows[i].want), 1);
		CHECK_EQ(rows[i].what, count_of("\n"), 1);
		teardown();
	}
}

TEST(long_values_and_too_many)
{
	AUTO(mem) char *name = malloc(60000);
	struct audit_head h = { .event = "dns" };
	struct audit_line l;
	struct audit *a;
	int torn;

	setup();
	memset(name, 'a', 60000);
	a = reopen();
	audit_begin(&l, &h);
	audit_rd(&l, "name", rd_of(name, 60000));
	audit_rd(&l, "fits", rd_of(name, AUDIT_VALUE_MAX));
	CHECK_EQ("put", audit_put(a, &l), 0);
	audit_begin(&l, &h);
	memset(name, 1, 60000);
	for (int i = 0; i < AUDIT_LINE_MAX / AUDIT_VALUE_MAX; i++)
		audit_rd(&l, "name", rd_of(name, 60000));
	audit_u64(&l, "small", 1);
	CHECK_EQ("put", audit_put(a, &l), 0);
	audit_close(a);
	CHECK_EQ("cut once", count_of("aaa...\""), 1);
	CHECK_EQ("whole fields, and says so", count_of("\"small\":1,\"cut\":true}\n"), 1);
	CHECK_EQ("lines", verify(&torn), 2);
	CHECK_EQ("torn", torn, 0);
	teardown();
}

TEST(lists)
{
	struct audit_head h = { .event = "push" };
	struct audit_line l;
	struct audit *a;
	int torn;

	setup();
	a = reopen();
	audit_begin(&l, &h);
	audit_list(&l, "none");
	audit_list_end(&l);
	audit_list(&l, "some");
	for (uint64_t i = 0; i < 2; i++) {
		audit_item(&l);
		audit_str(&l, "name", "{");
		audit_u64(&l, "n", i);
		CHECK("fits", audit_item_end(&l));
	}
	audit_list_end(&l);
	audit_u64(&l, "after", 1);
	CHECK_EQ("put", audit_put(a, &l), 0);
	audit_close(a);
	CHECK_EQ("as JSON", count_of(",\"none\":[],\"some\":[{\"name\":\"{\",\"n\":0},{\"name\":\"{\",\"n\":1}],\"after\":1}\n"), 1);
	CHECK_EQ("lines", verify(&torn), 1);
	teardown();
}

/* Of more than fit there are whole ones, and the line ends as it should; even if nothing fits at all. */
TEST(lists_that_are_too_long)
{
	for (size_t room = 0; room < 2 * AUDIT_VALUE_MAX; room++) {
		struct audit_head h = { .event = "push" };
		char text[AUDIT_VALUE_MAX], end[40];
		struct audit_line l;
		size_t whole = 0;
		bool cut = false;

		memset(text, 'a', sizeof(text));
		audit_begin(&l, &h);
		l.w.cap = l.w.n + room;
		audit_list(&l, "list");
		for (size_t i = 0; i < 3 && !cut; i++) {
			audit_item(&l);
			audit_rd(&l, "x", rd_of(text, 100));
			cut = !audit_item_end(&l);
			whole += !cut;
		}
		audit_list_end(&l);
		CHECK("told", l.cut == cut && wr_ok(&l.w));
		CHECK_EQ("as many as fit", whole, room < 10 ? 0 : (room - 10 + 1) / 109 < 3 ? (room - 10 + 1) / 109 : 3);
		snprintf(end, sizeof(end), "%.*s", 2, (const char *)l.w.p + l.w.n - 2);
		CHECK_STR("ends", end, whole ? "}]" : room < 10 ? "\"\"" : "[]");
	}
}

TEST(ready)
{
	int full = open("/dev/full", O_RDWR | O_CLOEXEC), torn;
	struct audit *a;
	struct stat st;

	setup();
	a = reopen();
	CHECK_EQ("ready", audit_ready(a), 0);
	CHECK_EQ("stat", stat(file, &st), 0);
	CHECK_EQ("nothing is written", st.st_size, 0);
	CHECK("a line has room", (uint64_t)st.st_blocks * 512 >= AUDIT_LINE_MAX);
	audit_reopen(a, full);
	CHECK("not there", audit_ready(a) < 0);
	put(a, "a");
	CHECK("nor now", audit_ready(a) < 0);
	audit_reopen(a, open(file, O_RDWR | O_APPEND | O_CLOEXEC));
	CHECK_EQ("ready again", audit_ready(a), 0);
	CHECK("and well", audit_healthy(a));
	put(a, "b");
	audit_close(a);
	CHECK_EQ("told", count_of("\"event\":\"lost\""), 1);
	verify(&torn);
	CHECK_EQ("torn", torn, 0);
	teardown();
}

TEST(a_full_disk)
{
	struct audit *a;
	int full = open("/dev/full", O_RDWR | O_CLOEXEC), torn;

	setup();
	a = reopen();
	put(a, "a");
	CHECK("well", audit_healthy(a));
	CHECK_EQ("rotation fails", audit_reopen(a, full), -ENOSPC);
	CHECK_EQ("put", put(a, "b"), -ENOSPC);
	CHECK_EQ("deny", deny(a, "k"), -ENOSPC);
	CHECK("ill", !audit_healthy(a));
	audit_reopen(a, open(file, O_RDWR | O_APPEND | O_CLOEXEC));
	CHECK_EQ("put", put(a, "c"), 0);
	CHECK("well again", audit_healthy(a));
	audit_close(a);
	CHECK_EQ("told", count_of("\"event\":\"lost\""), 1);
	CHECK_EQ("exactly", count_of("\"count\":2}"), 1);
	CHECK_EQ("a rotate lost c", verify(&torn), 4);
	CHECK_EQ("torn", torn, 0);
	teardown();
}

TEST(a_write_that_stops_half_way_is_taken_back)
{
	struct rlimit before, limit;
	struct audit *a;
	struct stat st;
	int torn;

	setup();
	signal(SIGXFSZ, SIG_IGN);
	a = reopen();
	put(a, "a");
	CHECK_EQ("stat", stat(file, &st), 0);
	getrlimit(RLIMIT_FSIZE, &before);
	limit = before;
	limit.rlim_cur = (rlim_t)st.st_size + 50;
	setrlimit(RLIMIT_FSIZE, &limit);
	CHECK_EQ("put", put(a, "b"), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &before);
	CHECK_EQ("one line", verify(&torn), 1);
	CHECK_EQ("put", put(a, "c"), 0);
	audit_close(a);
	CHECK_EQ("a lost c", verify(&torn), 3);
	CHECK_EQ("torn", torn, 0);
	teardown();
}

TEST(what_may_not_be_opened)
{
	struct audit *a = NULL;

	setup();
	CHECK_EQ("link", symlink("/tmp/elsewhere", file), 0);
	CHECK_EQ("a symlink", audit_open(dir, "t", geteuid(), getegid(), &a), -ELOOP);
	unlink(file);
	CHECK_EQ("fifo", mkfifo(file, 0600), 0);
	CHECK_EQ("a fifo", audit_open(dir, "t", geteuid(), getegid(), &a), -EPERM);
	CHECK_EQ("no directory", audit_open("/nonexistent", "t", geteuid(), getegid(), &a),
		 -ENOENT);
	CHECK("nothing came", a == NULL);
	teardown();
}

static void *writer(void *arg)
{
	for (int i = 0; i < 200; i++) {
		put(arg, "thread");
		deny(arg, "shared");
	}
	return NULL;
}

TEST(threads)
{
	pthread_t t[4];
	struct audit *a;
	int torn;

	setup();
	a = reopen();
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		pthread_create(&t[i], NULL, writer, a);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		pthread_join(t[i], NULL);
	audit_close(a);
	CHECK_EQ("every line, and one key", verify(&torn), 4 * 200 + 2);
	CHECK_EQ("torn", torn, 0);
	CHECK_EQ("all of them", count_of("\"count\":799}"), 1);
	teardown();
}

/*
 * test_view.c - a part's view against a netd played by the test
 *
 * Policies are stand-ins (below): their text is their hash, "bad" does not compile, and references
 * are counted, so a leak or a use after free shows.
 */
#include "tests/unit/check.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/ipc.h"
#include "base/msg.h"
#include "policy/view.h"

/* ---- stand-ins for policy/ ---- */

struct policy { int refs; char name[MSG_LABEL], text[MSG_SHA]; };
static int policies_alive;

int policy_compile(const char *name, const char *file, const char *text, size_t n,
		   const struct policy_site *site, struct diag *d, struct policy **ret)
{
	struct policy *p;

	(void)file;
	(void)site;
	(void)d;
	if (!strcmp(text, "bad") || n >= MSG_SHA)
		return -EINVAL;
	p = calloc(1, sizeof(*p));
	p->refs = 1;
	msg_text_set(p->name, sizeof(p->name), name);
	msg_text_set(p->text, sizeof(p->text), text);
	policies_alive++;
	*ret = p;
	return 0;
}

struct policy *policy_ref(const struct policy *p)
{
	struct policy *mine = (struct policy *)(uintptr_t)p;

	mine->refs++;
	return mine;
}

void policy_unref(struct policy *p)
{
	if (!p || --p->refs)
		return;
	policies_alive--;
	free(p);
}

const char *policy_sha256(const struct policy *p) { return p->text; }
int diag_new(struct diag **ret) { *ret = NULL; return 0; }
void diag_free(struct diag *d) { (void)d; }
struct policy_site host_config_site(const struct host_config *c)
{
	(void)c;
	return (struct policy_site){ 0 };
}

/* ---- the fake netd ---- */

static char dir[64], parts[80], sock_path[96];
static struct host_config config;
static int listener = -1, conn = -1;
static struct view *view;
static int extra_calls, extra_result;

static int on_extra(void *owner, const struct ipc_in *in)
{
	CHECK("owner", owner == &config);
	CHECK_EQ("type", in->head.type, MSG_CLOSE);
	extra_calls++;
	return extra_result;
}

static void setup(void)
{
	strcpy(dir, "/tmp/cordon-view-XXXXXX");
	CHECK("dir", mkdtemp(dir) != NULL);
	snprintf(parts, sizeof(parts), "%s/parts", dir);
	snprintf(sock_path, sizeof(sock_path), "%s/netd.sock", parts);
	CHECK_EQ("mkdir", mkdir(parts, 0700), 0);
	config.run_dir = dir;
	CHECK("pool", prefix_parse("198.18.0.0/15", &config.pool.v4) &&
	      prefix_parse("fd63:6f72:646f::/64", &config.pool.v6));
	listener = ipc_listen(sock_path, 0600, (gid_t)-1);
	CHECK("listen", listener >= 0);
	extra_calls = extra_result = 0;
	CHECK_EQ("new", view_new(&config, ROLE_GITPROXY, on_extra, &config, &view), 0);
}

static void teardown(void)
{
	view_free(STEAL(view));
	close(STEAL_FD(listener));
	if (conn >= 0)
		close(STEAL_FD(conn));
	unlink(sock_path);
	rmdir(parts);
	rmdir(dir);
	CHECK_EQ("no policy leaks", policies_alive, 0);
}

/* Accept the view, which must say HELLO. */
static void netd_accept(void)
{
	const struct msg_hello *m;
	struct ipc_in in;

	if (conn >= 0)
		close(conn);
	for (int tries = 0; (conn = accept(listener, NULL, NULL)) < 0 && tries < 2000; tries++)
		usleep(1000);
	CHECK_EQ("hello", ipc_recv(conn, &in), 0);
	m = msg_body(&in, MSG_HELLO);
	CHECK("hello", m && m->protocol == MSG_PROTOCOL && m->role == ROLE_GITPROXY &&
			       !strcmp(m->build, CORDON_VERSION));
}

static void netd_send(enum msg_type t, uint32_t sequence, const void *body)
{
	CHECK_EQ("send", msg_send(conn, t, sequence, body), 0);
}

static void netd_profile_text(uint32_t sequence, uint16_t id, uint32_t generation, const char *text,
			      const char *sha)
{
	struct msg_profile m = { .id = id, .generation = generation };
	AUTO(fd) int fd = ipc_memfd("p", text, strlen(text));

	msg_text_set(m.name, sizeof(m.name), "agent");
	msg_text_set(m.sha256, sizeof(m.sha256), sha);
	CHECK_EQ("send", msg_send_fd(conn, MSG_PROFILE, sequence, &m, fd), 0);
}

static void netd_profile(uint32_t sequence, uint16_t id, uint32_t generation, const char *text)
{
	netd_profile_text(sequence, id, generation, text, text);
}

static void netd_sandbox(uint32_t sequence, uint16_t id, uint16_t profile, const char *v4,
			 const char *v6)
{
	struct msg_sandbox m = { .id = id, .profile = profile };

	snprintf(m.name, sizeof(m.name), "vm%u", id);
	if (v4)
		CHECK("v4", addr_parse(v4, &m.addr[0]));
	if (v6)
		CHECK("v6", addr_parse(v6, &m.addr[1]));
	netd_send(MSG_SANDBOX, sequence, &m);
}

static void netd_name(enum msg_type t, uint32_t sequence, uint32_t index, const char *name)
{
	struct msg_name m = { .index = index };

	msg_text_set(m.name, sizeof(m.name), name);
	netd_send(t, sequence, &m);
}

/* The view answers one message with DONE. */
static void expect_done(const char *what, uint32_t sequence, int want)
{
	const struct msg_done *m;
	struct ipc_in in;

	CHECK_EQ(what, ipc_recv(conn, &in), 0);
	m = msg_body(&in, MSG_DONE);
	CHECK(what, m && in.head.sequence == sequence);
	if (m)
		CHECK_EQ(what, m->result, want);
}

static void expect_ready(const char *what, uint32_t sequence, uint32_t count, int want)
{
	const struct msg_reload *m;
	struct ipc_in in;

	CHECK_EQ(what, ipc_recv(conn, &in), 0);
	m = msg_body(&in, MSG_READY);
	CHECK(what, m && in.head.sequence == sequence && m->count == count);
	if (m)
		CHECK_EQ(what, m->result, want);
}

static void feed(const char *what, int times)
{
	for (int i = 0; i < times; i++)
		CHECK_EQ(what, view_feed(view), 0);
}

/* The policy that a guest is under, or "". */
static const char *policy_of(const char *guest)
{
	static char text[MSG_SHA];
	struct view_sandbox s;
	struct addr a;

	text[0] = 0;
	CHECK("guest", addr_parse(guest, &a));
	if (view_sandbox_of(view, &a, &s))
		strcpy(text, s.policy->text);
	view_sandbox_done(&s);
	return text;
}

static const char *name_of(const char *synthetic)
{
	static char name[MSG_NAME];
	struct addr a;

	CHECK("synthetic", addr_parse(synthetic, &a));
	view_name_of(view, &a, name);
	return name;
}

/* Connected, with profile 1 "one", sandbox 7 under it, name 256. */
static void snapshot(void)
{
	CHECK("connect", view_connect(view) >= 0);
	netd_accept();
	netd_profile(0, 1, 1, "one");
	netd_sandbox(0, 7, 1, "10.1.0.2", "fd00:1::2");
	netd_name(MSG_NAME_IS, 0, 256, "github.com");
	feed("snapshot", 3);
}

static void serve(void)
{
	snapshot();
	netd_send(MSG_END, 0, NULL);
	feed("end", 1);
}

/* ---- tests ---- */

TEST(nothing_before_end)
{
	setup();
	CHECK("not ready", !view_ready(view));
	CHECK_EQ("feed", view_feed(view), -ENOTCONN);
	CHECK_EQ("send", view_send(view, MSG_END, 0, NULL), -ENOTCONN);
	snapshot();
	CHECK("not ready", !view_ready(view));
	CHECK_STR("sandbox", policy_of("10.1.0.2"), "");
	CHECK_STR("name", name_of("198.18.1.0"), "");
	netd_send(MSG_END, 0, NULL);
	feed("end", 1);
	CHECK("ready", view_ready(view));
	CHECK_EQ("at once", view_wait_ready(view, 1), 0);
	CHECK_STR("by IPv4", policy_of("10.1.0.2"), "one");
	CHECK_STR("by IPv6", policy_of("fd00:1::2"), "one");
	CHECK_STR("stranger", policy_of("10.1.0.3"), "");
	CHECK_STR("name by IPv4", name_of("198.18.1.0"), "github.com");
	CHECK_STR("name by IPv6", name_of("fd63:6f72:646f::100"), "github.com");
	CHECK_STR("no such name", name_of("198.18.1.1"), "");
	CHECK_STR("not synthetic", name_of("8.8.8.8"), "");
	teardown();
}

TEST(changes)
{
	struct msg_gone gone = { 7 };

	setup();
	serve();
	netd_sandbox(11, 8, 1, "10.1.0.3", NULL);
	feed("sandbox", 1);
	expect_done("sandbox", 11, 0);
	CHECK_STR("new", policy_of("10.1.0.3"), "one");
	netd_sandbox(12, 8, 1, "10.1.0.4", NULL);
	feed("moved", 1);
	expect_done("moved", 12, 0);
	CHECK_STR("old address", policy_of("10.1.0.3"), "");
	CHECK_STR("new address", policy_of("10.1.0.4"), "one");
	netd_send(MSG_GONE, 13, &gone);
	feed("gone", 1);
	expect_done("gone", 13, 0);
	CHECK_STR("gone", policy_of("10.1.0.2"), "");
	CHECK_STR("gone", policy_of("fd00:1::2"), "");
	netd_name(MSG_NAME_IS, 14, 257, "pypi.example");
	netd_name(MSG_NAME_GONE, 15, 256, "github.com");
	feed("names", 2);
	expect_done("name", 14, 0);
	expect_done("name gone", 15, 0);
	CHECK_STR("new name", name_of("198.18.1.1"), "pypi.example");
	CHECK_STR("recycled", name_of("198.18.1.0"), "");
	netd_profile(16, 1, 2, "two");
	feed("profile", 1);
	expect_done("profile", 16, 0);
	CHECK_STR("replaced at once", policy_of("10.1.0.4"), "two");
	netd_sandbox(0, 9, 5, "10.1.0.5", NULL);
	feed("unknown profile", 1);
	CHECK_STR("no policy, no sandbox", policy_of("10.1.0.5"), "");
	teardown();
}

TEST(a_reference_outlives_the_change)
{
	struct view_sandbox s;
	struct addr a;

	setup();
	serve();
	addr_parse("10.1.0.2", &a);
	CHECK("found", view_sandbox_of(view, &a, &s));
	CHECK("all of it",
	      s.id == 7 && s.profile == 1 && !strcmp(s.name, "vm7") && addr_eq(&s.addr[0], &a));
	netd_profile(0, 1, 2, "two");
	feed("profile", 1);
	CHECK_STR("the old one", s.policy->text, "one");
	view_sandbox_done(&s);
	view_sandbox_done(&s);
	teardown();
}

TEST(reload_in_two_phases)
{
	struct msg_reload m = { .generation = 2, .count = 2 };

	setup();
	serve();
	netd_send(MSG_PREPARE, 20, &m);
	netd_profile(0, 1, 2, "two");
	feed("prepare", 2);
	CHECK_STR("old until commit", policy_of("10.1.0.2"), "one");
	netd_profile(0, 2, 2, "three");
	feed("prepare", 1);
	expect_ready("ready", 20, 2, 0);
	CHECK_STR("old until commit", policy_of("10.1.0.2"), "one");
	netd_send(MSG_COMMIT, 21, &m);
	feed("commit", 1);
	expect_done("commit", 21, 0);
	CHECK_STR("new", policy_of("10.1.0.2"), "two");

	m = (struct msg_reload){ .generation = 3, .count = 1 };
	netd_send(MSG_PREPARE, 22, &m);
	netd_profile(0, 1, 3, "bad");
	feed("a profile that does not compile", 2);
	expect_ready("says so", 22, 1, -EINVAL);
	netd_send(MSG_ABORT, 0, &m);
	feed("abort", 1);
	CHECK_STR("the old one stays", policy_of("10.1.0.2"), "two");

	m = (struct msg_reload){ .generation = 4, .count = 0 };
	netd_send(MSG_PREPARE, 23, &m);
	feed("no profiles at all", 1);
	expect_ready("at once", 23, 0, 0);
	netd_send(MSG_COMMIT, 24, &m);
	feed("commit", 1);
	expect_done("commit", 24, 0);
	CHECK_STR("no profile, no sandbox", policy_of("10.1.0.2"), "");
	teardown();
}

static uint16_t revoked[8];
static size_t n_revoked;

static void on_revoked(void *owner, uint16_t sandbox)
{
	CHECK("owner", owner == &config);
	CHECK("not before it is in force", !view_ready(view));
	revoked[n_revoked++ % ARRAY_SIZE(revoked)] = sandbox;
}

/* While nobody could tell: 8 went, 9 has another profile, 10 another address; 7 is as it was. */
TEST(what_was_revoked_meanwhile)
{
	struct msg_gone gone = { 11 };

	setup();
	view_set_revoked(view, on_revoked);
	n_revoked = 0;
	serve();
	CHECK_EQ("the first snapshot takes nothing away", n_revoked, 0);
	netd_sandbox(1, 8, 1, "10.1.0.8", NULL);
	netd_sandbox(2, 9, 1, "10.1.0.9", NULL);
	netd_sandbox(3, 10, 1, "10.1.0.10", NULL);
	feed("three more", 3);
	close(STEAL_FD(conn));
	CHECK("lost", view_feed(view) < 0);
	snapshot();
	netd_profile(0, 2, 1, "two");
	netd_sandbox(0, 9, 2, "10.1.0.9", NULL);
	netd_sandbox(0, 10, 1, "10.1.0.11", NULL);
	netd_sandbox(0, 11, 1, "10.1.0.12", NULL);
	netd_send(MSG_GONE, 4, &gone);			/* removed while the snapshot is on its way */
	netd_send(MSG_END, 0, NULL);
	feed("again", 6);
	CHECK_EQ("three of four", n_revoked, 3);
	CHECK("these", revoked[0] == 8 && revoked[1] == 9 && revoked[2] == 10);
	CHECK_STR("gone before END", policy_of("10.1.0.12"), "");
	CHECK_STR("still there", policy_of("10.1.0.2"), "one");
	teardown();
}

/* Each of these ends the connection, and with it every answer. */
enum wrong {
	HASH,
	TEXT,
	NO_FD,
	SECOND_END,
	ID_ZERO,
	TWICE_ADDR,
	FAMILY,
	COMMIT_ALONE,
	COMMIT_EARLY,
	COMMIT_BAD,
	PREPARE_TWICE,
	TOO_MANY,
	OTHER_GENERATION,
	PROFILE_ID,
	INDEX,
	NO_NAME,
	UNKNOWN,
	EXTRA_FAILS,
	CLOSED,
	LENGTH
};

static void send_wrong(enum wrong w)
{
	struct msg_reload m = { .generation = 2, .count = 1 };
	struct msg_profile profile = { .id = 1 };
	struct msg_sandbox s = { .id = 9, .profile = 1, .addr = { { .family = 6 } } };
	struct msg_close close_it = { .sandbox = 7 };

	switch (w) {
	case HASH: netd_profile_text(0, 1, 1, "one", "other"); break;
	case TEXT: netd_profile(0, 1, 1, "bad"); break;
	case NO_FD: netd_send(MSG_PROFILE, 0, &profile); break;
	case SECOND_END: netd_send(MSG_END, 0, NULL); break;
	case ID_ZERO: netd_sandbox(0, 0, 1, "10.1.0.9", NULL); break;
	case TWICE_ADDR: netd_sandbox(0, 8, 1, "10.1.0.2", NULL); break;
	case FAMILY: netd_send(MSG_SANDBOX, 0, &s); break;
	case COMMIT_ALONE: netd_send(MSG_COMMIT, 0, &m); break;
	case COMMIT_EARLY: netd_send(MSG_PREPARE, 0, &m); netd_send(MSG_COMMIT, 0, &m); break;
	case COMMIT_BAD:
		netd_send(MSG_PREPARE, 0, &m);
		netd_profile(0, 1, 2, "bad");
		netd_send(MSG_COMMIT, 0, &m);
		break;
	case PREPARE_TWICE: netd_send(MSG_PREPARE, 0, &m); netd_send(MSG_PREPARE, 0, &m); break;
	case TOO_MANY:
		netd_send(MSG_PREPARE, 0, &m);
		netd_profile(0, 1, 2, "a");
		netd_profile(0, 2, 2, "b");
		break;
	case OTHER_GENERATION: netd_send(MSG_PREPARE, 0, &m); netd_profile(0, 1, 3, "a"); break;
	case PROFILE_ID: netd_profile(0, 4096, 1, "one"); break;
	case INDEX: netd_name(MSG_NAME_IS, 0, 1u << 17, "x.example"); break;
	case NO_NAME: netd_name(MSG_NAME_IS, 0, 300, ""); break;
	case UNKNOWN: CHECK_EQ("send", ipc_send(conn, 999, 0, "x", 1, NULL, 0), 0); break;
	case EXTRA_FAILS: extra_result = -EPROTO; netd_send(MSG_CLOSE, 0, &close_it); break;
	case CLOSED: close(STEAL_FD(conn)); break;
	case LENGTH: CHECK_EQ("send", ipc_send(conn, MSG_GONE, 0, "x", 1, NULL, 0), 0); break;
	}
}

TEST(anything_unexpected_ends_the_connection)
{
	static const struct { const char *what; enum wrong w; bool before_end; } rows[] = {
		{ "hash differs", HASH, true },
		{ "hash differs later", HASH, false },
		{ "does not compile", TEXT, true },
		{ "no text", NO_FD, true },
		{ "two ends", SECOND_END, false },
		{ "sandbox 0", ID_ZERO, true },
		{ "another sandbox's address", TWICE_ADDR, true },
		{ "IPv6 in IPv4's place", FAMILY, true },
		{ "commit without prepare", COMMIT_ALONE, false },
		{ "commit before ready", COMMIT_EARLY, false },
		{ "commit of what did not compile", COMMIT_BAD, false },
		{ "prepare twice", PREPARE_TWICE, false },
		{ "more profiles than announced", TOO_MANY, false },
		{ "another generation", OTHER_GENERATION, false },
		{ "prepare in the snapshot", PREPARE_TWICE, true },
		{ "profile id too large", PROFILE_ID, true },
		{ "index outside the pool", INDEX, true },
		{ "empty name", NO_NAME, true },
		{ "unknown type early", UNKNOWN, true },
		{ "CLOSE before end", EXTRA_FAILS, true },
		{ "the owner refuses", EXTRA_FAILS, false },
		{ "netd died", CLOSED, false },
		{ "netd died early", CLOSED, true },
		{ "wrong length", LENGTH, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int r = 0;

		setup();
		if (rows[i].before_end)
			snapshot();
		else
			serve();
		send_wrong(rows[i].w);
		for (int times = 0; times < 3 && r == 0; times++)
			r = view_feed(view);
		CHECK(rows[i].what, r < 0);
		CHECK_EQ(rows[i].what, view_send(view, MSG_END, 0, NULL), -ENOTCONN);
		CHECK(rows[i].what, !view_ready(view));
		CHECK_STR(rows[i].what, policy_of("10.1.0.2"), "");
		CHECK_STR(rows[i].what, name_of("198.18.1.0"), "");
		serve();
		CHECK_STR("a new snapshot", policy_of("10.1.0.2"), "one");
		teardown();
	}
}

TEST(a_failure_is_told_before_the_end)
{
	setup();
	serve();
	netd_profile_text(30, 1, 2, "two", "other");
	CHECK_EQ("feed", view_feed(view), -EBADMSG);
	expect_done("told", 30, -EBADMSG);
	teardown();
}

TEST(a_new_snapshot_replaces_everything)
{
	setup();
	serve();
	CHECK("connect", view_connect(view) >= 0);
	netd_accept();
	netd_profile(0, 2, 1, "other");
	netd_sandbox(0, 8, 2, "10.1.0.9", NULL);
	feed("snapshot", 2);
	CHECK_STR("not ready", policy_of("10.1.0.2"), "");
	netd_send(MSG_END, 0, NULL);
	feed("end", 1);
	CHECK_STR("old sandbox", policy_of("10.1.0.2"), "");
	CHECK_STR("old name", name_of("198.18.1.0"), "");
	CHECK_STR("new sandbox", policy_of("10.1.0.9"), "other");
	teardown();
}

TEST(extra)
{
	struct msg_close m = { .sandbox = 7 };

	setup();
	serve();
	netd_send(MSG_CLOSE, 5, &m);
	feed("close", 1);
	CHECK_EQ("owner was asked", extra_calls, 1);
	teardown();
}

TEST(no_netd)
{
	setup();
	unlink(sock_path);
	CHECK_EQ("connect", view_connect(view), -ENOENT);
	CHECK_EQ("wait", view_wait_ready(view, 10), -ETIMEDOUT);
	teardown();
}

/* The thread connects, and connects again when netd comes back. */
TEST(thread)
{
	setup();
	CHECK_EQ("start", view_start_thread(view), 0);
	for (int round = 0; round < 2; round++) {
		netd_accept();
		netd_profile(0, 1, 1, "one");
		netd_sandbox(0, 7, 1, "10.1.0.2", NULL);
		netd_send(MSG_END, 0, NULL);
		CHECK_EQ("ready", view_wait_ready(view, 5000), 0);
		CHECK_STR("sandbox", policy_of("10.1.0.2"), "one");
		close(STEAL_FD(conn));
		for (int tries = 0; view_ready(view) && tries < 2000; tries++)
			usleep(1000);
		CHECK("not ready without netd", !view_ready(view));
	}
	teardown();
}

/*
 * test_dns_resolver.c - no answer without a landed pin, whatever happens on the way
 *
 * The resolver is linked with a view, an upstream and policies of this file, so that each step is a
 * call.
 */
#include "tests/unit/check.h"

#include <errno.h>
#include <sys/syscall.h>
#include <time.h>

#include "dns/resolver.h"
#include "policy/address.h"

/* ---- what the resolver stands on ---- */

struct policy { int refs; };
static struct policy policy_a = { 1 }, policy_b = { 1 };
static struct msg_pin sent[64];
static uint32_t sent_sequence[64];
static size_t n_sent;
static int send_result;
static struct upstream_wait *asking;	/* the last who asked */
static unsigned asks;
static time_t skipped;			/* seconds that nobody waits for */

/* Instead of the C library's: base/loop.c gets its time here. */
int clock_gettime(clockid_t clock, struct timespec *ret)
{
	int r = (int)syscall(SYS_clock_gettime, clock, ret);

	ret->tv_sec += skipped;
	return r;
}

struct policy *policy_ref(const struct policy *p)
{
	struct policy *mine = (struct policy *)p;

	mine->refs++;
	return mine;
}

void policy_unref(struct policy *p)
{
	if (p)
		p->refs--;
}

void policy_decide_name(const struct policy *p, const char *name, struct name_decision *ret)
{
	(void)p;
	(void)name;
	*ret = (struct name_decision){ 0 };
}

struct policy_site host_config_site(const struct host_config *c)
{
	(void)c;
	return (struct policy_site){ 0 };
}

int view_send(struct view *v, enum msg_type t, uint32_t sequence, const void *body)
{
	(void)v;
	CHECK_EQ("only PIN is sent", t, MSG_PIN);
	if (send_result < 0)
		return send_result;
	sent_sequence[n_sent % ARRAY_SIZE(sent)] = sequence;
	memcpy(&sent[n_sent++ % ARRAY_SIZE(sent)], body, sizeof(sent[0]));
	return 0;
}

void upstream_ask(struct upstream *u, const char *name, struct upstream_wait *w)
{
	(void)u;
	(void)name;
	asking = w;
	asks++;
}

void upstream_cancel(struct upstream_wait *w)
{
	if (asking == w)
		asking = NULL;
}

/* ---- a fixture ---- */

struct fixture {
	struct loop *loop;
	struct host_config config;
	struct resolver *resolver;
	struct view_sandbox sandbox;
	struct name_decision forward, proxied;
};
struct waiter {
	struct resolver_wait wait;
	unsigned called;
	const struct policy *policy;
	uint16_t sandbox;
	bool anothers;
	struct answer answer[2];	/* A, AAAA */
};

static void waiter_fn(struct resolver_wait *w, const struct outcome *o)
{
	struct waiter *me = container_of(w, struct waiter, wait);

	me->called++;
	me->policy = outcome_policy(o);
	me->anothers = outcome_is_anothers(o, me->sandbox);
	outcome_answer(o, DNS_A, 0, &me->answer[0]);
	outcome_answer(o, DNS_AAAA, 0, &me->answer[1]);
}

static struct waiter waiter(void)
{
	return (struct waiter){ .wait.fn = waiter_fn, .sandbox = 7 };
}

static void start(struct fixture *f)
{
	*f = (struct fixture){ 0 };
	prefix_parse("198.18.0.0/15", &f->config.pool.v4);
	prefix_parse("fd63:6f72:646f::/64", &f->config.pool.v6);
	f->sandbox = (struct view_sandbox){ .id = 7, .profile = 3, .policy = &policy_a };
	f->forward = (struct name_decision){ .allowed = true, .rule = "rule" };
	f->proxied = (struct name_decision){ .allowed = true, .rule = "rule", .proxied = true };
	n_sent = asks = 0;
	send_result = 0;
	asking = NULL;
	if (loop_new(&f->loop) || resolver_new(f->loop, &f->config, NULL, NULL, &f->resolver))
		abort();
}

static void end(struct fixture *f)
{
	resolver_free(f->resolver);
	loop_free(f->loop);
	CHECK_EQ("references to policy a", policy_a.refs, 1);
	CHECK_EQ("references to policy b", policy_b.refs, 1);
}

static void answered(const char *v4, const char *v6)
{
	struct upstream_answer a = { .status = UPSTREAM_ADDRESSES, .ttl = 300 };
	struct upstream_wait *w = asking;

	a.n4 = v4 && addr_parse(v4, &a.a4[0]);
	a.n6 = v6 && addr_parse(v6, &a.a6[0]);
	asking = NULL;
	w->fn(w, &a);
}

static void failed(enum upstream_status status)
{
	struct upstream_answer a = { .status = status, .ttl = 1 };
	struct upstream_wait *w = asking;

	asking = NULL;
	w->fn(w, &a);
}

static int pinned(struct fixture *f, uint32_t sequence, enum reason reason, uint32_t index, bool v4,
		  bool v6)
{
	struct msg_pinned m = { .reason = reason, .index = index, .has4 = v4, .has6 = v6 };
	struct ipc_in in = { .head = { MSG_PINNED, sizeof(m), sequence } };

	memcpy(in.body, &m, sizeof(m));
	return resolver_pinned(f->resolver, &in);
}

static bool hit(struct fixture *f, const char *name)
{
	struct answer a;

	return resolver_lookup(f->resolver, &f->sandbox, name, DNS_A, &a) &&
	       a.reply.kind == REPLY_ADDRESS;
}

/* ---- tests ---- */

TEST(pass_through_name)
{
	struct waiter one = waiter(), two = waiter();
	struct fixture f;

	start(&f);
	CHECK("first waits",
	      resolver_wait(f.resolver, &f.sandbox, "a.example", &f.forward, &one.wait));
	CHECK("second waits",
	      resolver_wait(f.resolver, &f.sandbox, "a.example", &f.forward, &two.wait));
	CHECK_EQ("one question", asks, 1);
	CHECK_EQ("no pin before the addresses", n_sent, 0);
	answered("93.184.216.34", NULL);
	CHECK_EQ("one pin", n_sent, 1);
	CHECK_EQ("its address", sent[0].n4, 1);
	CHECK_EQ("its other family", sent[0].n6, 0);
	CHECK_EQ("its profile", sent[0].profile, 3);
	CHECK_STR("its name", sent[0].name, "a.example");
	CHECK_EQ("nobody is answered before the pin landed", one.called + two.called, 0);
	CHECK("nor does a look-up hit", !hit(&f, "a.example"));
	CHECK_EQ("pinned", pinned(&f, sent_sequence[0], REASON_NONE, 256, true, false), 0);
	CHECK_EQ("both are answered", one.called * 10 + two.called, 11);
	CHECK_EQ("address", one.answer[0].reply.kind, REPLY_ADDRESS);
	CHECK("synthetic", !memcmp(one.answer[0].reply.addr.b, "\xc6\x12\1\0", 4));
	CHECK_EQ("no data", one.answer[1].reply.kind, REPLY_NEGATIVE);
	CHECK_EQ("no data is no error", one.answer[1].reply.rcode, DNS_NOERROR);
	CHECK("now it hits", hit(&f, "a.example"));
	CHECK_EQ("a second PINNED is nothing",
		 pinned(&f, sent_sequence[0], REASON_NONE, 257, true, true), 0);
	end(&f);
}

TEST(proxied_name_needs_no_upstream)
{
	struct waiter w = waiter();
	struct fixture f;

	start(&f);
	CHECK("waits", resolver_wait(f.resolver, &f.sandbox, "git.example", &f.proxied, &w.wait));
	CHECK_EQ("no question", asks, 0);
	CHECK_EQ("pin without addresses", n_sent == 1 && !sent[0].n4 && !sent[0].n6, 1);
	pinned(&f, sent_sequence[0], REASON_NONE, 300, true, true);
	CHECK_EQ("A", w.answer[0].reply.kind, REPLY_ADDRESS);
	CHECK_EQ("AAAA", w.answer[1].reply.addr.family, 6);
	end(&f);
}

TEST(a_pin_is_of_one_profile_and_policy)
{
	struct waiter w = waiter();
	struct fixture f;

	start(&f);
	resolver_wait(f.resolver, &f.sandbox, "a.example", &f.proxied, &w.wait);
	pinned(&f, sent_sequence[0], REASON_NONE, 300, true, true);
	CHECK("hit", hit(&f, "a.example"));
	f.sandbox.profile = 4;
	CHECK("not of another profile", !hit(&f, "a.example"));
	f.sandbox.profile = 3;
	f.sandbox.policy = &policy_b;
	CHECK("not after a reload", !hit(&f, "a.example"));
	w = waiter();
	resolver_wait(f.resolver, &f.sandbox, "a.example", &f.proxied, &w.wait);
	CHECK_EQ("pinned anew", n_sent, 2);
	pinned(&f, sent_sequence[1], REASON_NONE, 300, true, true);
	CHECK("under the new policy", w.policy == &policy_b);
	CHECK("hit again", hit(&f, "a.example"));
	end(&f);
}

TEST(a_waiter_learns_under_which_policy)
{
	struct waiter before = waiter(), after = waiter();
	struct fixture f;

	start(&f);
	resolver_wait(f.resolver, &f.sandbox, "a.example", &f.forward, &before.wait);
	f.sandbox.policy = &policy_b;
	resolver_wait(f.resolver, &f.sandbox, "a.example", &f.forward, &after.wait);
	answered("93.184.216.34", NULL);
	pinned(&f, sent_sequence[0], REASON_NONE, 300, true, false);
	CHECK("both see that it is the old one",
	      before.policy == &policy_a && after.policy == &policy_a);
	end(&f);
}

TEST(lost_netd_voids_everything)
{
	struct waiter w = waiter(), asking_w = waiter(), pinning = waiter();
	struct fixture f;

	start(&f);
	resolver_wait(f.resolver, &f.sandbox, "done.example", &f.proxied, &w.wait);
	pinned(&f, sent_sequence[0], REASON_NONE, 300, true, true);
	resolver_wait(f.resolver, &f.sandbox, "pinning.example", &f.proxied, &pinning.wait);
	resolver_wait(f.resolver, &f.sandbox, "asking.example", &f.forward, &asking_w.wait);
	resolver_lost(f.resolver);
	CHECK_EQ("who waited is told", pinning.called * 10 + asking_w.called, 11);
	CHECK_EQ("SERVFAIL", pinning.answer[0].reply.rcode, DNS_SERVFAIL);
	CHECK("nobody asks any more", !asking);
	CHECK("the landed pin is void", !hit(&f, "done.example"));
	CHECK_EQ("a late PINNED is nothing",
		 pinned(&f, sent_sequence[1], REASON_NONE, 301, true, true), 0);
	CHECK("really nothing", !hit(&f, "pinning.example"));
	end(&f);
}

TEST(one_sandbox_over_its_limit_is_not_another)
{
	struct waiter first = waiter(), joined = waiter(), other = waiter();
	struct fixture f;
	struct answer a;

	start(&f);
	resolver_wait(f.resolver, &f.sandbox, "a.example", &f.proxied, &first.wait);
	f.sandbox.id = joined.sandbox = 8;
	resolver_wait(f.resolver, &f.sandbox, "a.example", &f.proxied, &joined.wait);
	pinned(&f, sent_sequence[0], REASON_WILDCARD_BUDGET_EXCEEDED, 0, false, false);
	CHECK_EQ("who asked first is refused", first.answer[0].reason,
		 REASON_WILDCARD_BUDGET_EXCEEDED);
	CHECK_EQ("which says nothing of who joined", first.anothers * 10 + joined.anothers, 1);
	CHECK("nor of who asks then", !resolver_lookup(f.resolver, &f.sandbox, "a.example", DNS_A, &a));
	f.sandbox.id = 7;
	CHECK("the first is told again",
	      resolver_lookup(f.resolver, &f.sandbox, "a.example", DNS_A, &a));
	f.sandbox.id = 8;
	resolver_wait(f.resolver, &f.sandbox, "a.example", &f.proxied, &other.wait);
	CHECK_EQ("asked for the other one", n_sent == 2 && sent[1].sandbox == 8, 1);
	pinned(&f, sent_sequence[1], REASON_NONE, 300, true, true);
	CHECK_EQ("which is answered", other.answer[0].reply.kind, REPLY_ADDRESS);
	end(&f);
}

static const struct {
	enum reason reason;
	uint32_t index;
	int rcode;
	enum reason want;
} bad_pins[] = {
	{ REASON_REBINDING_BLOCKED, 0, DNS_NXDOMAIN, REASON_REBINDING_BLOCKED },
	{ REASON_NAME_NOT_ALLOWED, 0, DNS_NXDOMAIN, REASON_NAME_NOT_ALLOWED },
	{ REASON_POOL_EXHAUSTED, 0, DNS_SERVFAIL, REASON_POOL_EXHAUSTED },
	{ 9999, 0, DNS_SERVFAIL, REASON_INTERNAL_ERROR },
	{ REASON_NONE, 0, DNS_SERVFAIL, REASON_INTERNAL_ERROR }, /* an index of the services */
	{ REASON_NONE, 53, DNS_SERVFAIL, REASON_INTERNAL_ERROR },
	{ REASON_NONE, 1 << 17, DNS_SERVFAIL, REASON_INTERNAL_ERROR }, /* beyond the pool */
	{ REASON_NONE, UINT32_MAX, DNS_SERVFAIL, REASON_INTERNAL_ERROR },
};

TEST(pins_that_netd_refuses)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad_pins); i++) {
		struct waiter w = waiter();
		struct fixture f;

		start(&f);
		resolver_wait(f.resolver, &f.sandbox, "a.example", &f.proxied, &w.wait);
		pinned(&f, sent_sequence[0], bad_pins[i].reason, bad_pins[i].index, true, true);
		CHECK_EQ("told", w.called, 1);
		CHECK_EQ("rcode", w.answer[0].reply.rcode, bad_pins[i].rcode);
		CHECK_EQ("reason", w.answer[0].reason, bad_pins[i].want);
		CHECK("no address", !hit(&f, "a.example"));
		end(&f);
	}
}

TEST(malformed_pinned)
{
	struct ipc_in in = { .head = { MSG_PINNED, 3, 1 } };
	struct fixture f;

	start(&f);
	CHECK_EQ("wrong length", resolver_pinned(f.resolver, &in), -EPROTO);
	end(&f);
}

TEST(upstream_outcomes)
{
	static const struct {
		enum upstream_status status;
		int rcode;
		enum reason reason;
	} rows[] = {
		{ UPSTREAM_UNREACHABLE, DNS_SERVFAIL, REASON_RESOLVER_UNREACHABLE },
		{ UPSTREAM_NXDOMAIN, DNS_NXDOMAIN, REASON_NONE },
		{ UPSTREAM_NODATA, DNS_NOERROR, REASON_NONE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct waiter w = waiter();
		struct fixture f;

		start(&f);
		resolver_wait(f.resolver, &f.sandbox, "a.example", &f.forward, &w.wait);
		failed(rows[i].status);
		CHECK_EQ("no pin", n_sent, 0);
		CHECK_EQ("rcode", w.answer[0].reply.rcode, rows[i].rcode);
		CHECK_EQ("reason", w.answer[0].reason, rows[i].reason);
		CHECK("no address", w.answer[0].reply.kind != REPLY_ADDRESS);
		end(&f);
	}
}

TEST(forbidden_addresses_are_not_pinned)
{
	struct waiter w = waiter(), mixed = waiter();
	struct fixture f;

	start(&f);
	resolver_wait(f.resolver, &f.sandbox, "a.example", &f.forward, &w.wait);
	answered("127.0.0.1", "::1");
	CHECK_EQ("no pin", n_sent, 0);
	CHECK_EQ("reason", w.answer[0].reason, REASON_REBINDING_BLOCKED);
	resolver_wait(f.resolver, &f.sandbox, "b.example", &f.forward, &mixed.wait);
	answered("93.184.216.34", "fe80::1");
	CHECK_EQ("the good one is pinned", n_sent == 1 && sent[0].n4 == 1 && sent[0].n6 == 0, 1);
	end(&f);
}

TEST(pins_on_their_way_are_bounded)
{
	static struct waiter w[100];
	struct fixture f;
	char name[16];
	size_t before;

	start(&f);
	for (size_t i = 0; i < ARRAY_SIZE(w); i++) {
		w[i] = waiter();
		snprintf(name, sizeof(name), "n%zu.example", i);
		CHECK(name, resolver_wait(f.resolver, &f.sandbox, name, &f.proxied, &w[i].wait));
	}
	before = n_sent;
	CHECK("not all at once", before < 64);
	for (size_t i = 0; i < ARRAY_SIZE(w); i++)
		pinned(&f, sent_sequence[i % ARRAY_SIZE(sent)], REASON_NONE, 256 + i, true, true);
	CHECK_EQ("all in the end", n_sent, ARRAY_SIZE(w));
	for (size_t i = 0; i < ARRAY_SIZE(w); i++)
		CHECK_EQ("answered once", w[i].called, 1);
	end(&f);
}

static void stop(struct loop *l, struct timer *t)
{
	(void)t;
	loop_stop(l);
}

static void run_for(struct fixture *f, unsigned ms)
{
	struct timer end_of_turn = { .fn = stop };

	loop_arm(f->loop, &end_of_turn, ms);
	loop_run(f->loop);
}

TEST(pin_that_cannot_be_sent_waits)
{
	struct waiter w = waiter(), late = waiter();
	struct fixture f;

	start(&f);
	send_result = -EPIPE;
	CHECK("waits", resolver_wait(f.resolver, &f.sandbox, "a.example", &f.proxied, &w.wait));
	CHECK_EQ("not told", w.called, 0);
	send_result = 0;
	run_for(&f, 300);
	CHECK_EQ("sent with the next tick", n_sent, 1);
	pinned(&f, sent_sequence[0], REASON_NONE, 300, true, true);
	CHECK_EQ("answered", w.called, 1);
	send_result = -EPIPE;
	CHECK("waits", resolver_wait(f.resolver, &f.sandbox, "b.example", &f.proxied, &late.wait));
	skipped += 5;
	run_for(&f, 300);
	CHECK_EQ("told at the deadline", late.called, 1);
	CHECK_EQ("SERVFAIL", late.answer[0].reply.rcode, DNS_SERVFAIL);
	end(&f);
}

/* A netd that does not read still has them in its socket, which must not fill up. */
TEST(pins_past_their_deadline_are_still_on_their_way)
{
	static struct waiter w[33];
	struct waiter late = waiter();
	struct fixture f;
	char name[16];

	start(&f);
	for (size_t i = 0; i < ARRAY_SIZE(w); i++) {
		w[i] = waiter();
		snprintf(name, sizeof(name), "n%zu.example", i);
		resolver_wait(f.resolver, &f.sandbox, name, &f.proxied, &w[i].wait);
	}
	skipped += 5;
	run_for(&f, 300);
	CHECK_EQ("all are over", w[0].called + w[31].called + w[32].called, 3);
	CHECK_EQ("sent", n_sent, 32);
	resolver_wait(f.resolver, &f.sandbox, "late.example", &f.proxied, &late.wait);
	CHECK_EQ("no room", n_sent, 32);
	pinned(&f, sent_sequence[0], REASON_NONE, 256, true, true);
	CHECK_EQ("room", n_sent, 33);
	pinned(&f, sent_sequence[32], REASON_NONE, 257, true, true);
	CHECK("hit", hit(&f, "late.example"));
	end(&f);
}

static int name_gone(struct fixture *f, const char *name)
{
	struct msg_name m = { .index = 300 };
	struct ipc_in in = { .head = { MSG_NAME_GONE, sizeof(m), 9 } };

	msg_text_set(m.name, sizeof(m.name), name);
	memcpy(in.body, &m, sizeof(m));
	return resolver_name_gone(f->resolver, &in);
}

TEST(a_name_that_is_gone_is_pinned_anew)
{
	struct waiter w = waiter(), again = waiter();
	struct fixture f;
	uint64_t until;

	start(&f);
	resolver_wait(f.resolver, &f.sandbox, "a.example", &f.proxied, &w.wait);
	CHECK_EQ("while its pin is on its way that is netd's to judge", name_gone(&f, "a.example"), 0);
	pinned(&f, sent_sequence[0], REASON_NONE, 300, true, true);
	CHECK("hit", hit(&f, "a.example"));
	CHECK("fresh", resolver_fresh(f.resolver, &f.sandbox, "a.example", &until));
	CHECK_EQ("another name", name_gone(&f, "b.example"), 0);
	CHECK("does not matter", hit(&f, "a.example"));
	CHECK_EQ("gone", name_gone(&f, "a.example"), 0);
	CHECK("its address is told to nobody", !hit(&f, "a.example"));
	CHECK("nor is it fresh", !resolver_fresh(f.resolver, &f.sandbox, "a.example", &until));
	CHECK("nor its reverse name", !resolver_name_of(f.resolver, &f.sandbox,
							&w.answer[0].reply.addr));
	resolver_wait(f.resolver, &f.sandbox, "a.example", &f.proxied, &again.wait);
	CHECK_EQ("pinned anew", n_sent, 2);
	pinned(&f, sent_sequence[1], REASON_NONE, 301, true, true);
	CHECK("hit again", hit(&f, "a.example"));
	end(&f);
}

TEST(a_refused_refresh_says_nothing_of_sandboxes)
{
	struct waiter refresh = waiter(), client = waiter();
	struct view_sandbox nobody;
	struct fixture f;

	start(&f);
	nobody = f.sandbox;
	nobody.id = 0;
	resolver_wait(f.resolver, &nobody, "a.example", &f.forward, &refresh.wait);
	answered("93.184.216.34", NULL);
	CHECK_EQ("for no sandbox", sent[0].sandbox, 0);
	resolver_wait(f.resolver, &f.sandbox, "a.example", &f.forward, &client.wait);
	pinned(&f, sent_sequence[0], REASON_NAME_NOT_ALLOWED, 0, false, false);
	CHECK("the client asks again", client.called == 1 && client.anothers);
	CHECK("a look-up does not find it", !hit(&f, "a.example"));
	client = waiter();
	resolver_wait(f.resolver, &f.sandbox, "a.example", &f.forward, &client.wait);
	answered("93.184.216.34", NULL);
	CHECK_EQ("for the sandbox", sent[1].sandbox, 7);
	pinned(&f, sent_sequence[1], REASON_NONE, 300, true, false);
	CHECK("hit", hit(&f, "a.example"));
	end(&f);
}

TEST(a_waiter_that_leaves)
{
	struct waiter w = waiter();
	struct fixture f;

	start(&f);
	resolver_wait(f.resolver, &f.sandbox, "a.example", &f.proxied, &w.wait);
	resolver_cancel(&w.wait);
	resolver_cancel(&w.wait);
	pinned(&f, sent_sequence[0], REASON_NONE, 300, true, true);
	CHECK_EQ("is not called", w.called, 0);
	CHECK("but the pin counts", hit(&f, "a.example"));
	end(&f);
}

TEST(reverse_look_up)
{
	struct waiter w = waiter();
	struct addr a = { 4, { 198, 18, 1, 44 } };
	struct fixture f;

	start(&f);
	resolver_wait(f.resolver, &f.sandbox, "a.example", &f.proxied, &w.wait);
	pinned(&f, sent_sequence[0], REASON_NONE, 300, true, true);
	CHECK_STR("its name", resolver_name_of(f.resolver, &f.sandbox, &a), "a.example");
	f.sandbox.profile = 4;
	CHECK("not for another profile", !resolver_name_of(f.resolver, &f.sandbox, &a));
	f.sandbox.profile = 3;
	a.b[3] = 45;
	CHECK("not its neighbour", !resolver_name_of(f.resolver, &f.sandbox, &a));
	a.b[0] = 8;
	CHECK("not outside", !resolver_name_of(f.resolver, &f.sandbox, &a));
	end(&f);
}

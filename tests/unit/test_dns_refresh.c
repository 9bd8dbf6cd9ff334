/*
 * test_dns_refresh.c - names in use: when each is asked for again, and never too many at once
 *
 * Linked with a resolver and a view of this file. Time is this file's as well: the loop's turns are
 * real, but each of them may be minutes later than the last.
 */
#include "tests/unit/check.h"

#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>

#include "dns/refresh.h"
#include "policy/mark.h"

enum { TTL_MS = 60 * 1000, NAMES = 10000 };

struct policy { int refs; };
struct outcome { bool pinned; uint64_t expires_ms; };
struct asked { char name[MSG_NAME]; uint16_t profile, sandbox; struct resolver_wait *wait; };

static struct policy policy = { 1 };
static struct asked *asked;		/* NAMES places */
static size_t n_asked, n_open, most_open;
static bool has_policy, allowed, at_once, fails;
static uint64_t fresh_until, skipped_ms;
static struct loop *loop;

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	int r = (int)syscall(SYS_clock_gettime, clock, ret);
	uint64_t ns = (uint64_t)ret->tv_nsec + skipped_ms % 1000 * 1000000;

	ret->tv_sec += (time_t)(skipped_ms / 1000 + ns / 1000000000);
	ret->tv_nsec = (long)(ns % 1000000000);
	return r;
}

struct policy *view_policy_of(struct view *v, uint16_t profile)
{
	(void)v;
	(void)profile;
	policy.refs += has_policy;
	return has_policy ? &policy : NULL;
}

void view_sandbox_done(struct view_sandbox *s)
{
	policy.refs -= s->policy != NULL;
}

bool view_ready(struct view *v)
{
	(void)v;
	return true;
}

void policy_decide_name(const struct policy *p, const char *name, struct name_decision *ret)
{
	(void)p;
	(void)name;
	*ret = (struct name_decision){ .allowed = allowed };
}

bool outcome_pinned(const struct outcome *o)
{
	return o->pinned;
}

uint64_t outcome_expires(const struct outcome *o)
{
	return o->expires_ms;
}

bool resolver_fresh(struct resolver *r, const struct view_sandbox *s, const char *name,
		    uint64_t *ret_until_ms)
{
	(void)r;
	(void)s;
	(void)name;
	*ret_until_ms = fresh_until;
	return fresh_until > loop_now(loop);
}

static void answer(struct resolver_wait *w)
{
	struct outcome o = { !fails, loop_now(loop) + TTL_MS };

	n_open--;
	w->fn(w, &o);
}

bool resolver_wait(struct resolver *r, const struct view_sandbox *s, const char *name,
		   const struct name_decision *d, struct resolver_wait *w)
{
	(void)r;
	(void)d;
	if (n_asked < NAMES) {
		snprintf(asked[n_asked].name, MSG_NAME, "%s", name);
		asked[n_asked].profile = s->profile;
		asked[n_asked].sandbox = s->id;
		asked[n_asked].wait = w;
	}
	n_asked++;
	if (++n_open > most_open)
		most_open = n_open;
	if (at_once)
		answer(w);
	return true;
}

void resolver_cancel(struct resolver_wait *w)
{
	(void)w;
}

/* ---- a fixture ---- */

static struct refresh *fresh(void)
{
	struct refresh *f;

	free(asked);
	asked = calloc(NAMES, sizeof(*asked));
	n_asked = n_open = most_open = 0;
	has_policy = allowed = at_once = true;
	fails = false;
	fresh_until = 0;
	if (!asked || loop_new(&loop) || refresh_new(loop, NULL, NULL, &f))
		abort();
	return f;
}

static void end(struct refresh *f)
{
	refresh_free(f);
	loop_free(loop);
	CHECK_EQ("references", policy.refs, 1);
}

static void stop(struct loop *l, struct timer *t)
{
	(void)t;
	loop_stop(l);
}

/* So much later, one turn of the loop: what is due by then is begun. */
static void later(uint64_t ms)
{
	struct timer t = { .fn = stop };

	skipped_ms += ms;
	loop_arm(loop, &t, ms + 1); /* after what is due by then */
	loop_run(loop);
}

static int use(struct refresh *f, size_t from, size_t n)
{
	struct ipc_in in = { .head = { MSG_IN_USE, sizeof(struct msg_in_use), 0 } };
	struct msg_in_use m = { .n = (uint16_t)n };

	for (size_t i = 0; i < n && i < MSG_IN_USE_NAMES; i++) {
		m.name[i].profile = 3;
		snprintf(m.name[i].name, MSG_NAME, "n%zu.example", from + i);
	}
	memcpy(in.body, &m, sizeof(m));
	return refresh_in_use(f, &in);
}

/* ---- tests ---- */

TEST(at_its_ttl_for_nobody)
{
	struct refresh *f = fresh();

	use(f, 0, 1);
	later(200);
	CHECK_EQ("at once, it may be old", n_asked, 1);
	CHECK_STR("that name", asked[0].name, "n0.example");
	CHECK_EQ("its profile", asked[0].profile, 3);
	CHECK_EQ("no sandbox", asked[0].sandbox, 0);
	use(f, 0, 1);
	later(TTL_MS - 2000);
	CHECK_EQ("not before", n_asked, 1);
	later(2000 + TTL_MS / 8);
	CHECK_EQ("by an eighth later", n_asked, 2);
	end(f);
}

TEST(a_client_was_first)
{
	struct refresh *f = fresh();

	use(f, 0, 1);
	later(0);
	fresh_until = loop_now(loop) + 30 * 1000;
	later(200);
	CHECK_EQ("it is known", n_asked, 0);
	later(30 * 1000 * 9 / 8);
	CHECK_EQ("after that", n_asked, 1);
	end(f);
}

TEST(not_in_use_any_more)
{
	struct refresh *f = fresh();

	use(f, 0, 1);
	later(200);
	later(2 * TTL_MS);
	CHECK_EQ("nobody said so again", n_asked, 1);
	use(f, 0, 1);
	later(200);
	CHECK_EQ("in use once more", n_asked, 2);
	end(f);
}

TEST(nothing_to_follow)
{
	struct refresh *f = fresh();

	allowed = false;
	use(f, 0, 1);
	later(200);
	allowed = true;
	has_policy = false;
	use(f, 1, 1);
	later(200);
	CHECK_EQ("denied, or without a profile", n_asked, 0);
	end(f);
}

TEST(failures_are_tried_ever_more_rarely)
{
	struct refresh *f = fresh();
	size_t before;

	fails = true;
	for (int i = 0; i < 600; i++) {
		if (i % 30 == 0)
			use(f, 0, 1);
		later(1000);
	}
	CHECK("some", n_asked > 4);
	CHECK("not each second", n_asked < 10);
	fails = false;
	for (int i = 0; i < 600; i++) {
		if (i % 30 == 0)
			use(f, 0, 1);
		later(1000);
	}
	before = n_asked;
	use(f, 0, 1);
	later(70 * 1000);
	CHECK("and at its TTL when it works again", n_asked > before);
	end(f);
}

TEST(no_storm)
{
	struct refresh *f = fresh();
	size_t begun;

	at_once = false;
	for (size_t i = 0; i + 31 <= NAMES; i += 31)
		use(f, i, 31);
	later(200);
	CHECK("a part of a turn's", n_asked && n_asked <= 40);
	for (int i = 0; i < 10; i++)
		later(200);
	CHECK_EQ("no more while none is answered", n_open, 64);
	at_once = true;
	for (size_t i = 0; i < 64; i++)
		answer(asked[i].wait);
	for (int i = 0; i < 400; i++) {
		begun = n_asked;
		later(200);
		CHECK("each turn", n_asked - begun <= 40);
		if (i % 100 == 0)
			for (size_t k = 0; k + 31 <= NAMES; k += 31)
				use(f, k, 31);
	}
	CHECK("all of them in their turn", n_asked >= NAMES / 31 * 31);
	CHECK("never more", most_open <= 64);
	end(f);
}

TEST(malformed)
{
	struct ipc_in in = { .head = { MSG_IN_USE, sizeof(struct msg_in_use), 0 } };
	struct refresh *f = fresh();
	struct msg_in_use m = { .n = 1 };

	CHECK("too many", use(f, 0, MSG_IN_USE_NAMES + 1) < 0);
	memcpy(in.body, &m, sizeof(m));
	CHECK("no profile", refresh_in_use(f, &in) < 0);
	m.name[0].profile = 1;
	memset(m.name[0].name, 'x', MSG_NAME);
	memcpy(in.body, &m, sizeof(m));
	CHECK("no end", refresh_in_use(f, &in) < 0);
	in.head.length--;
	CHECK("short", refresh_in_use(f, &in) < 0);
	end(f);
}

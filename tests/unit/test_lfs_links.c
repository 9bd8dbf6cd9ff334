/*
 * test_lfs_links.c - who may use which link, and for how long
 */
#include "gitproxy/keeper/lfs_links.h"

#include "gitproxy/deadline.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "tests/unit/check.h"

/* The clock is ours. */
static uint64_t now = 1000;
uint64_t deadline_now(void) { return now; }
uint64_t deadline_in(uint64_t ms) { return now + ms; }

static const uint8_t oid[LFS_OID] = { 7 }, other_oid[LFS_OID] = { 8 };

static struct lfs_action *action(size_t url)
{
	struct lfs_action *a = calloc(1, sizeof(*a));

	a->url = calloc(1, url + 1);
	memset(a->url, 'u', url);
	return a;
}

static struct lfs_link_key key(uint8_t *link)
{
	return (struct lfs_link_key){ .sandbox = 3, .service = GIT_SERVICE_UPLOAD_PACK, .host = "github.com",
				      .repo = "acme/art", .link = link, .oid = oid };
}

TEST(a_link_is_found_by_all_of_its_key)
{
	AUTO(lfs_links) struct lfs_links *t = NULL;
	uint8_t link[LFS_LINK], wrong[LFS_LINK];
	struct lfs_link_key good = key(link), k;
	struct lfs_link *l;

	CHECK_EQ("made", lfs_links_new(&t), 0);
	CHECK_EQ("added", lfs_links_add(t, &good, 5, action(8), 60, link), 0);
	memcpy(wrong, link, sizeof(wrong));
	wrong[15] ^= 1;
	l = lfs_links_get(t, &good);
	CHECK("found", l && l->object.size == 5 && l->action);
	lfs_links_put(t, l);
#define LIE(what, change) \
	do { \
		k = good; \
		change; \
		CHECK(what, !lfs_links_get(t, &k)); \
	} while (0)
	LIE("another sandbox", k.sandbox = 4);
	LIE("the other way", k.service = GIT_SERVICE_RECEIVE_PACK);
	LIE("another host", k.host = "gitlab.com");
	LIE("another repository", k.repo = "acme/other");
	LIE("another object", k.oid = other_oid);
	LIE("another link", k.link = wrong);
#undef LIE
	now += 60000;
	CHECK("over", !lfs_links_get(t, &good));
}

TEST(a_link_that_is_in_use_stays)
{
	AUTO(lfs_links) struct lfs_links *t = NULL;
	uint8_t link[LFS_LINK];
	struct lfs_link_key k = key(link);
	struct lfs_link *l;

	lfs_links_new(&t);
	CHECK_EQ("added", lfs_links_add(t, &k, 5, action(8), 60, link), 0);
	l = lfs_links_get(t, &k);
	lfs_links_end(t, l);
	lfs_links_end(t, l);			/* twice is fine */
	CHECK("nobody gets it", !lfs_links_get(t, &k));
	CHECK_STR("it is there", l->action->url, "uuuuuuuu");
	lfs_links_put(t, l);
}

static size_t fill(struct lfs_links *t, uint16_t sandbox, size_t url)
{
	uint8_t link[LFS_LINK];
	struct lfs_link_key k = key(link);
	size_t n = 0;
	int r;

	k.sandbox = sandbox;
	while (!(r = lfs_links_add(t, &k, 5, action(url), 60, link)))
		n++;
	CHECK_EQ("full", r, -ENOSPC);
	return n;
}

TEST(shares)
{
	AUTO(lfs_links) struct lfs_links *t = NULL;

	lfs_links_new(&t);
	CHECK_EQ("of a sandbox", fill(t, 3, 8), LFS_LINKS_EACH);
	CHECK_EQ("nothing of another's is gone", fill(t, 4, 8), LFS_LINKS_EACH);
	now += 60000;
	CHECK_EQ("what is over makes room", fill(t, 3, 8), LFS_LINKS_EACH);
	now += 60000;
	CHECK("bytes count too", fill(t, 3, 8000) < LFS_LINKS_BYTES_EACH / 8000);
}

/* One who asks while the object is being brought. */
struct asker { struct lfs_links *t; struct lfs_link *l; _Atomic bool asks; bool passed; };

static void *ask(void *arg)
{
	struct asker *a = arg;

	a->asks = true;
	a->passed = lfs_links_passed(a->t, a->l, UINT32_MAX);	/* far away: the wait's clock is the kernel's */
	return NULL;
}

TEST(who_asks_waits_for_who_brings)
{
	AUTO(lfs_links) struct lfs_links *t = NULL;
	uint8_t link[LFS_LINK];
	struct lfs_link_key k = key(link);
	struct asker a = { 0 };
	pthread_t thread;

	lfs_links_new(&t);
	CHECK_EQ("added", lfs_links_add(t, &k, 5, NULL, 60, link), 0);
	a.t = t;
	a.l = lfs_links_get(t, &k);
	CHECK("nobody brings it", !lfs_links_passed(t, a.l, UINT32_MAX));
	for (int passed = 0; passed < 2; passed++) {
		lfs_links_bring(t, a.l);
		a.asks = false;
		pthread_create(&thread, NULL, ask, &a);
		while (!a.asks)
			sched_yield();
		lfs_links_brought(t, a.l, passed);
		pthread_join(thread, NULL);
		CHECK_EQ("the word of who brought it", a.passed, passed);
	}
	lfs_links_bring(t, a.l);
	CHECK("not for ever", !lfs_links_passed(t, a.l, 0));
	lfs_links_brought(t, a.l, true);
	lfs_links_put(t, a.l);
}

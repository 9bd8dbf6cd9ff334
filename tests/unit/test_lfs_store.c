/*
 * test_lfs_store.c - whose objects are held, how many, and for how long
 */
#include "gitproxy/mirror/lfs_store.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "gitproxy/deadline.h"
#include "gitproxy/mirror/files.h"
#include "tests/unit/check.h"

/* The clock is ours. */
static uint64_t now = 1000;
uint64_t deadline_now(void) { return now; }
uint64_t deadline_in(uint64_t ms) { return now + ms; }

enum { MAX = 32000 };			/* 4000 for all, 1000 for one sandbox */
static const struct mirror_domain mine = { { 1 }, "" }, other = { { 2 }, "" };
static const struct lfs_object object = { { 7 }, 100 }, larger = { { 7 }, 101 }, another = { { 8 }, 100 };

struct place { char dir[64]; struct lfs_store *store; };

static void place_done(struct place *p)
{
	lfs_store_free(p->store);
	files_remove(p->dir);
}

static struct place place(void)
{
	struct place p = { .dir = "/tmp/cordon-lfs-XXXXXX" };

	CHECK("folder", mkdtemp(p.dir) && !lfs_store_new(p.dir, MAX, &p.store));
	return p;
}

static int bring(struct place *p, const struct lfs_owner *o, const struct lfs_object *x)
{
	struct lfs_coming *c;
	int fd, r = lfs_store_begin(p->store, o, x, &c, &fd);

	if (!r)
		lfs_store_keep(p->store, c);
	return r;
}

static bool has(struct place *p, const struct lfs_owner *o, const struct lfs_object *x)
{
	AUTO(fd) int fd = lfs_store_open(p->store, o, x);

	return fd >= 0;
}

static size_t files(const struct place *p)
{
	char path[128];
	struct stat st;
	size_t n = 0;

	for (int i = 0; i < 100; i++) {
		snprintf(path, sizeof(path), "%s/lfs/%d", p->dir, i);
		n += !stat(path, &st);
	}
	return n;
}

TEST(an_object_is_its_owners)
{
	__attribute__((cleanup(place_done))) struct place p = place();
	const struct lfs_owner o = { 3, &mine };

	CHECK("nothing yet", !has(&p, &o, &object));
	CHECK_EQ("brought", bring(&p, &o, &object), 0);
	CHECK("held", has(&p, &o, &object));
	CHECK("not for another sandbox", !has(&p, &(struct lfs_owner){ 4, &mine }, &object));
	CHECK("not for another domain", !has(&p, &(struct lfs_owner){ 3, &other }, &object));
	CHECK("not of another size", !has(&p, &o, &larger));
	CHECK("not of another id", !has(&p, &o, &another));
	CHECK_EQ("again", bring(&p, &o, &object), 0);
	CHECK_EQ("once", files(&p), 1);
	lfs_store_done(p.store, &o, &object);
	CHECK("gone", !has(&p, &o, &object) && !files(&p));
}

TEST(one_on_its_way_is_found_by_nobody)
{
	__attribute__((cleanup(place_done))) struct place p = place();
	const struct lfs_owner o = { 3, &mine };
	struct lfs_coming *c;
	int fd;

	CHECK_EQ("begun", lfs_store_begin(p.store, &o, &object, &c, &fd), 0);
	CHECK("not yet", !has(&p, &o, &object));
	lfs_store_drop(p.store, c);
	CHECK("never", !has(&p, &o, &object) && !files(&p));
}

TEST(time)
{
	__attribute__((cleanup(place_done))) struct place p = place();
	const struct lfs_owner o = { 3, &mine };

	bring(&p, &o, &object);
	now += LFS_HOLD_MS - 1;
	CHECK("still", has(&p, &o, &object));
	now++;
	CHECK("no more", !has(&p, &o, &object) && !files(&p));
}

static size_t fill(struct place *p, uint16_t sandbox, uint64_t size)
{
	const struct lfs_owner o = { sandbox, &mine };
	struct lfs_object x = { .size = size };
	int r;

	while (!(r = bring(p, &o, &x)))
		x.oid[0]++;
	CHECK_EQ("full", r, -ENOSPC);
	return x.oid[0];
}

TEST(shares)
{
	__attribute__((cleanup(place_done))) struct place p = place();

	CHECK_EQ("of one sandbox", fill(&p, 3, 100), 10);
	CHECK_EQ("another has its own", fill(&p, 4, 100), 10);
	CHECK_EQ("none is larger than a share", fill(&p, 5, 1001), 0);
	fill(&p, 5, 100);
	fill(&p, 6, 100);
	CHECK_EQ("of all", fill(&p, 7, 100), 0);
	now += LFS_HOLD_MS;
	CHECK_EQ("what is over makes room", fill(&p, 7, 100), 10);
	CHECK_EQ("its files are gone", files(&p), 10);
}

TEST(what_comes_at_once_counts)
{
	__attribute__((cleanup(place_done))) struct place p = place();
	const struct lfs_owner o = { 3, &mine };
	const struct lfs_object half = { { 1 }, 600 };
	struct lfs_coming *one, *two;
	int fd;

	CHECK_EQ("one", lfs_store_begin(p.store, &o, &half, &one, &fd), 0);
	CHECK_EQ("no two", lfs_store_begin(p.store, &o, &half, &two, &fd), -ENOSPC);
	lfs_store_drop(p.store, one);
	CHECK_EQ("then two", lfs_store_begin(p.store, &o, &half, &two, &fd), 0);
	lfs_store_drop(p.store, two);
}

/*
 * test_mirror_repo.c - what is remembered of a mirror: whether its credential is let in, and what is on disk
 *
 * What git would say of a folder is this file's: `load`, and every id is missing.
 */
#include "gitproxy/mirror/repo.h"

#include <errno.h>
#include <sys/stat.h>

#include "gitproxy/deadline.h"
#include "gitproxy/mirror/files.h"
#include "gitproxy/mirror/refs.h"
#include "policy/host_mirrors.h"
#include "tests/unit/check.h"

static int load;
static uint64_t now = 1000000;

int refs_load(struct repo *x)
{
	(void)x;
	return load;
}

int refs_missing(struct repo *x, struct oid *io, size_t *io_n)
{
	(void)x, (void)io, (void)io_n;
	return 0;
}

uint64_t deadline_now(void)
{
	return now;
}

struct place { char dir[64]; struct host_mirrors listed; struct repos *repos; };

static const struct mirror_domain domain = { .id = { 1, 2, 3 } };

/* The table borrows the folder's name. */
static void place_new(struct place *p)
{
	p->listed = (struct host_mirrors){ 0 };
	strcpy(p->dir, "/tmp/mirror-test-XXXXXX");
	if (!mkdtemp(p->dir))
		abort();
	CHECK_EQ("a table", repos_new(p->dir, &p->listed, &p->repos), 0);
}

static void place_done(struct place *p)
{
	repos_free(p->repos);
	CHECK_EQ("removed", files_remove(p->dir), 0);
}

/* As after a restart. */
static void place_again(struct place *p)
{
	repos_free(p->repos);
	CHECK_EQ("a table", repos_new(p->dir, &p->listed, &p->repos), 0);
}

static struct repo *get(struct place *p)
{
	return repo_get(p->repos, &domain, "git.example", "a/b");
}

/* One that is there from an earlier run. */
static struct repo *on_disk(struct place *p)
{
	struct files_about about = { .host = "git.example", .path = "a/b" };
	char dir[REPO_PATH];
	struct repo *x = get(p);

	strcpy(dir, x->dir);
	repo_put(p->repos, x);
	mkdir(dir, 0700);
	CHECK_EQ("about", files_about_write(dir, &about), 0);
	return get(p);
}

/* ---- the right ---- */

enum { MINUTE = 60000 };

static const struct { const char *what; int64_t yes, no, yes2; bool allowed, refused; } words[] = {
	{ "nothing", -1, -1, -1, false, false },
	{ "yes", 10, -1, -1, true, false },
	{ "no", -1, 10, -1, false, true },
	{ "yes, then no", 10, 20, -1, false, true },
	{ "no, then yes", -1, 10, 20, true, false },
	{ "a yes that was overtaken by a no", -1, 20, 10, false, true },
	{ "a no that was overtaken by a yes", 20, 10, -1, true, false },
	{ "both at once", 10, 10, 10, false, true },
	{ "a yes that was overtaken by a younger yes", 20, -1, 10, true, false },
};

TEST(right)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		struct place p;
		struct repo *x;

		place_new(&p);
		x = get(&p);
		now = 1000000;
		if (words[i].yes >= 0)
			repo_allowed(x, now + (uint64_t)words[i].yes);
		if (words[i].no >= 0)
			repo_refused(x, now + (uint64_t)words[i].no);
		if (words[i].yes2 >= 0)
			repo_allowed(x, now + (uint64_t)words[i].yes2);
		now += 100;
		CHECK_EQ(words[i].what, repo_is_allowed(x, MINUTE), words[i].allowed);
		CHECK_EQ(words[i].what, repo_is_refused(x), words[i].refused);
		repo_put(p.repos, x);
		place_done(&p);
	}
}

/* It counts from the question. */
TEST(right_ends)
{
	struct place p;
	struct repo *x;
	uint64_t asked = now;

	place_new(&p);
	x = get(&p);
	now += 5000;
	repo_allowed(x, asked);
	now = asked + MINUTE;
	CHECK("for a minute", repo_is_allowed(x, MINUTE));
	now++;
	CHECK("no longer", !repo_is_allowed(x, MINUTE));
	repo_put(p.repos, x);
	place_done(&p);
}

TEST(refusal_outlives_us)
{
	struct place p;
	struct repo *x;

	place_new(&p);
	x = on_disk(&p);
	CHECK_EQ("found again", x->state, REPO_WARM);
	repo_refused(x, now);
	repo_put(p.repos, x);
	place_again(&p);
	x = get(&p);
	CHECK("refused", repo_is_refused(x));
	CHECK("not let in", !repo_is_allowed(x, MINUTE));
	repo_allowed(x, now);
	repo_put(p.repos, x);
	place_again(&p);
	x = get(&p);
	CHECK("taken back", !repo_is_refused(x));
	CHECK("but not let in: it asks first", !repo_is_allowed(x, MINUTE));
	repo_put(p.repos, x);
	place_done(&p);
}

/* ---- is it the same repository ---- */

static const struct { const char *what; int64_t proof, doubt, proof2; bool doubted; } doubts[] = {
	{ "nothing", -1, -1, -1, false },
	{ "a doubt", -1, 10, -1, true },
	{ "a doubt, then a list", -1, 10, 20, false },
	{ "a list, then a doubt", 10, 20, -1, true },
	{ "a doubt that was overtaken by a list", 20, 10, -1, false },
	{ "a list that was asked for before the doubt", -1, 20, 10, true },
	{ "both at once", -1, 10, 10, true },
	{ "both at once, the other way round", 10, 10, -1, true },
};

TEST(doubt)
{
	for (size_t i = 0; i < ARRAY_SIZE(doubts); i++) {
		uint8_t generation[REPO_GENERATION];
		enum object_format format;
		struct place p;
		struct repo *x;

		place_new(&p);
		x = on_disk(&p);
		now = 1000000;
		if (doubts[i].proof >= 0)
			repo_proved(x, now + (uint64_t)doubts[i].proof);
		if (doubts[i].doubt >= 0)
			repo_doubt(x, now + (uint64_t)doubts[i].doubt);
		if (doubts[i].proof2 >= 0)
			repo_proved(x, now + (uint64_t)doubts[i].proof2);
		CHECK_EQ(doubts[i].what, repo_is_doubted(x), doubts[i].doubted);
		CHECK_EQ(doubts[i].what, repo_is_warm(x, &format, generation), !doubts[i].doubted);
		CHECK(doubts[i].what, repo_is_there(x));
		repo_put(p.repos, x);
		place_again(&p);
		x = get(&p);
		CHECK_EQ("and after a restart", repo_is_doubted(x), doubts[i].doubted);
		repo_put(p.repos, x);
		place_done(&p);
	}
}

static const struct { const char *what, *name; bool unborn; uint8_t oid; bool before, after; } firsts[] = {
	{ "HEAD, here", "HEAD", false, 1, false, true },
	{ "a branch, here", "refs/heads/a", false, 1, false, true },
	{ "a tag tells nothing", "refs/tags/a", false, 1, false, false },
	{ "a tag takes nothing away", "refs/tags/a", false, 9, true, true },
	{ "HEAD, not here", "HEAD", false, 9, true, false },
	{ "HEAD, not born", "HEAD", true, 0, true, false },
	{ "none", NULL, false, 0, true, false },
};

TEST(shown)
{
	for (size_t i = 0; i < ARRAY_SIZE(firsts); i++) {
		struct ls_ref ref = { .oid = { { firsts[i].oid } }, .unborn = firsts[i].unborn };
		struct place p;
		struct repo *x;

		place_new(&p);
		x = on_disk(&p);
		x->tips = calloc(1, sizeof(*x->tips));
		x->tips[0].byte[0] = 1;
		x->n_tips = 1;
		if (firsts[i].name)
			ref.name = rd_str(firsts[i].name);
		if (firsts[i].before)
			repo_proved(x, now);
		repo_shown(x, firsts[i].name ? &ref : NULL, now + 1);
		now += 2;
		CHECK_EQ(firsts[i].what, repo_is_shown(x, MINUTE), firsts[i].after);
		repo_proved(x, now);
		ref.oid.byte[0] = 9;
		repo_shown(x, &ref, now - 1);
		CHECK("an older list takes nothing away", repo_is_shown(x, MINUTE));
		now += MINUTE + 1;
		CHECK("for a minute", !repo_is_shown(x, MINUTE));
		repo_put(p.repos, x);
		place_done(&p);
	}
}

/* ---- spellings ---- */

enum { SPELLINGS = 4 };			/* at once: repo.c */

/* Mirrors of a name's spellings, beginning with "a/bbbb", each with something on disk. */
static struct repo *spelling(struct place *p, uint8_t n)
{
	struct mirror_domain d = { .id = { 7, n } };
	char path[] = "a/bbbb";

	for (int i = 0; i < 4; i++)
		path[2 + i] = n >> i & 1 ? 'B' : 'b';
	return repo_get(p->repos, &d, "git.example", path);
}

static void put_on_disk(struct place *p, struct repo *x)
{
	struct files_about about = { 0 };

	strcpy(about.host, x->host);
	strcpy(about.path, x->path);
	mkdir(x->dir, 0700);
	CHECK_EQ("about", files_about_write(x->dir, &about), 0);
	x->state = REPO_WARM;
	repo_put(p->repos, x);
}

/* Of one repository a sandbox could make many, where nobody said that upstream ignores case. */
TEST(spellings_are_few)
{
	static char git_host[] = "git.example", listed[] = "a/BBBB";
	static const struct mirror_domain other = { .id = { 9 }, .credential = "other" };
	struct host_repository list[] = { { git_host, listed } };
	struct place p;
	struct repo *x;

	place_new(&p);
	for (uint8_t n = 0; n < SPELLINGS; n++)
		put_on_disk(&p, spelling(&p, n));
	CHECK("no more", !spelling(&p, SPELLINGS));
	for (uint8_t n = 0; n < SPELLINGS; n++) {
		x = spelling(&p, n);
		CHECK("those that are there", x);
		repo_put(p.repos, x);
	}
	x = repo_get(p.repos, &other, "git.example", "A/bbbb");
	CHECK("another credential's", x);
	repo_put(p.repos, x);
	x = repo_get(p.repos, &other, "other.example", "A/bbbb");
	CHECK("another host's", x);
	repo_put(p.repos, x);
	p.listed = (struct host_mirrors){ .prewarm = list, .n_prewarm = 1 };
	x = spelling(&p, 15);
	CHECK("what is listed always", x);
	repo_put(p.repos, x);
	place_done(&p);
}

/* Found on disk, as after a restart. */
TEST(spellings_on_disk_are_few)
{
	char dir[SPELLINGS + 1][REPO_PATH];
	struct place p;
	struct stat st;
	size_t n = 0;

	place_new(&p);
	for (uint8_t i = 0; i <= SPELLINGS; i++) {
		struct repo *x = i < SPELLINGS ? spelling(&p, i) : NULL;

		if (!x) {			/* the table is full of them: as if by an older version */
			place_again(&p);
			x = spelling(&p, i);
		}
		strcpy(dir[i], x->dir);
		put_on_disk(&p, x);
	}
	place_again(&p);
	repos_adopt(p.repos);
	for (size_t i = 0; i <= SPELLINGS; i++)
		n += !stat(dir[i], &st);
	CHECK_EQ("the rest is gone", n, SPELLINGS);
	place_done(&p);
}

/* ---- what is on disk ---- */

TEST(names_without_end)
{
	struct place p;
	size_t n = 0;

	place_new(&p);
	for (uint32_t i = 0; i < 1000; i++) {
		struct mirror_domain d = { .id = { (uint8_t)i, (uint8_t)(i >> 8), 9 } };
		struct repo *x = repo_get(p.repos, &d, "git.example", "a/b");

		repo_put(p.repos, x);
		n += repo_find(p.repos, d.id) != NULL;
	}
	CHECK_EQ("none is remembered", n, 0);
	place_done(&p);
}

static const struct { const char *what; int load; bool known, kept; } loads[] = {
	{ "whole", 0, true, true },
	{ "git cannot read it", -EIO, true, false },
	{ "malformed", -EBADMSG, true, false },
	{ "no memory: who knows", -ENOMEM, false, true },
	{ "no process: who knows", -EAGAIN, false, true },
};

TEST(looking)
{
	for (size_t i = 0; i < ARRAY_SIZE(loads); i++) {
		struct place p;
		struct repo *x;
		char dir[REPO_PATH];
		struct stat st;

		place_new(&p);
		x = on_disk(&p);
		strcpy(dir, x->dir);
		repo_put(p.repos, x);
		place_again(&p);
		load = loads[i].load;
		x = get(&p);
		load = 0;
		CHECK_EQ(loads[i].what, x != NULL, loads[i].known);
		CHECK_EQ(loads[i].what, x && x->state == REPO_WARM, loads[i].known && loads[i].kept);
		CHECK_EQ(loads[i].what, stat(dir, &st) == 0, loads[i].kept);
		if (x)
			repo_put(p.repos, x);
		place_done(&p);
	}
}

TEST(half_made)
{
	struct place p;
	struct repo *x;
	char path[REPO_PATH + 16];
	struct stat st;

	place_new(&p);
	x = on_disk(&p);
	snprintf(path, sizeof(path), "%s/about", x->dir);
	repo_put(p.repos, x);
	place_again(&p);
	unlink(path);
	x = get(&p);
	CHECK_EQ("cold", x->state, REPO_COLD);
	CHECK("its folder is gone", stat(x->dir, &st) < 0);
	repo_put(p.repos, x);
	place_done(&p);
}

/*
 * test_space.c - what gives way when the disk is to hold no more
 *
 * The repositories and the spool are played here.
 */
#include "gitproxy/mirror/space.h"

#include "base/log.h"
#include "gitproxy/mirror/files.h"
#include "gitproxy/mirror/tell.h"
#include "tests/unit/check.h"

enum { MAX = 1600 };

static struct repo mirrors[3];
static size_t n_mirrors;		/* the last is unused for longest */
static uint64_t spool_has, lfs_has;

void repos_each(struct repos *s, void (*fn)(void *owner, struct repo *x), void *owner)
{
	(void)s;
	for (size_t i = 0; i < n_mirrors; i++)
		fn(owner, &mirrors[i]);
}

struct repo *repos_take_unused(struct repos *s)
{
	(void)s;
	return n_mirrors ? &mirrors[--n_mirrors] : NULL;
}

void repo_claim(struct repo *x) { (void)x; }
void repo_clear(struct repos *s, struct repo *x) { (void)s, (void)x; }
void repo_release(struct repo *x) { (void)x; }
void repo_put(struct repos *s, struct repo *x) { (void)s, (void)x; }
uint64_t files_bytes(const char *dir) { (void)dir; return 0; }
size_t spool_purge(struct spool *s, const uint8_t domain[SPOOL_ID]) { (void)s, (void)domain; return 0; }
void spool_limit(struct spool *s, uint64_t bytes) { (void)s; spool_has = bytes; }
uint64_t lfs_store_bytes(struct lfs_store *s) { (void)s; return lfs_has; }
void log_line(enum log_level level, const char *fmt, ...) { (void)level, (void)fmt; }
const char *mirror_what_text(enum mirror_what w) { (void)w; return ""; }
void tell_event(int keeper, enum mirror_what what, const struct repo *x, uint64_t objects, uint64_t bytes, uint64_t ms)
{
	(void)keeper, (void)what, (void)x, (void)objects, (void)bytes, (void)ms;
}

/* Mirrors of 300 bytes each. */
static const struct {
	const char *what;
	size_t mirrors;
	uint64_t pushes, lfs;
	size_t want_mirrors;
	uint64_t want_spool;
} rows[] = {
	{ "nothing but answers", 0, 0, 0, 0, 1600 },
	{ "mirrors", 3, 0, 0, 3, 700 },
	{ "answers give way to packs of pushes", 0, 150, 0, 0, 1450 },
	{ "and to objects that are held", 0, 0, 100, 0, 1500 },
	{ "to all of it", 3, 150, 100, 3, 450 },
	{ "to the last quarter", 3, 200, 100, 3, 400 },
	{ "then a mirror goes", 3, 200, 101, 2, 699 },
};

TEST(what_gives_way)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct space s = { .max = MAX };

		CHECK_EQ("room", room_new(space_of_pushes(MAX), &s.pushes), 0);
		CHECK(rows[i].what, room_take(s.pushes, 1, rows[i].pushes));
		lfs_has = rows[i].lfs;
		n_mirrors = rows[i].mirrors;
		for (size_t k = 0; k < n_mirrors; k++) {
			mirrors[k] = (struct repo){ .state = REPO_WARM, .bytes = 300 };
			pthread_mutex_init(&mirrors[k].lock, NULL);
		}
		space_settle(&s);
		CHECK_EQ(rows[i].what, n_mirrors, rows[i].want_mirrors);
		CHECK_EQ(rows[i].what, spool_has, rows[i].want_spool);
		room_free(s.pushes);
	}
}

/*
 * test_crew.c - threads that wait for more work
 */
#include "gitproxy/crew.h"

#include <dirent.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/types.h>
#include <unistd.h>

#include "tests/unit/check.h"

enum { MANY = 8, KEPT = 2, TRIES = 100000 };

struct piece {
	pid_t by;
	sem_t begun, may_end;
};

static struct piece piece[MANY];

static void work(void *arg)
{
	struct piece *p = arg;

	p->by = gettid();
	sem_post(&p->begun);
	sem_wait(&p->may_end);
}

/* They are never freed, and not lost: a test has one each. */
static struct crew *crew_of(unsigned kept)
{
	static struct crew *crew[MANY];
	static size_t n;
	struct crew **c = &crew[n++];

	CHECK_EQ("a crew", crew_new(1 << 18, kept, c), 0);
	return *c;
}

/* Returns when it has begun. */
static void run(struct crew *c, struct piece *p)
{
	sem_init(&p->begun, 0, 0);
	sem_init(&p->may_end, 0, 0);
	CHECK_EQ("it is taken", crew_run(c, work, p), 0);
	sem_wait(&p->begun);
}

static unsigned threads(void)
{
	DIR *d = opendir("/proc/self/task");
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n - 2;				/* . and .. */
}

TEST(work_never_waits_for_other_work)
{
	struct crew *c = crew_of(KEPT);
	unsigned tries = 0;

	for (int i = 0; i < MANY; i++)
		run(c, &piece[i]);			/* does not return for what is behind another's */
	for (int i = 0; i < MANY; i++)
		for (int k = 0; k < i; k++)
			CHECK("threads of their own", piece[i].by != piece[k].by);
	CHECK("all of them", threads() >= 1 + MANY);
	for (int i = 0; i < MANY; i++)
		sem_post(&piece[i].may_end);
	while (threads() > 1 + KEPT && tries++ < TRIES)
		usleep(100);
	CHECK("the others have ended", threads() <= 1 + KEPT);
}

TEST(a_thread_whose_work_is_done_takes_more)
{
	struct crew *c = crew_of(1);
	pid_t before;
	unsigned tries = 0;

	run(c, &piece[0]);
	do {
		before = piece[0].by;
		sem_post(&piece[0].may_end);
		sched_yield();				/* it may wait by now */
		run(c, &piece[0]);
	} while (piece[0].by != before && tries++ < TRIES);
	CHECK_EQ("the same thread", piece[0].by, before);
	sem_post(&piece[0].may_end);
}

TEST(none_are_kept_where_none_are_wanted)
{
	struct crew *c = crew_of(0);
	unsigned others = threads(), tries = 0;

	run(c, &piece[1]);
	sem_post(&piece[1].may_end);
	while (threads() > others && tries++ < TRIES)
		usleep(100);
	CHECK("it has ended", threads() <= others);
}

/*
 * produce.c - answers to fetches, made by git
 *
 * Theory of operation: `git upload-pack --stateless-rpc` gets the request, written anew, and what it
 * says goes to the spool, which checks it before anybody sees it. A thread for each, of which as many
 * run as are worth running; the others wait (produce_queue.c), but not for long, since upstream can answer
 * too. When nobody reads any more the spool says so, and git is killed with all that it started.
 * A first clone of depth 1 has one version of each file: looking for deltas among them takes four
 * fifths of git's time and more, and makes no smaller a pack; it is not done. Deltas that are there
 * already are used as ever.
 */
#include "gitproxy/mirror/produce.h"

#include <errno.h>
#include <pthread.h>

#include "base/ipc.h"
#include "base/log.h"
#include "base/thread.h"
#include "gitproxy/deadline.h"
#include "gitproxy/mirror/git.h"
#include "gitproxy/mirror/produce_queue.h"

enum { PIECE = 1 << 20, GATHER_MS = 20, GATHER_MAX_MS = 500, LET_MS = 2, LOOK_MS = 500, STACK = 1 << 20 };

struct producers {
	struct produce_queue queue;
	struct repos *repos;		/* borrowed */
};

struct produce {
	struct producers *p;
	struct repo *x;
	struct spool_writer *w;
	int request;			/* a memory file */
	uint16_t sandbox;		/* who asked first */
	bool single;			/* of one version of everything */
};

int producers_new(unsigned n, struct repos *repos, struct producers **ret)
{
	struct producers *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	produce_queue_init(&p->queue, n);
	p->repos = repos;
	*ret = p;
	return 0;
}

void producers_free(struct producers *p)
{
	free(p);
}

static int request_file(const struct fetch_request *q)
{
	size_t cap = fetch_request_bound(q);
	AUTO(mem) uint8_t *text = malloc(cap ? cap : 1);
	struct wr w = wr_of(text, text ? cap : 0);
	int fd;

	if (!text)
		return -ENOMEM;
	if (!fetch_request_write(q, &w))
		return -EINVAL;
	fd = ipc_memfd("request", w.p, w.n);
	if (fd >= 0)
		lseek(fd, 0, SEEK_SET);
	return fd;
}

/* Nothing of it is older than what the client has, or than anything else in it. */
static bool is_single(const struct fetch_request *q)
{
	return q->depth == 1 && !q->ids[FETCH_HAVES].n && !q->ids[FETCH_SHALLOWS].n;
}

static int start(struct repo *x, int request, bool single, struct git_child *c)
{
	const char *const args[] = { "-c", single ? "pack.window=0" : "pack.window=10", "upload-pack",
				     "--stateless-rpc", "--strict", x->git, NULL };

	return git_start(&(struct git_spec){ .dir = x->git, .args = args, .in = request, .v2 = true }, c);
}

static void tell(const struct repo *x, const struct git_child *c, const char *why)
{
	char said[4 * GIT_SAID + 4];

	bytes_escape(rd_of(c->said, c->said_n), GIT_SAID, said, sizeof(said));
	log_line(LOG_WARN, "event=answer_failed repo=%s/%s why=\"%s\" said=\"%s\"", x->host, x->path, why, said);
}

/*
 * What git says, > 0, 0 at the end, or -errno. Each piece wakes every reader, so what follows the first
 * soon is gathered to a whole one: for `gather` ms, 0 for the very first, which nobody is kept waiting
 * for. Git writes a few kilobytes at a time: to be woken for each would cost more than what is done with them.
 */
static ssize_t next_piece(struct git_child *c, uint8_t *piece, unsigned gather, uint64_t deadline)
{
	ssize_t n = git_read(c, piece, PIECE, deadline), more = n;
	uint64_t soon = deadline_in(gather);

	while (more > 0 && n < PIECE && deadline_now() < soon) {
		git_let_write(c, LET_MS);
		more = git_read(c, piece + n, (size_t)(PIECE - n), soon);
		n += more > 0 ? more : 0;
	}
	return more < 0 && more != -ETIMEDOUT ? more : n;
}

/* What takes long may take a little longer, and wake its readers less often. */
static unsigned more_of(unsigned gather)
{
	return !gather ? GATHER_MS : 2 * gather < GATHER_MAX_MS ? 2 * gather : GATHER_MAX_MS;
}

/* Its output to the spool, until it ends or nobody wants it. 0 or -errno. */
static int pump(struct produce *d, struct git_child *c, uint8_t *piece)
{
	uint64_t end = deadline_in(git_patience()), silent = deadline_in(git_silence()), look = 0, until;
	unsigned gather = 0;

	for (;;) {
		uint64_t now = deadline_now();
		ssize_t n;
		int r;

		if (now >= look && spool_abandoned(d->w, now, &until))
			return -ECANCELED;
		look = now >= look ? now + LOOK_MS : look;
		n = next_piece(c, piece, gather, look < end ? look : end);
		if (n == -ETIMEDOUT && deadline_now() < end && deadline_now() < silent)
			continue;
		if (n <= 0)
			return (int)n;
		silent = deadline_in(git_silence());
		r = spool_write(d->w, rd_of(piece, (size_t)n));
		if (r < 0)
			return r;
		gather = more_of(gather);
	}
}

static bool is_unread(void *owner)
{
	return spool_is_unread(owner);
}

static int run(struct produce *d, struct git_child *c)
{
	AUTO(mem) uint8_t *piece = malloc(PIECE);
	int r = piece ? start(d->x, d->request, d->single, c) : -ENOMEM;

	if (!r)
		r = pump(d, c, piece);
	if (!r)
		r = git_wait(c, deadline_in(git_silence()));
	return r > 0 ? -EIO : r;
}

static void *produce_main(void *arg)
{
	AUTO(mem) struct produce *d = arg;
	struct git_child c = { .pidfd = -1, .out = -1, .err = -1 };
	bool mine = produce_queue_enter(&d->p->queue, d->sandbox, is_unread, d->w);
	int r = mine ? run(d, &c) : -ECANCELED;

	if (!r) {
		r = spool_finish(d->w);
	} else {
		if (r != -ECANCELED && r != -EBADMSG)
			tell(d->x, &c, strerror(-r));
		spool_fail(d->w);
	}
	if (r == -EBADMSG)
		tell(d->x, &c, "not a whole answer");
	git_end(&c);
	if (mine)
		produce_queue_leave(&d->p->queue, d->sandbox);
	close(d->request);
	repo_put(d->p->repos, d->x);	/* its readers may be gone */
	return NULL;
}

static int start_thread(struct produce *d /* takes when started */)
{
	return thread_start(STACK, produce_main, d);
}

int produce_start(struct producers *p, struct repo *x, uint16_t sandbox, const struct fetch_request *q,
		  struct spool_writer *w)
{
	AUTO(mem) struct produce *d = calloc(1, sizeof(*d));
	AUTO(fd) int request = d ? request_file(q) : -ENOMEM;
	int r = request < 0 ? request : 0;

	if (!r) {
		*d = (struct produce){ p, x, w, request, sandbox, is_single(q) };
		repo_hold(p->repos, x);
		r = start_thread(d);
		if (r < 0)
			repo_put(p->repos, x);
	}
	if (r < 0) {
		spool_fail(w);
		return r;
	}
	(void)STEAL(d);
	(void)STEAL_FD(request);
	return 0;
}

int produce_now(struct repo *x, const struct fetch_request *q, int file, uint64_t *ret_n)
{
	AUTO(mem) uint8_t *piece = malloc(PIECE);
	AUTO(fd) int request = request_file(q);
	uint64_t end = deadline_in(git_patience());
	struct git_child c = { .pidfd = -1, .out = -1, .err = -1 };
	int r = request < 0 ? request : piece ? start(x, request, false, &c) : -ENOMEM;
	ssize_t n = 1;

	*ret_n = 0;
	while (!r && (n = git_read(&c, piece, PIECE, end)) > 0) {
		r = write(file, piece, (size_t)n) == n ? 0 : -EIO;
		*ret_n += (uint64_t)n;
	}
	if (!r)
		r = n < 0 ? (int)n : git_wait(&c, end);
	git_end(&c);
	return r > 0 ? -EIO : r;
}

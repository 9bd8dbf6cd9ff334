/*
 * flight.c - one question upstream for all who ask it at about the same time
 *
 * Theory of operation: a table of questions that are on their way, or were asked within a window.
 * The first who asks leads: it asks in its own thread while the others wait. The age of an answer
 * counts from when its question left, so nobody gets one that is older than the window when he
 * asks. A refusal is an answer like others, for a second at most. Answers stay as long as the
 * widest window that was asked with; if they are too much memory together, the oldest go before
 * their time.
 * Questions for references differ, and so do the ages of their answers. Who has been shown a
 * reference by one shall not be shown an older state of it by another: before a list is given to
 * anybody it is compared with the others of its domain, and the one that was asked for earlier is
 * shared no more when it says otherwise of a name that both have.
 */
#include "gitproxy/mirror/flight.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "base/thread.h"
#include "gitproxy/deadline.h"
#include "gitproxy/mirror/ls_refs.h"

struct flight {
	struct flight *next;
	struct flights *all;
	uint8_t key[FLIGHT_KEY], domain[MIRROR_DOMAIN];
	uint64_t asked;
	unsigned window_ms;		/* how long it may be of use */
	bool landed, forgotten;
	uint64_t landing;		/* of a list: the how manieth it was to land; 0: none */
	unsigned users;			/* threads that hold it */
	uint64_t got;			/* bytes of its answer, and of the marks */
	struct ls_refs_mark *marks;	/* of a list that was compared; heap */
	size_t n_marks;
	bool marked;
	struct flight_answer answer;
};

struct flights {
	pthread_mutex_t lock;
	pthread_cond_t landed;
	struct flight *first;
	size_t n;
	uint64_t landings;		/* of lists */
	_Atomic uint64_t bytes;		/* of all answers */
};

int flights_new(struct flights **ret)
{
	struct flights *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	pthread_mutex_init(&f->lock, NULL);
	thread_cond_init(&f->landed);
	*ret = f;
	return 0;
}

static void flight_free(struct flight *x)
{
	if (x->answer.file >= 0)
		close(x->answer.file);
	x->all->bytes -= x->got;
	free(x->marks);
	free(x);
}

void flights_free(struct flights *f)
{
	if (!f)
		return;
	for (struct flight *x = f->first, *next; x; x = next) {
		next = x->next;
		flight_free(x);
	}
	free(f);
}

/* Those that nobody holds and nobody may join any more. The list begins with the youngest. Under the lock. */
static void sweep(struct flights *f)
{
	uint64_t now = deadline_now(), kept = 0;

	for (struct flight **at = &f->first; *at;) {
		struct flight *x = *at;
		bool idle = !x->users && x->landed;

		kept += idle ? x->answer.n : 0;
		if (!idle || (!x->forgotten && now - x->asked <= x->window_ms && kept <= FLIGHTS_KEPT_MAX)) {
			at = &x->next;
			continue;
		}
		kept -= x->answer.n;
		*at = x->next;
		f->n--;
		flight_free(x);
	}
}

/* A refusal may be over the next moment, whatever the window. */
static bool is_fresh(const struct flight *x, uint64_t now, unsigned window_ms)
{
	if (x->landed && x->answer.outcome.reason != REASON_NONE && window_ms > FLIGHT_REFUSED_MS)
		window_ms = FLIGHT_REFUSED_MS;
	return !x->forgotten && now - x->asked <= window_ms;
}

static struct flight *find(const struct flights *f, const uint8_t key[FLIGHT_KEY], unsigned window_ms)
{
	uint64_t now = deadline_now();

	for (struct flight *x = f->first; x; x = x->next)
		if (!memcmp(x->key, key, FLIGHT_KEY) && is_fresh(x, now, window_ms))
			return x;
	return NULL;
}

static struct flight *begin(struct flights *f, const uint8_t key[FLIGHT_KEY], const struct mirror_domain *d)
{
	struct flight *x = f->n < FLIGHTS_MAX ? calloc(1, sizeof(*x)) : NULL;

	if (!x)
		return NULL;
	memcpy(x->key, key, FLIGHT_KEY);
	memcpy(x->domain, d->id, sizeof(x->domain));
	x->all = f;
	x->asked = deadline_now();
	x->answer.file = -1;
	x->next = f->first;
	f->first = x;
	f->n++;
	return x;
}

static int sink(void *owner, struct rd bytes)
{
	struct flight_answer *a = owner;
	struct flight *x = container_of(a, struct flight, answer);

	if (a->n + bytes.n > FLIGHT_BYTES_MAX || x->all->bytes + bytes.n > FLIGHTS_BYTES_MAX)
		return -EFBIG;
	x->got += bytes.n;
	x->all->bytes += bytes.n;
	while (rd_left(&bytes)) {
		ssize_t n = write(a->file, bytes.p, bytes.n);

		if (n <= 0 || !rd_skip(&bytes, (size_t)n))
			return -EIO;
		a->n += (uint64_t)n;
	}
	return 0;
}

/* ---- lists that contradict each other ---- */

/* Once, by whoever compares it first. False: no memory. Not under the lock; x is held, or this thread's. */
static bool mark(struct flights *f, struct flight *x)
{
	AUTO(mem) struct ls_refs_mark *marks = NULL;
	struct flight_answer a = { .file = x->answer.file, .n = x->answer.n };
	struct rd text;
	size_t n;
	bool ok;

	pthread_mutex_lock(&f->lock);
	ok = x->marked;
	pthread_mutex_unlock(&f->lock);
	if (ok)
		return true;
	ok = !flight_map(&a, &text) && !ls_refs_marks(text, &marks, &n);
	if (a.map)
		munmap(a.map, a.n);
	if (!ok)
		return false;
	pthread_mutex_lock(&f->lock);
	if (!x->marked) {
		x->marks = STEAL(marks);
		x->n_marks = n;
		x->marked = true;
		x->got += n * sizeof(*marks);
		f->bytes += n * sizeof(*marks);
	}
	pthread_mutex_unlock(&f->lock);
	return true;
}

/* Not under the lock. What cannot be compared is taken for a contradiction: that costs a question. */
static bool contradict(struct flights *f, struct flight *x, struct flight *y)
{
	return !mark(f, x) || !mark(f, y) || ls_refs_contradict(x->marks, x->n_marks, y->marks, y->n_marks);
}

/* The list of x's domain that landed next after `seen` and may still be shared. Under the lock. */
static struct flight *landed_after(const struct flights *f, const struct flight *x, uint64_t seen)
{
	uint64_t now = deadline_now();
	struct flight *first = NULL;

	for (struct flight *y = f->first; y; y = y->next)
		if (y->landing > seen && (!first || y->landing < first->landing) &&
		    !memcmp(y->domain, x->domain, sizeof(x->domain)) && is_fresh(y, now, y->window_ms))
			first = y;
	return first;
}

/*
 * Before x lands, under the lock, which is let go meanwhile: whatever else lands then is compared as well. Asked for at
 * once, nobody knows which is the older one: neither is shared.
 */
static void settle(struct flights *f, struct flight *x)
{
	struct flight *y;

	for (uint64_t seen = 0; (y = landed_after(f, x, seen)); seen = y->landing) {
		bool differ;

		y->users++;
		pthread_mutex_unlock(&f->lock);
		differ = contradict(f, x, y);
		pthread_mutex_lock(&f->lock);
		y->users--;
		y->forgotten |= differ && y->asked <= x->asked;
		x->forgotten |= differ && x->asked <= y->asked;
	}
	x->landing = ++f->landings;
}

static void lead(struct flights *f, struct flight *x, const struct ask *asked)
{
	struct ask q = *asked;

	q.sink = sink;
	q.owner = &x->answer;
	x->answer.file = memfd_create("answer", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (x->answer.file >= 0)
		ask_upstream(&q, &x->answer.outcome);
	else
		x->answer.outcome.reason = REASON_INTERNAL_ERROR;
	/* Many are given it: from now on it is for reading alone. */
	if (x->answer.file >= 0 && fcntl(x->answer.file, F_ADD_SEALS,
					F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		x->answer.outcome.reason = REASON_INTERNAL_ERROR;
	pthread_mutex_lock(&f->lock);
	if (q.lists && x->answer.outcome.reason == REASON_NONE)
		settle(f, x);
	x->landed = true;
	pthread_cond_broadcast(&f->landed);
	pthread_mutex_unlock(&f->lock);
}

/* Under the lock, as flight_hold(). */
static int await(struct flights *f, const struct flight *x, uint64_t deadline)
{
	int r = 0;

	while (!x->landed && !r)
		r = thread_cond_wait(&f->landed, &f->lock, deadline);
	return x->landed ? 0 : -ETIMEDOUT;
}

/* Held by who gets it, as long as he has it. */
static int copy(struct flight *x, bool led, struct flight_answer *ret)
{
	*ret = x->answer;
	ret->led = led;
	ret->file = dup(x->answer.file);
	if (ret->file < 0 && x->answer.file >= 0)
		return -errno;
	ret->held = x;
	return 0;
}

int flight_take(struct flights *f, const uint8_t key[FLIGHT_KEY], unsigned window_ms, const struct ask *q,
		struct flight_answer *ret)
{
	struct flight *x;
	bool first;
	int r = 0;

	*ret = (struct flight_answer){ .file = -1 };
	pthread_mutex_lock(&f->lock);
	sweep(f);
	x = find(f, key, window_ms);
	first = !x;
	if (!x)
		x = begin(f, key, q->domain);
	if (x) {
		x->users++;
		x->window_ms = window_ms > x->window_ms ? window_ms : x->window_ms;
		x->window_ms = q->keep_ms > x->window_ms ? q->keep_ms : x->window_ms;
		x->answer.shared += !first;
	}
	if (x && !first)
		r = await(f, x, deadline_in(q->total_ms));
	pthread_mutex_unlock(&f->lock);
	if (!x)
		return -ENOMEM;
	if (first)
		lead(f, x, q);
	pthread_mutex_lock(&f->lock);
	if (!r)
		r = copy(x, first, ret);
	x->users -= r < 0;
	pthread_mutex_unlock(&f->lock);
	return r;
}

void flight_done(struct flight_answer *a)
{
	struct flight *x = a->held;
	struct flights *f = x ? x->all : NULL;

	if (a->map)
		munmap(STEAL(a->map), a->n);
	if (a->file >= 0)
		close(STEAL_FD(a->file));
	a->held = NULL;
	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	x->users--;
	pthread_mutex_unlock(&f->lock);
}

int flight_map(struct flight_answer *a, struct rd *ret)
{
	void *p = a->map;

	*ret = (struct rd){ 0 };
	if (!a->n)
		return 0;
	if (!p)
		p = mmap(NULL, a->n, PROT_READ, MAP_SHARED, a->file, 0);
	if (p == MAP_FAILED)
		return -errno;
	a->map = p;
	*ret = rd_of(p, a->n);
	return 0;
}

uint64_t flights_bytes(const struct flights *f)
{
	return f->bytes;
}

int flight_read(const struct flight_answer *a, uint8_t **ret)
{
	AUTO(mem) uint8_t *p = malloc(a->n ? a->n : 1);
	uint64_t got = 0;

	if (!p)
		return -ENOMEM;
	while (got < a->n) {
		ssize_t n = pread(a->file, p + got, a->n - got, (off_t)got);

		if (n <= 0)
			return -EIO;
		got += (uint64_t)n;
	}
	*ret = STEAL(p);
	return 0;
}

void flights_forget(struct flights *f, const uint8_t domain[MIRROR_DOMAIN])
{
	pthread_mutex_lock(&f->lock);
	for (struct flight *x = f->first; x; x = x->next)
		x->forgotten |= !memcmp(x->domain, domain, MIRROR_DOMAIN);
	pthread_mutex_unlock(&f->lock);
}

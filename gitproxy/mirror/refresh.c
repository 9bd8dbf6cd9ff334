/*
 * refresh.c - bring a mirror up to what upstream has now
 *
 * Theory of operation: one round: ask for upstream's references; of what they point at fetch what
 * is missing in one request of protocol v2 that names our own tips as haves and says `done`, so
 * that there is no negotiation; feed the pack to `git index-pack` in a quarantine folder beside the
 * objects; move it in when it is whole and every link of it leads to an object that is there
 * (--strict); only then move the references. So an object that the repository has comes with all it
 * needs. What waiters want and no reference led to is fetched after that, on its own: upstream may
 * not have it, which must not keep the others waiting. git itself never dials, and no bundle, no
 * pack by URI, no redirect exists for it. One round at a time; who comes while one runs waits,
 * looks again, and leads the next if need be. Nobody waits much longer than upstream has for its
 * first byte: upstream can answer too.
 */
#include "gitproxy/mirror/refresh.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <sys/stat.h>
#include <openssl/evp.h>

#include "base/log.h"
#include "base/thread.h"
#include "gitproxy/deadline.h"
#include "gitproxy/mirror/fetch_request.h"
#include "gitproxy/mirror/files.h"
#include "gitproxy/mirror/intake.h"
#include "gitproxy/mirror/kin.h"
#include "gitproxy/mirror/tell.h"
#include "gitproxy/mirror/refs.h"

enum { ROUNDS_MAX = 3, HAVES_MAX = 1024, WAIT_MORE_MS = 5000, LS_REFS_BODY = 4096, WANTED_MAX = 1 << 16 };

void refresh_key(const struct repo *x, struct rd question, uint8_t ret[FLIGHT_KEY])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned n = 0;

	/* A key that cannot be had is a question of its own; nothing is shared by mistake. */
	memcpy(ret, x->domain.id, FLIGHT_KEY);
	if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1 ||
	    EVP_DigestUpdate(ctx, x->domain.id, sizeof(x->domain.id)) != 1 ||
	    EVP_DigestUpdate(ctx, question.p, question.n) != 1 || EVP_DigestFinal_ex(ctx, ret, &n) != 1)
		abort();
	EVP_MD_CTX_free(ctx);
}

int refresh_take(const struct refresh *r, struct repo *x, struct rd question, unsigned window_ms, const struct ask *q,
		 struct flight_answer *ret)
{
	struct ask shared = *q;
	uint8_t key[FLIGHT_KEY];
	int result;

	shared.lists = q->body.n;		/* what has a body is a question for references here */
	refresh_key(x, question, key);
	result = flight_take(r->flights, key, window_ms, &shared, ret);
	if (!result)
		repo_asked(x, ret->led, ret->outcome.ms);
	return result;
}

struct ask refresh_ask(const struct refresh *r, const struct repo *x, struct rd body)
{
	return (struct ask){ .keeper = r->keeper, .domain = &x->domain, .host = x->host, .repo = x->path, .body = body,
			     .total_ms = r->config->total_ms, .idle_ms = r->config->idle_ms };
}

/* ---- one round ---- */

struct round {
	const struct refresh *r;
	struct repo *x;
	struct flight_answer list;	/* upstream's answer, which refs borrow from */
	struct ls_refs refs;
	uint64_t asked;			/* when the question left whose answer that is */
	struct oid *tips;		/* what refs point at; sorted, each once */
	size_t n_tips;
	struct oid *need;		/* what is to be fetched */
	size_t n_need;
	struct oid *extra;		/* what waiters want */
	size_t n_extra;
	uint8_t upstream[REPO_GENERATION];	/* digest of refs */
	struct refresh_report report;
	enum reason reason;
	bool followed;			/* the references are upstream's */
};

static void round_done(struct round *d)
{
	ls_refs_done(&d->refs);
	flight_done(&d->list);
	free(d->tips);
	free(d->need);
	free(d->extra);
}

void refresh_denied(const struct refresh *r, struct repo *x, const struct ask_outcome *o)
{
	repo_refused(x, o->asked);
	if (ask_gone(o, &x->domain))
		repo_doubt(x, o->asked);
	spool_purge(r->spool, x->domain.id);
}

static enum refresh_result refused(struct round *d, const struct ask_outcome *o)
{
	d->reason = o->reason;
	if (ask_no(o) == ASK_DENIED)
		refresh_denied(d->r, d->x, o);
	return REFRESH_REFUSED;
}

static enum refresh_result failed(const struct round *d, const char *what, int error)
{
	log_line(LOG_WARN, "event=refresh_failed host=%s repo=%s what=\"%s\" error=\"%s\"", d->x->host, d->x->path, what,
		 strerror(-error));
	return REFRESH_FAILED;
}

static enum refresh_result read_refs(struct round *d)
{
	uint8_t body[LS_REFS_BODY];
	struct wr w = wr_of(body, sizeof(body));
	const struct ask_outcome *out = &d->list.outcome;
	struct rd text, error;
	struct ask q;
	int r;

	if (!fetch_write_ls_refs(&w, d->x->format, false))
		return failed(d, "ls-refs", -E2BIG);
	q = refresh_ask(d->r, d->x, wr_rd(&w));
	r = refresh_take(d->r, d->x, wr_rd(&w), 0, &q, &d->list);
	if (r < 0)
		return failed(d, "ls-refs", r);
	if (out->reason != REASON_NONE)
		return refused(d, out);
	r = flight_map(&d->list, &text);
	if (!r)
		r = ls_refs_parse(text, d->x->format, LS_REFS_MAX, &d->refs, &error);
	if (r < 0)
		return failed(d, "its list of references", r);
	repo_allowed(d->x, out->asked);
	d->asked = out->asked;
	return REFRESH_DONE;
}

static int find_tips(struct round *d)
{
	d->tips = calloc(d->refs.n + 1, sizeof(*d->tips));
	if (!d->tips)
		return -ENOMEM;
	for (size_t i = 0; i < d->refs.n; i++)
		if (!d->refs.ref[i].unborn)
			d->tips[d->n_tips++] = d->refs.ref[i].oid;
	d->n_tips = oid_sort_unique(d->tips, d->n_tips);
	return ls_refs_generation(&d->refs, d->upstream);
}

/* What waiters want so far. */
static void take_wanted(struct round *d)
{
	pthread_mutex_lock(&d->x->lock);
	d->extra = d->x->wanted;
	d->n_extra = d->x->n_wanted;
	d->x->wanted = NULL;
	d->x->n_wanted = 0;
	pthread_mutex_unlock(&d->x->lock);
	if (d->n_extra)
		d->n_extra = oid_sort_unique(d->extra, d->n_extra);
}

static int find_need(struct round *d)
{
	free(STEAL(d->need));
	d->need = calloc(d->n_tips + 1, sizeof(*d->need));
	if (!d->need)
		return -ENOMEM;
	memcpy(d->need, d->tips, d->n_tips * sizeof(*d->need));
	d->n_need = d->n_tips;
	return refs_missing(d->x, d->need, &d->n_need);
}

static enum refresh_result fetch(struct round *d, struct oid *wants, size_t n)
{
	struct fetch_request q = fetch_request_refresh(d->x->format, wants, n, d->x->tips,
						       d->x->n_tips < HAVES_MAX ? d->x->n_tips : HAVES_MAX);
	size_t cap = fetch_request_bound(&q);
	AUTO(mem) uint8_t *body = malloc(cap);
	struct wr w = wr_of(body, body ? cap : 0);
	struct ask a;
	struct ask_outcome out;
	int r;

	if (!body || !fetch_request_write(&q, &w))
		return failed(d, "fetch", -ENOMEM);
	a = refresh_ask(d->r, d->x, wr_rd(&w));
	a.large = true;
	r = intake_run(d->x, &a, d->r->repo_max, &out);
	d->report.too_large = r == -EFBIG;
	if (d->report.too_large)
		return REFRESH_TOO_LARGE;
	if (r < 0)
		return failed(d, "fetch", r);
	d->report.changed = true;
	return out.reason == REASON_NONE ? REFRESH_DONE : refused(d, &out);
}

/* Only the leader of a round changes tips and generation: reading them needs no lock here. */
static int publish(struct round *d)
{
	uint8_t generation[REPO_GENERATION];
	struct files_about about = { 0 };
	int r = refs_update(d->x, &d->refs, generation);

	snprintf(about.host, sizeof(about.host), "%s", d->x->host);
	snprintf(about.path, sizeof(about.path), "%s", d->x->path);
	snprintf(about.credential, sizeof(about.credential), "%s", d->x->domain.credential);
	if (!r && d->x->state == REPO_COLD)
		r = files_about_write(d->x->dir, &about);
	if (r < 0)
		return r;
	pthread_mutex_lock(&d->x->lock);
	free(d->x->tips);
	d->x->tips = STEAL(d->tips);
	d->x->n_tips = d->n_tips;
	d->x->n_refs = d->refs.n;
	memcpy(d->x->generation, generation, sizeof(generation));
	memcpy(d->x->upstream, d->upstream, sizeof(d->upstream));
	d->x->upstream_known = true;
	d->x->state = REPO_WARM;
	if (d->x->refused)		/* meanwhile, when there was nothing to mark */
		files_mark(d->x->dir, FILES_REFUSED, true);
	if (d->x->doubted)
		files_mark(d->x->dir, FILES_DOUBTED, true);
	pthread_mutex_unlock(&d->x->lock);
	return 0;
}

/*
 * What is still missing of what waiters want. Upstream may take long for it, or have none of it; so those
 * who wait for references look now, and until it has come nobody waits but for these objects.
 */
static int announce_extra(struct round *d)
{
	int r = refs_missing(d->x, d->extra, &d->n_extra);

	if (r < 0)
		return r;
	pthread_mutex_lock(&d->x->lock);
	d->x->extra = d->extra;
	d->x->n_extra = d->n_extra;
	d->x->rounds++;
	pthread_cond_broadcast(&d->x->changed);
	pthread_mutex_unlock(&d->x->lock);
	return 0;
}

static void withdraw_extra(struct round *d)
{
	pthread_mutex_lock(&d->x->lock);
	d->x->extra = NULL;
	d->x->n_extra = 0;
	pthread_mutex_unlock(&d->x->lock);
}

static enum refresh_result fetch_extra(struct round *d)
{
	enum refresh_result result;
	int r = announce_extra(d);

	if (r < 0 || !d->n_extra)
		return r < 0 ? failed(d, "what is missing", r) : REFRESH_DONE;
	result = fetch(d, d->extra, d->n_extra);
	if (result != REFRESH_DONE)
		return result;
	r = refs_pin(d->x, d->extra, d->n_extra);
	return r < 0 ? failed(d, "what no reference holds", r) : REFRESH_DONE;
}

/* It is another repository: nothing of the old one stays. No maintenance begins any more; one that runs may end. */
static int begin_anew(struct round *d)
{
	uint64_t bytes = d->x->bytes;
	int r;

	pthread_mutex_lock(&d->x->lock);
	d->x->state = REPO_COLD;
	while (d->x->tended)
		pthread_cond_wait(&d->x->changed, &d->x->lock);
	pthread_mutex_unlock(&d->x->lock);
	repo_clear(d->r->repos, d->x);
	spool_purge(d->r->spool, d->x->domain.id);
	r = intake_prepare(d->x);
	log_line(LOG_NOTE, "event=mirror_replaced host=%s repo=%s", d->x->host, d->x->path);
	tell_event(d->r->keeper, MIRROR_REPLACED, d->x, 0, bytes, 0);
	return r;
}

static enum refresh_result fetch_need(struct round *d)
{
	int r = find_need(d);

	if (r < 0)
		return failed(d, "what is missing", r);
	return d->n_need ? fetch(d, d->need, d->n_need) : REFRESH_DONE;
}

/* What is needed of a repository that may be another's: in doubt that is told before anything is fetched. */
static enum refresh_result fetch_of_the_same(struct round *d)
{
	enum refresh_result result;
	int r = 0, same;

	if (repo_is_doubted(d->x) && !kin_by_tips(d->x, d->tips, d->n_tips)) {
		r = begin_anew(d);
		return r < 0 ? failed(d, "a new repository", r) : fetch_need(d);
	}
	result = fetch_need(d);
	if (result != REFRESH_DONE)
		return result;
	same = kin_by_history(d->x, d->tips, d->n_tips);
	if (!same)
		r = begin_anew(d);
	if (same < 0 || r < 0)
		return failed(d, "whose history it is", same < 0 ? same : r);
	return same ? REFRESH_DONE : fetch_need(d);
}

/* Objects first, references last. */
static enum refresh_result follow(struct round *d)
{
	bool first = d->x->state == REPO_COLD || !d->x->n_tips;
	enum refresh_result result = first ? fetch_need(d) : fetch_of_the_same(d);
	int r;

	if (result != REFRESH_DONE)
		return result;
	d->report.changed = true;
	r = publish(d);
	return r < 0 ? failed(d, "its references", r) : REFRESH_DONE;
}

/* The same list as the last one that was followed: no program need be run. */
static bool unchanged(const struct round *d)
{
	return d->x->state == REPO_WARM && d->x->upstream_known &&
	       !memcmp(d->x->upstream, d->upstream, sizeof(d->upstream));
}

static enum refresh_result run_round(struct round *d)
{
	enum refresh_result result;
	int r = d->x->state == REPO_COLD ? intake_prepare(d->x) : 0;

	if (r < 0)
		return failed(d, "a new repository", r);
	take_wanted(d);
	result = read_refs(d);
	if (result != REFRESH_DONE)
		return result;
	r = find_tips(d);
	if (r < 0)
		return failed(d, "its list of references", r);
	result = unchanged(d) ? REFRESH_DONE : follow(d);
	if (result != REFRESH_DONE)
		return result;
	d->followed = true;
	repo_proved(d->x, d->asked);
	files_touch(d->x->dir, "refreshed");
	if (!d->n_extra)
		return REFRESH_DONE;
	result = fetch_extra(d);
	withdraw_extra(d);
	return result;
}

enum refresh_result refresh_claimed(const struct refresh *r, struct repo *x, enum reason *ret_reason)
{
	uint64_t begun = deadline_now(), received = x->received, objects = x->objects;
	struct round d = { .r = r, .x = x, .list.file = -1 };
	enum refresh_result result = run_round(&d);

	/* What a sandbox wants and upstream has not is no fault of the repository. */
	backoff_note(r->backoff, x->domain.id, result == REFRESH_FAILED && !d.followed);
	*ret_reason = d.reason;
	d.report.bytes = x->received - received;
	d.report.objects = x->objects - objects;
	d.report.ms = deadline_now() - begun;
	pthread_mutex_lock(&x->lock);
	x->too_large = d.report.too_large;
	x->unmeasured |= d.report.changed;
	x->fresh_bytes += d.report.changed ? d.report.bytes : 0;
	if (result == REFRESH_DONE)
		x->refreshed = time(NULL);
	pthread_mutex_unlock(&x->lock);
	round_done(&d);
	repo_release(x);
	if (r->over)
		r->over(r->owner, x, &d.report);
	return result;
}

/* ---- many who want one ---- */

static void want(struct repo *x, const struct oid *wants, size_t n)
{
	struct oid *more = n && x->n_wanted + n <= WANTED_MAX ?
				   realloc(x->wanted, (x->n_wanted + n) * sizeof(*more)) : NULL;

	if (!more)
		return;				/* not asked for: it stays missing, and upstream answers */
	memcpy(more + x->n_wanted, wants, n * sizeof(*wants));
	x->wanted = more;
	x->n_wanted += n;
}

/* Under the lock: what is fetched now are odd objects, and none of these is among them. */
static bool only_odd(const struct repo *x, const struct oid *wants, size_t n)
{
	for (size_t i = 0; i < n && x->n_extra; i++)
		if (bsearch(&wants[i], x->extra, x->n_extra, sizeof(*wants), oid_compare))
			return false;
	return x->n_extra > 0;
}

enum begin { BEGIN_NEVER = 0,		/* it would be too long a wait */
	     BEGIN_LEAD,		/* this thread is to lead a round */
	     BEGIN_OVER };		/* another's has ended */

static enum begin begin(struct repo *x, const struct oid *wants, size_t n, uint64_t until)
{
	enum begin result = BEGIN_OVER;
	uint64_t round;
	int late = 0;

	pthread_mutex_lock(&x->lock);
	if (!x->refreshing)
		result = BEGIN_LEAD;
	else if (only_odd(x, wants, n))
		result = BEGIN_NEVER;
	if (result != BEGIN_NEVER)
		want(x, wants, n);
	x->refreshing = true;
	round = x->rounds;
	while (result == BEGIN_OVER && x->rounds == round && !late)
		late = thread_cond_wait(&x->changed, &x->lock, until) < 0;
	pthread_mutex_unlock(&x->lock);
	return late ? BEGIN_NEVER : result;
}

enum refresh_result refresh_run(const struct refresh *r, struct repo *x, const struct oid *wants, size_t n,
				enum reason *ret_reason)
{
	uint64_t until = deadline_in((uint64_t)r->config->first_byte_ms + WAIT_MORE_MS);

	*ret_reason = REASON_NONE;
	for (int i = 0; i < ROUNDS_MAX && !backoff_is_on(r->backoff, x->domain.id); i++) {
		enum begin b = begin(x, wants, n, until);

		if (b == BEGIN_LEAD)
			return refresh_claimed(r, x, ret_reason);
		if (b == BEGIN_NEVER)
			break;
		if (repo_has(x, wants, n))
			return REFRESH_DONE;
	}
	return REFRESH_FAILED;
}

enum refresh_result refresh_now(const struct refresh *r, struct repo *x, enum reason *ret_reason)
{
	*ret_reason = REASON_NONE;
	repo_claim_beside(x);
	return refresh_claimed(r, x, ret_reason);
}

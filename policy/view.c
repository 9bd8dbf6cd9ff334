/*
 * view.c - a part's picture of sandboxes, profiles and names, kept in step with netd
 *
 * Theory of operation: see view.h and the conversation in base/msg.h. What arrives goes through one
 * table of handlers. Until END they fill `coming`, a new picture that END puts in the place of the
 * old one in one step; afterwards they change the picture in force under the write lock. Between
 * PREPARE and COMMIT (or ABORT) profiles go to `prepared`; when as many have come as PREPARE
 * announced, READY is sent. A datagram with a sequence is answered by DONE (by READY for PREPARE);
 * those of the snapshot have none.
 *
 * Invariants: policies are compiled here from the text, and their hash must be the one netd names,
 * so a part never decides by other rules than netd does. Anything unexpected ends the connection,
 * and without a connection no look-up succeeds. One thread feeds; look-ups and view_send() may come
 * from any. `io` guards the descriptor and sending, `lock` the picture; `io` is never taken while
 * `lock` is held.
 */
#include "policy/view.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/log.h"
#include "base/thread.h"
#include "policy/picture.h"

enum { VIEW_SEND_MS = 2000, VIEW_BACKOFF_MIN_MS = 20, VIEW_BACKOFF_MAX_MS = 1000 };

struct view {
	const struct host_config *config;
	enum proc_role role;
	view_extra_fn *extra;
	view_revoked_fn *revoked;
	view_became_ready_fn *told_ready;
	void *owner;

	pthread_mutex_t io;
	pthread_cond_t became_ready;
	int fd;

	pthread_rwlock_t lock;
	bool ready;
	struct picture *picture;

	/* the feeding thread's own */
	struct picture *coming;			/* before END */
	struct policies *prepared;		/* between PREPARE and COMMIT or ABORT */
	struct msg_reload preparing;		/* PREPARE, and in result what READY will say */
	uint32_t prepare_sequence, prepared_count;

	pthread_t thread;
	bool threaded;
	atomic_bool stopping;
};

int view_new(const struct host_config *c, enum proc_role role, view_extra_fn *extra, void *owner,
	     struct view **ret)
{
	struct view *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	v->config = c;
	v->role = role;
	v->extra = extra;
	v->owner = owner;
	v->fd = -1;
	pthread_mutex_init(&v->io, NULL);
	pthread_rwlock_init(&v->lock, NULL);
	thread_cond_init(&v->became_ready);
	*ret = v;
	return 0;
}

void view_set_revoked(struct view *v, view_revoked_fn *fn)
{
	v->revoked = fn;
}

void view_set_became_ready(struct view *v, view_became_ready_fn *fn)
{
	v->told_ready = fn;
}

static void set_ready(struct view *v, bool ready)
{
	pthread_mutex_lock(&v->io);
	pthread_rwlock_wrlock(&v->lock);
	v->ready = ready;
	pthread_rwlock_unlock(&v->lock);
	if (ready)
		pthread_cond_broadcast(&v->became_ready);
	pthread_mutex_unlock(&v->io);
}

/* The old picture stays in memory, out of reach, until a new one is complete. */
static void disconnect(struct view *v)
{
	set_ready(v, false);
	pthread_mutex_lock(&v->io);
	if (v->fd >= 0)
		close(v->fd);
	v->fd = -1;
	pthread_mutex_unlock(&v->io);
	picture_free(STEAL(v->coming));
	policies_free(STEAL(v->prepared));
}

void view_free(struct view *v)
{
	if (!v)
		return;
	atomic_store(&v->stopping, true);
	if (v->threaded) {
		pthread_mutex_lock(&v->io);
		if (v->fd >= 0)
			shutdown(v->fd, SHUT_RDWR);
		pthread_mutex_unlock(&v->io);
		pthread_join(v->thread, NULL);
	}
	disconnect(v);
	picture_free(v->picture);
	pthread_cond_destroy(&v->became_ready);
	pthread_rwlock_destroy(&v->lock);
	pthread_mutex_destroy(&v->io);
	free(v);
}

/* ---- talking ---- */

int view_send(struct view *v, enum msg_type t, uint32_t sequence, const void *body)
{
	int r;

	pthread_mutex_lock(&v->io);
	r = v->fd < 0 ? -ENOTCONN : msg_send(v->fd, t, sequence, body);
	pthread_mutex_unlock(&v->io);
	return r;
}

static int say_hello(struct view *v, int fd)
{
	struct timeval patience = { .tv_sec = VIEW_SEND_MS / 1000 };
	struct msg_hello m = { .protocol = MSG_PROTOCOL, .role = v->role };

	/* netd never stops reading; one that is stopped must not stop its parts for ever. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		return -errno;
	msg_text_set(m.build, sizeof(m.build), CORDON_VERSION);
	return msg_send(fd, MSG_HELLO, 0, &m);
}

int view_connect(struct view *v)
{
	AUTO(fd) int fd = -1;
	char path[4096];
	int r, n;

	disconnect(v);
	n = snprintf(path, sizeof(path), "%s/parts/netd.sock", v->config->run_dir);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	fd = ipc_connect(path);
	r = fd < 0 ? fd : say_hello(v, fd);
	if (!r)
		r = picture_new(pool_size(&v->config->pool), &v->coming);
	if (r < 0)
		return r;
	pthread_mutex_lock(&v->io);
	v->fd = STEAL_FD(fd);
	r = v->fd;
	pthread_mutex_unlock(&v->io);
	return r;
}

/* ---- what arrives ---- */

/* Change the picture in force, or the one that is coming. */
static struct picture *picture_begin(struct view *v)
{
	if (v->coming)
		return v->coming;
	pthread_rwlock_wrlock(&v->lock);
	return v->picture;
}

static void picture_end(struct view *v)
{
	if (!v->coming)
		pthread_rwlock_unlock(&v->lock);
}

/*
 * The policy of a PROFILE: the same text, compiled by the same code, must have the same hash. netd
 * has compared its ranges with the addresses that the host had; a part may start when there are
 * others, and the ruleset looks at each packet. netd has also looked for credentials in a newer list
 * than a part may have: the keeper, which has the secrets, refuses what it does not know.
 */
static int compile(struct view *v, const struct msg_profile *m, int fd, struct policy **ret)
{
	struct policy_site site = host_config_site(v->config);
	AUTO(diag) struct diag *d = NULL;
	AUTO(mem) char *text = NULL;
	AUTO(policy) struct policy *p = NULL;
	size_t n;
	int r;

	site.addresses = (struct address_context){ 0 };
	site.credentials = NULL;
	if (!msg_text_ok(m->name, sizeof(m->name)) || !msg_text_ok(m->sha256, sizeof(m->sha256)))
		return -EPROTO;
	r = ipc_memfd_read(fd, POLICY_TEXT_MAX, &text, &n);
	if (!r)
		r = diag_new(&d);
	if (!r)
		r = policy_compile(m->name, m->name, text, n, &site, d, &p);
	if (!r && strcmp(policy_sha256(p), m->sha256))
		r = -EBADMSG;
	if (r < 0) {
		log_line(LOG_ERR, "event=profile_refused profile=%s errno=%d", m->name, -r);
		return r;
	}
	*ret = STEAL(p);
	return 0;
}

static int send_ready(struct view *v)
{
	struct msg_reload m = v->preparing;

	m.count = v->prepared_count;
	return view_send(v, MSG_READY, v->prepare_sequence, &m);
}

/* A profile of the generation in preparation: an error is told, and the old generation stays. */
static int prepare_profile(struct view *v, const struct msg_profile *m, int fd)
{
	struct policy *p = NULL;
	int r;

	if (v->prepared_count >= v->preparing.count || m->generation != v->preparing.generation)
		return -EPROTO;
	r = compile(v, m, fd, &p);
	if (!r)
		r = policies_put(v->prepared, m->id, p);
	if (r < 0 && !v->preparing.result)
		v->preparing.result = r;
	v->prepared_count++;
	return v->prepared_count == v->preparing.count ? send_ready(v) : 0;
}

static int on_profile(struct view *v, const struct ipc_in *in, const void *body)
{
	const struct msg_profile *m = body;
	struct policy *p = NULL;
	int r;

	if (v->prepared)
		return prepare_profile(v, m, in->fd[0]);
	r = compile(v, m, in->fd[0], &p);
	if (r < 0)
		return r;
	r = policies_put(picture_policies(picture_begin(v)), m->id, p);
	picture_end(v);
	return r;
}

static int on_sandbox(struct view *v, const struct ipc_in *in, const void *body)
{
	int r;

	(void)in;
	r = picture_put_sandbox(picture_begin(v), body);
	picture_end(v);
	return r;
}

static int on_gone(struct view *v, const struct ipc_in *in, const void *body)
{
	const struct msg_gone *m = body;

	(void)in;
	picture_del_sandbox(picture_begin(v), m->id);
	picture_end(v);
	return 0;
}

static int on_name(struct view *v, const struct ipc_in *in, const void *body)
{
	int r;

	(void)in;
	r = picture_put_name(picture_begin(v), body);
	picture_end(v);
	return r;
}

static int on_name_gone(struct view *v, const struct ipc_in *in, const void *body)
{
	const struct msg_name *m = body;

	picture_del_name(picture_begin(v), m->index);
	picture_end(v);
	return v->role == ROLE_DNS && v->extra ? v->extra(v->owner, in) : 0; /* it has pins of it */
}

static const char *policy_hash(struct picture *pic, uint16_t profile)
{
	const struct policy *p = picture_policies(pic)->by_id[profile];

	return p ? policy_sha256(p) : "";
}

/* What was taken away while nobody could tell us: what runs by the old picture must not go on. */
static void tell_revoked(struct view *v, struct picture *old, struct picture *new)
{
	for (uint32_t id = 1; id <= MARK_SANDBOX_MAX; id++) {
		const struct msg_sandbox *was = picture_sandbox_by_id(old, (uint16_t)id);
		const struct msg_sandbox *is = picture_sandbox_by_id(new, (uint16_t)id);

		if (was && (!is || memcmp(was, is, sizeof(*is)) ||
			    strcmp(policy_hash(old, was->profile), policy_hash(new, is->profile))))
			v->revoked(v->owner, (uint16_t)id);
	}
}

static int on_end(struct view *v, const struct ipc_in *in, const void *body)
{
	struct picture *old = v->picture;

	(void)in;
	(void)body;
	if (!v->coming)
		return -EPROTO;
	pthread_rwlock_wrlock(&v->lock);
	v->picture = STEAL(v->coming);
	pthread_rwlock_unlock(&v->lock);
	if (old && v->revoked)
		tell_revoked(v, old, v->picture);
	picture_free(old);
	set_ready(v, true);
	if (v->told_ready)
		v->told_ready(v->owner);
	return 0;
}

static int on_prepare(struct view *v, const struct ipc_in *in, const void *body)
{
	if (v->prepared)
		return -EPROTO;
	memcpy(&v->preparing, body, sizeof(v->preparing));
	v->preparing.result = 0;
	v->prepare_sequence = in->head.sequence;
	v->prepared_count = 0;
	v->prepared = calloc(1, sizeof(*v->prepared));
	if (!v->prepared)
		return -ENOMEM;
	return v->preparing.count ? 0 : send_ready(v);
}

static int on_commit(struct view *v, const struct ipc_in *in, const void *body)
{
	const struct msg_reload *m = body;

	(void)in;
	if (!v->prepared || v->prepared_count != v->preparing.count || v->preparing.result ||
	    m->generation != v->preparing.generation)
		return -EPROTO;
	picture_set_policies(picture_begin(v), STEAL(v->prepared));
	picture_end(v);
	return 0;
}

static int on_abort(struct view *v, const struct ipc_in *in, const void *body)
{
	(void)in;
	(void)body;
	policies_free(STEAL(v->prepared));
	return 0;
}

enum when { BEFORE_END = 1, AFTER_END = 2, ALWAYS = 3 };

static const struct {
	enum msg_type type;
	enum when when;
	bool done;			/* answered by DONE when it has a sequence */
	int (*fn)(struct view *v, const struct ipc_in *in, const void *body);
} handlers[] = {
	{ MSG_PROFILE, ALWAYS, true, on_profile },
	{ MSG_SANDBOX, ALWAYS, true, on_sandbox },
	{ MSG_GONE, ALWAYS, true, on_gone },
	{ MSG_NAME_IS, ALWAYS, true, on_name },
	{ MSG_NAME_GONE, ALWAYS, true, on_name_gone },
	{ MSG_END, BEFORE_END, false, on_end },
	{ MSG_PREPARE, AFTER_END, false, on_prepare },
	{ MSG_COMMIT, AFTER_END, true, on_commit },
	{ MSG_ABORT, AFTER_END, true, on_abort },
};

/* What the view does not know goes to its owner, once there is a picture to decide by. */
static int dispatch_extra(struct view *v, const struct ipc_in *in)
{
	if (v->coming || !v->extra)
		return -EPROTO;
	return v->extra(v->owner, in);
}

static int dispatch(struct view *v, const struct ipc_in *in)
{
	struct msg_done done = { 0 };
	size_t i = 0;

	while (i < ARRAY_SIZE(handlers) && handlers[i].type != in->head.type)
		i++;
	if (i == ARRAY_SIZE(handlers))
		return dispatch_extra(v, in);
	if (!msg_body(in, handlers[i].type) ||
	    !(handlers[i].when & (v->coming ? BEFORE_END : AFTER_END)))
		return -EPROTO;
	done.result = handlers[i].fn(v, in, in->body);
	if (handlers[i].done && in->head.sequence &&
	    view_send(v, MSG_DONE, in->head.sequence, &done) < 0)
		return -EPIPE;
	return done.result;
}

int view_feed(struct view *v)
{
	struct ipc_in in;
	int r;

	if (v->fd < 0)
		return -ENOTCONN;
	r = ipc_recv(v->fd, &in);
	if (r == -EAGAIN)
		return 0;
	if (!r) {
		r = dispatch(v, &in);
		if (r < 0)
			log_line(LOG_ERR, "event=netd_message_refused type=%u errno=%d",
				 in.head.type, -r);
		ipc_in_done(&in);
	}
	if (r < 0)
		disconnect(v);
	return r;
}

/* ---- look-ups ---- */

bool view_ready(struct view *v)
{
	bool ready;

	pthread_rwlock_rdlock(&v->lock);
	ready = v->ready;
	pthread_rwlock_unlock(&v->lock);
	return ready;
}

/* 0, -ENOENT, or -EAGAIN: no picture to look in. */
static int sandbox_find(struct view *v, const struct addr *guest, struct view_sandbox *ret)
{
	const struct msg_sandbox *m;
	const struct policy *p;
	int r;

	*ret = (struct view_sandbox){ 0 };
	pthread_rwlock_rdlock(&v->lock);
	m = v->ready ? picture_sandbox(v->picture, guest) : NULL;
	p = m ? picture_policies(v->picture)->by_id[m->profile] : NULL;
	if (p) {
		ret->id = m->id;
		ret->profile = m->profile;
		memcpy(ret->addr, m->addr, sizeof(ret->addr));
		memcpy(ret->name, m->name, sizeof(ret->name));
		ret->policy = policy_ref(p);
	}
	r = p ? 0 : v->ready ? -ENOENT : -EAGAIN;
	pthread_rwlock_unlock(&v->lock);
	return r;
}

bool view_sandbox_of(struct view *v, const struct addr *guest, struct view_sandbox *ret)
{
	return !sandbox_find(v, guest, ret);
}

struct policy *view_policy_of(struct view *v, uint16_t profile)
{
	const struct policy *p = NULL;
	struct policy *ret;

	pthread_rwlock_rdlock(&v->lock);
	if (v->ready && profile <= MARK_PROFILE_MAX)
		p = picture_policies(v->picture)->by_id[profile];
	ret = p ? policy_ref(p) : NULL;
	pthread_rwlock_unlock(&v->lock);
	return ret;
}

void view_sandbox_done(struct view_sandbox *s)
{
	policy_unref(STEAL(s->policy));
}

bool view_name_of(struct view *v, const struct addr *synthetic, char out[MSG_NAME])
{
	const char *name = NULL;
	uint32_t index;

	out[0] = 0;
	pthread_rwlock_rdlock(&v->lock);
	if (v->ready && pool_index(&v->config->pool, synthetic, &index))
		name = picture_name(v->picture, index);
	if (name)
		msg_text_set(out, MSG_NAME, name);
	pthread_rwlock_unlock(&v->lock);
	return name != NULL;
}

/* ---- a thread that keeps it connected ---- */

static struct timespec after_ms(unsigned ms)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += ms / 1000;
	ts.tv_nsec += (long)(ms % 1000) * 1000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_nsec -= 1000000000;
		ts.tv_sec++;
	}
	return ts;
}

static void *view_thread(void *arg)
{
	struct view *v = arg;
	unsigned backoff = VIEW_BACKOFF_MIN_MS;

	while (!atomic_load(&v->stopping)) {
		struct timespec until = after_ms(backoff);

		if (view_connect(v) >= 0)
			while (!atomic_load(&v->stopping) && view_feed(v) >= 0)
				if (view_ready(v))
					backoff = VIEW_BACKOFF_MIN_MS;
		if (!atomic_load(&v->stopping))
			clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
		backoff = backoff * 2 > VIEW_BACKOFF_MAX_MS ? VIEW_BACKOFF_MAX_MS : backoff * 2;
	}
	return NULL;
}

int view_start_thread(struct view *v)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	/* Signals are for the daemon's own threads. */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&v->thread, NULL, view_thread, v);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	v->threaded = r == 0;
	return -r;
}

static int wait_until(struct view *v, const struct timespec *until)
{
	int r = 0;

	pthread_mutex_lock(&v->io);
	while (!r && !view_ready(v))
		r = pthread_cond_timedwait(&v->became_ready, &v->io, until);
	pthread_mutex_unlock(&v->io);
	return -r;
}

int view_wait_ready(struct view *v, unsigned timeout_ms)
{
	struct timespec until = after_ms(timeout_ms);

	return wait_until(v, &until);
}

int view_sandbox_wait(struct view *v, const struct addr *guest, unsigned timeout_ms,
		      struct view_sandbox *ret)
{
	struct timespec until = after_ms(timeout_ms);
	int r, waited = 0;

	while ((r = sandbox_find(v, guest, ret)) == -EAGAIN && !waited)
		waited = wait_until(v, &until);
	return r == -EAGAIN ? waited : r;
}

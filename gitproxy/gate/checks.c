/*
 * checks.c - whether the objects of a push are what the policy and git allow
 *
 * Theory of operation: what threads need of their own to look at objects (feed.h) is handed out and
 * taken back, so that there are as many as threads, and none dies before the graph whose records it
 * holds. An object that is not of the pack, or comes twice, is an error of the caller's: nothing is
 * concluded then. At the end every object must have been seen.
 */
#include "gitproxy/gate/checks.h"

#include <errno.h>
#include <stdarg.h>
#include <inttypes.h>
#include <stdio.h>

#include "gitproxy/gate/feed.h"
#include "gitproxy/gate/lfs_pointer.h"
#include "gitproxy/gate/run.h"

enum { FEEDERS_MAX = 64 };

struct pointer { uint64_t size; uint32_t node; uint8_t sha256[32]; };

struct checks {
	struct checks_spec spec;
	struct keep keep;
	struct graph graph;
	struct run run;
	pthread_mutex_t lock;		/* of all below */
	struct feeder *feeder[FEEDERS_MAX], *idle[FEEDERS_MAX];
	unsigned n_feeders, n_idle;
	struct pointer *pointer;
	size_t n_pointers, cap_pointers;
	uint64_t inflated;
	bool failed;			/* something could not be looked at */
};

static const struct checks_limits defaults = {
	.inflated = 64ULL << 30, .paths = 20 << 20, .steps = 50 << 20, .message = 16 << 20,
	.parents = 1024, .entries = 1 << 20, .path = 4000, .depth = 1024,
};

static void fill_limits(struct checks_limits *l)
{
	const struct checks_limits *d = &defaults;

	l->inflated = l->inflated ? l->inflated : d->inflated;
	l->paths = l->paths ? l->paths : d->paths;
	l->steps = l->steps ? l->steps : d->steps;
	l->message = l->message ? l->message : d->message;
	l->parents = l->parents ? l->parents : d->parents;
	l->entries = l->entries ? l->entries : d->entries;
	l->path = l->path ? l->path : d->path;
	l->depth = l->depth ? l->depth : d->depth;
}

int checks_new(const struct checks_spec *spec, struct checks **ret)
{
	AUTO(checks) struct checks *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	pthread_mutex_init(&c->lock, NULL);
	c->spec = *spec;
	fill_limits(&c->spec.limits);
	r = keep_init(&c->keep, spec->rules);
	if (r == 0)
		r = graph_init(&c->graph, spec->objects, spec->format, &c->keep);
	if (r < 0)
		return r;
	c->run = (struct run){ .g = &c->graph, .objects = spec->objects, .list = spec->list, .rules = spec->rules,
			       .sink = spec->sink, .limits = c->spec.limits, .has_tips = spec->has_tips,
			       .tips_may_lack = spec->tips_may_lack,
			       .tips = spec->tips, .n_tips = spec->n_tips };
	*ret = STEAL(c);
	return 0;
}

void checks_free(struct checks *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < c->n_feeders; i++)
		feeder_free(c->feeder[i]);
	graph_done(&c->graph);
	keep_done(&c->keep);
	free(c->pointer);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* ---- one object ---- */

static struct feeder *take_feeder(struct checks *c)
{
	struct feeder *f = NULL;

	pthread_mutex_lock(&c->lock);
	if (c->n_idle)
		f = c->idle[--c->n_idle];
	else if (c->n_feeders < FEEDERS_MAX && feeder_new(&f) == 0)
		c->feeder[c->n_feeders++] = f;
	pthread_mutex_unlock(&c->lock);
	return f;
}

static void give_feeder(struct checks *c, struct feeder *f)
{
	pthread_mutex_lock(&c->lock);
	c->idle[c->n_idle++] = f;
	pthread_mutex_unlock(&c->lock);
}

static int keep_pointer(struct checks *c, const struct pointer *p)
{
	int r = 0;

	pthread_mutex_lock(&c->lock);
	if (c->n_pointers == c->cap_pointers) {
		size_t cap = 2 * c->cap_pointers + 16;
		struct pointer *more = realloc(c->pointer, cap * sizeof(*more));

		r = more ? 0 : -ENOMEM;
		c->pointer = more ? more : c->pointer;
		c->cap_pointers = more ? cap : c->cap_pointers;
	}
	if (r == 0)
		c->pointer[c->n_pointers++] = *p;
	pthread_mutex_unlock(&c->lock);
	return r;
}

static int look_at(struct checks *c, uint32_t i, enum object_type type, struct rd bytes, enum fault *ret_fault)
{
	struct pointer p = { .node = i };
	struct feeder *f;
	int r;

	*ret_fault = FAULT_NONE;
	if (type == OBJECT_BLOB)
		return lfs_pointer(bytes, p.sha256, &p.size) ? keep_pointer(c, &p) : 0;
	f = take_feeder(c);
	if (!f)
		return -ENOMEM;
	r = feed_object(f, &c->graph, &c->spec.limits, i, type, bytes, ret_fault);
	give_feeder(c, f);
	return r;
}

/* Its number, once; then its bytes are counted. */
static int enter(struct checks *c, const struct oid *oid, enum object_type type, uint64_t size, uint32_t *ret)
{
	uint8_t before;

	*ret = ids_find(&c->graph.pack, oid->byte);
	if (*ret == NODE_NONE)
		return -ENOENT;
	before = __atomic_fetch_or(&c->graph.node[*ret].flags, NODE_SEEN, __ATOMIC_RELAXED);
	if (before & NODE_SEEN)
		return -EEXIST;
	c->graph.node[*ret].type = (uint8_t)type;
	return __atomic_add_fetch(&c->inflated, size, __ATOMIC_RELAXED) > c->spec.limits.inflated ? -E2BIG : 0;
}

static enum reason refused(struct checks *c, uint32_t i, int r, enum fault fault, struct wr *ret_text)
{
	if (r == -E2BIG) {
		wr_fmt(ret_text, "more than %" PRIu64 " bytes in all", c->spec.limits.inflated);
		return REASON_PACK_LIMIT_EXCEEDED;
	}
	if (r < 0) {
		__atomic_store_n(&c->failed, true, __ATOMIC_RELAXED);
		return REASON_INTERNAL_ERROR;
	}
	if (fault == FAULT_NONE)
		return REASON_NONE;
	c->graph.node[i].fault = (uint8_t)fault;
	__atomic_fetch_or(&c->graph.node[i].flags, NODE_BAD, __ATOMIC_RELAXED);
	wr_str(ret_text, fault_text(fault));
	return REASON_PACK_MALFORMED;
}

enum reason checks_object(struct checks *c, const struct oid *oid, enum object_type type, struct rd bytes,
			  struct wr *ret_text)
{
	enum fault fault = FAULT_UNKNOWN;
	uint32_t i = NODE_NONE;
	int r = enter(c, oid, type, bytes.n, &i);

	if (r == 0)
		r = look_at(c, i, type, bytes, &fault);
	return refused(c, i, r, fault, ret_text);
}

enum reason checks_large_blob(struct checks *c, const struct oid *oid, uint64_t size, struct wr *ret_text)
{
	uint32_t i = NODE_NONE;
	int r = enter(c, oid, OBJECT_BLOB, size, &i);

	return refused(c, i, r, FAULT_NONE, ret_text);
}

enum reason checks_large_begin(struct checks *c, const struct oid *oid, struct rd begin, struct wr *ret_text)
{
	uint32_t i = ids_find(&c->graph.pack, oid->byte);
	enum fault fault;

	return refused(c, i, i == NODE_NONE ? -ENOENT : look_at(c, i, OBJECT_BLOB, begin, &fault), FAULT_NONE,
		       ret_text);
}

/* ---- all of them ---- */

void run_refuse(struct run *r, uint32_t command, enum reason reason, const char *fmt, ...)
{
	char text[512];
	va_list args;

	if (command == RUN_EVERY && r->told++ >= RUN_TOLD_MAX)
		return;
	r->told += command != RUN_EVERY;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	r->sink->refused(r->sink, command, reason, text);
}

const char *run_short(const struct run *r, uint32_t node, char buf[RUN_SHORT])
{
	char hex[OID_HEX_MAX];
	struct wr w = wr_of(hex, sizeof(hex));
	struct oid oid = graph_id(r->g, node);

	oid_write(&w, &oid, r->g->format);
	snprintf(buf, RUN_SHORT, "%.*s", RUN_SHORT - 1, hex);
	return buf;
}

int run_known(struct run *r, uint32_t node)
{
	struct node *n = graph_node(r->g, node);
	struct oid oid;
	int known;

	if (n->flags & (NODE_MIRROR | NODE_NEW))
		return n->flags & NODE_MIRROR ? 1 : 0;
	oid = graph_id(r->g, node);
	known = objects_in_mirror(r->objects, &oid);
	if (known >= 0)
		n->flags |= known ? NODE_MIRROR : NODE_NEW;
	return known;
}

static int run_seen(struct run *r)
{
	size_t unseen = 0;
	char id[RUN_SHORT];

	for (uint32_t i = 0; i < r->g->n_pack; i++) {
		const struct node *n = &r->g->node[i];

		unseen += !(n->flags & NODE_SEEN);
		if (n->flags & NODE_BAD)
			run_refuse(r, RUN_EVERY, REASON_PACK_MALFORMED, "%s (%s)", fault_text((enum fault)n->fault),
				   run_short(r, i, id));
	}
	return unseen ? -EBADMSG : 0;
}

static int run_inflated(struct checks *c)
{
	if (c->inflated > c->spec.limits.inflated)
		run_refuse(&c->run, RUN_EVERY, REASON_PACK_LIMIT_EXCEEDED, "more than %" PRIu64 " bytes in all",
			   c->spec.limits.inflated);
	return 0;
}

/*
 * Each needs what those before found to be so. Of commands all refusals are told, whatever else was
 * found; and what they are refused for hides no protected path.
 */
static int run_steps(struct run *r)
{
	static run_step *const steps[] = { run_tips, run_whole, run_forms, run_bounds, run_hidden, run_commands,
					   run_protect };
	int err = run_seen(r);
	unsigned broken = r->told;

	for (size_t i = 0; i < ARRAY_SIZE(steps) && err == 0; i++) {
		if (broken && steps[i] != run_commands)
			continue;
		err = steps[i](r);
		broken = steps[i] == run_commands ? broken : r->told;
	}
	return err;
}

static int tell_pointers(struct checks *c)
{
	for (size_t i = 0; i < c->n_pointers && c->spec.sink->pointer; i++) {
		const struct pointer *p = &c->pointer[i];
		struct oid oid = graph_id(&c->graph, p->node);
		int known = run_known(&c->run, p->node);

		if (known < 0)
			return known;
		if (!known)
			c->spec.sink->pointer(c->spec.sink, &oid, p->sha256, p->size);
	}
	return 0;
}

enum checks_verdict checks_run(struct checks *c, struct oid *ret_missing)
{
	int err = c->failed ? -EIO : run_inflated(c);

	if (err == 0)
		err = run_steps(&c->run);
	if (err == 0 && !c->run.told)
		err = tell_pointers(c);
	*ret_missing = c->run.missing;
	if (c->run.told)
		return CHECKS_REFUSED;
	if (err == -ENOENT)
		return CHECKS_MISSING;
	return err == 0 ? CHECKS_CLEAN : CHECKS_FAILED;
}

int checks_find(struct checks *c, struct checks_place *place)
{
	return run_find(&c->run, place);
}

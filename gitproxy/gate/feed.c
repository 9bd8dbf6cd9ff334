/*
 * feed.c - one object of the pack: is it well formed, and what does it point to
 */
#include "gitproxy/gate/feed.h"

#include <errno.h>
#include <stdlib.h>

struct feeder {
	struct arena arena;
	struct feed_trees *trees;
};

int feeder_new(struct feeder **ret)
{
	AUTO(feeder) struct feeder *f = calloc(1, sizeof(*f));
	int r = f ? feed_trees_new(&f->trees) : -ENOMEM;

	if (r == 0)
		*ret = STEAL(f);
	return r;
}

void feeder_free(struct feeder *f)
{
	if (!f)
		return;
	feed_trees_free(f->trees);
	arena_done(&f->arena);
	free(f);
}

static int feed_commit(struct feeder *f, struct graph *g, const struct checks_limits *limits, uint32_t i,
		       struct rd bytes, enum fault *ret_fault)
{
	struct commit c = { 0 };

	*ret_fault = bytes.n > limits->message ? FAULT_MESSAGE : commit_parse(bytes, g->format, &c);
	if (*ret_fault == FAULT_NONE && c.n_parents > limits->parents)
		*ret_fault = FAULT_PARENTS;
	return *ret_fault == FAULT_NONE ? graph_keep_commit(g, &f->arena, i, &c) : 0;
}

static int feed_tag(struct feeder *f, struct graph *g, const struct checks_limits *limits, uint32_t i,
		    struct rd bytes, enum fault *ret_fault)
{
	struct tag t = { 0 };

	*ret_fault = bytes.n > limits->message ? FAULT_MESSAGE : tag_parse(bytes, g->format, &t);
	return *ret_fault == FAULT_NONE ? graph_keep_tag(g, &f->arena, i, &t) : 0;
}

int feed_object(struct feeder *f, struct graph *g, const struct checks_limits *limits, uint32_t i,
		enum object_type type, struct rd bytes, enum fault *ret_fault)
{
	*ret_fault = FAULT_UNKNOWN;
	switch (type) {
	case OBJECT_COMMIT:
		return feed_commit(f, g, limits, i, bytes, ret_fault);
	case OBJECT_TREE:
		return feed_tree(f->trees, &f->arena, g, limits->entries, i, bytes, ret_fault);
	case OBJECT_TAG:
		return feed_tag(f, g, limits, i, bytes, ret_fault);
	case OBJECT_NONE:
	case OBJECT_BLOB:
		break;
	}
	return -EINVAL;
}

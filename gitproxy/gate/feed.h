/*
 * feed.h - one object of the pack: is it well formed, and what does it point to
 */
#ifndef GITPROXY_GATE_FEED_H
#define GITPROXY_GATE_FEED_H

#include "gitproxy/gate/checks.h"
#include "gitproxy/gate/graph.h"

struct feeder;		/* of one thread at a time; what it kept of objects goes with it */

int feeder_new(struct feeder **ret);
void feeder_free(struct feeder *f);
DEFINE_AUTO(feeder, struct feeder *, feeder_free)

/* 0: *ret_fault says. -errno: nothing is known. Blobs point to nothing, and are not for this. */
int feed_object(struct feeder *f, struct graph *g, const struct checks_limits *limits, uint32_t i,
		enum object_type type, struct rd bytes, enum fault *ret_fault);

/* feed_tree.c */
struct feed_trees;
int feed_trees_new(struct feed_trees **ret);
void feed_trees_free(struct feed_trees *t);
int feed_tree(struct feed_trees *t, struct arena *a, struct graph *g, uint32_t max_entries, uint32_t i,
	      struct rd bytes, enum fault *ret_fault);

#endif

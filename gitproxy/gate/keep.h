/*
 * keep.h - which names of files may matter for protected paths, wherever they stand
 */
#ifndef GITPROXY_GATE_KEEP_H
#define GITPROXY_GATE_KEEP_H

#include "policy/push.h"

struct keep {
	struct push_rules globs;	/* .denied: of the last components */
	struct rd *literal;		/* components without a star; borrowed from the rules */
	size_t n_literals;
	bool none;			/* nothing is protected */
};

int keep_init(struct keep *k, const struct push_rules *rules);	/* 0 or -errno; keeps `rules` */
void keep_done(struct keep *k);
/*
 * No: a file of this name is protected in directories alone of which every file is: those for which
 * keep_whole() says so.
 */
bool keep_name(const struct keep *k, struct rd name);
bool keep_whole(const struct push_rules *rules, struct rd directory);

#endif

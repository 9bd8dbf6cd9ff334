/*
 * weigh.h - which findings refuse a push, and where they are
 */
#ifndef GITPROXY_GATE_WEIGH_H
#define GITPROXY_GATE_WEIGH_H

#include "gitproxy/gate/checks.h"
#include "gitproxy/gate/contents.h"
#include "gitproxy/gate/tell.h"

struct weigh_spec {
	struct contents *contents;
	struct checks *checks;		/* NULL: there are no objects */
	struct objects *objects;	/* the same */
	bool warn_only;
};
/* Tell all of them; tell.judged counts. 0 or -errno. */
int weigh(const struct weigh_spec *s, struct tell *t);

#endif

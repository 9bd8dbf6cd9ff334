/*
 * mirror.h - cordon-mirror's requests
 */
#ifndef GITPROXY_MIRROR_MIRROR_H
#define GITPROXY_MIRROR_MIRROR_H

#include "base/ipc.h"
#include "gitproxy/mirror_ipc.h"
#include "policy/host_config.h"

struct mirror;
struct mirror_spec {			/* all borrowed */
	const struct host_config *config;
	const char *path;		/* STATE/mirrors, by name (for git) */
	int folder;			/* and by descriptor */
	int keeper;			/* the pair */
	const char *judge;		/* cordon-scan, as a path of ours alone; "": none */
	int rules;			/* its rules' file; -1: builtin */
};
int mirror_new(const struct mirror_spec *s, struct mirror **ret);	/* 0 or -errno */
/* Its threads, for ever: it is not freed after that. `control`: control_open(). 0 or -errno. */
int mirror_start(struct mirror *m, int control);
void mirror_free(struct mirror *m);
DEFINE_AUTO(mirror, struct mirror *, mirror_free)
/* Serve until the conversation with the keeper is over: -ECONNRESET, or another -errno. */
int mirror_loop(struct mirror *m);

#endif

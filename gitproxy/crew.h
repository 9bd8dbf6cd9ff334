/*
 * crew.h - threads for pieces of work that come and go
 */
#ifndef GITPROXY_CREW_H
#define GITPROXY_CREW_H

#include <stddef.h>

struct crew;

/* Threads with this much stack, of which at most `waiting` are kept for more. Never freed: its threads may outlive
 * whoever would. 0 or -ENOMEM. */
int crew_new(size_t stack, unsigned waiting, struct crew **ret);
/*
 * Run fn(arg) at once, in a thread that waits for work or in a new one: never after other work. 0
 * or -errno: fn will not run, arg stays the caller's.
 */
int crew_run(struct crew *c, void (*fn)(void *), void *arg);

#endif

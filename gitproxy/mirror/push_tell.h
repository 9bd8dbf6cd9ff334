/*
 * push_tell.h - the answer to a push, while it is judged and sent on
 */
#ifndef GITPROXY_MIRROR_PUSH_TELL_H
#define GITPROXY_MIRROR_PUSH_TELL_H

#include <pthread.h>

#include "gitproxy/mirror/push_report.h"

struct push_tell {			/* zeroed; push_tell_done() it */
	int to;				/* the front's answer socket; borrowed */
	bool side_band, report_status;	/* what the client asked for */
	pthread_mutex_t lock;		/* for what follows */
	pthread_cond_t changed;
	pthread_t ticker;
	bool begun, ticking, over;
	uint64_t said;			/* when something was last sent */
	uint64_t down;			/* bytes of it */
	int error;			/* the first of sending; -EPIPE: the front has gone */
};

/*
 * The head goes out; from then on a client with bands hears something every five seconds. 0 or -errno. The
 * wishes are filled in.
 */
int push_tell_begin(struct push_tell *t, int to);
/* Text for people, whole lines or progress; lost on a client without bands, and before the head. Any thread. */
void push_tell_text(struct push_tell *t, struct rd text);
void push_tell_line(struct push_tell *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The report, and the end. 0 or -errno. */
int push_tell_report(struct push_tell *t, const struct push_list *l, const struct push_told *told, const char *unpack);
/* An answer of nothing. 0 or -errno. */
int push_tell_nothing(struct push_tell *t);
/* The client listens no more. */
bool push_tell_is_gone(struct push_tell *t);
void push_tell_done(struct push_tell *t);

#endif

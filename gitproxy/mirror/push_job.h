/*
 * push_job.h - one push while it is served. Private to gitproxy/mirror/serve_push.c and push_*.c
 */
#ifndef GITPROXY_MIRROR_PUSH_JOB_H
#define GITPROXY_MIRROR_PUSH_JOB_H

#include "gitproxy/gate/gate_ipc.h"
#include "gitproxy/lfs.h"
#include "gitproxy/mirror/job.h"
#include "gitproxy/mirror/push_advert.h"
#include "gitproxy/mirror/push_request.h"
#include "gitproxy/mirror/push_tell.h"
#include "gitproxy/mirror/quarantine.h"

enum { PUSH_POINTERS_MAX = 100000 };

struct push {
	struct job *job;
	struct push_rules *rules;		/* owned, as all below */
	struct push_request *request;
	struct push_list *list;			/* the request's; borrowed */
	struct push_told *told;			/* for each command, once all are known; NULL before */
	struct quarantine quarantine;
	struct push_tell tell;
	int list_file;				/* sealed; -1 */
	uint8_t offers;				/* upstream: of enum push_capability */
	enum reason reason;			/* the first of ours; REASON_NONE: it may go on */
	enum push_outcome outcome;
	bool denied;				/* upstream said no to all of it, or lacks its end */
	char detail[MIRROR_DETAIL];		/* for the audit */
	struct gate_judged judged;
	bool heard;				/* progress was shown, and its line not ended */
	uint64_t shown;				/* when */
	struct lfs_object *pointers;
	size_t n_pointers;
	bool too_many_pointers;
	struct mirror_pushed_finding findings[PUSHED_LIST_MAX];
	size_t n_findings;
};

/*
 * Refuse one command, or all that have no reason of their own yet. What is told reads "reason: text". The first
 * reason is that of the push.
 */
void push_refuse_one(struct push *p, size_t i, enum reason reason, const char *text);
void push_refuse(struct push *p, enum reason reason, const char *text);

/*
 * Read all that the client sends: commands, options, and into the quarantine the pack. What is
 * refused meanwhile is read on and thrown away, so that the client comes to listen. 0, or -errno:
 * nobody listens.
 */
int push_take(struct push *p);
/* What its objects are. Fills judged, findings and pointers; refuses. False: it does not go on. */
bool push_judge(struct push *p);
/* Find secrets in the names of the first n commands: told[].secret. False: what is not known to be clean is not. */
bool push_names_scan(struct push *p, size_t n);
/* To upstream, and what became of it: outcome, and told for each command. */
void push_forward(struct push *p);

/*
 * Ask what upstream has, for pushes; not older than the window. REASON_NONE: *ret_text (heap) holds what
 * *ret borrows from.
 */
enum reason push_ask_upstream(struct push *p, unsigned window_ms, bool anew, uint8_t **ret_text,
			      struct push_advert *ret);

#endif

/*
 * push_report.h - what became of each reference of a push: upstream's report, and the one for the client
 */
#ifndef GITPROXY_MIRROR_PUSH_REPORT_H
#define GITPROXY_MIRROR_PUSH_REPORT_H

#include "gitproxy/pkt_stream.h"
#include "gitproxy/push_command.h"
#include "policy/reason.h"

enum { PUSH_TOLD = 320 };

enum push_fate { PUSH_UNTOLD = 0, PUSH_REFUSED, PUSH_DONE };

struct push_told {			/* of one command */
	enum push_fate fate;
	uint8_t op;			/* enum push_op, for the audit */
	bool secret;			/* its name holds one: the audit does not have it */
	enum reason reason;		/* of a refused one, where it is ours */
	char why[PUSH_TOLD];		/* of a refused one; push_text() */
};

/*
 * Hostile text made fit for a terminal: no control characters but line feed, carriage return and tab, and
 * those three only if `lines`; what is not UTF-8 becomes '?'. Fills `to` as far as there is room.
 */
void push_text(struct rd from, bool lines, struct wr *to);
/* The same into a string. */
void push_text_set(char *to, size_t cap, struct rd from);

/* ---- upstream's ---- */

struct push_upstream;
/* Its band 2, cleaned, as it comes. */
typedef void push_progress_fn(void *owner, struct rd text);

/*
 * For this list, which is borrowed as are `told` (one for each command, of no fate) and the owner; asked: what of
 * enum push_capability it was sent with. 0 or -ENOMEM.
 */
int push_upstream_new(const struct push_list *l, uint8_t asked, struct push_told *told, push_progress_fn *progress,
		      void *owner, struct push_upstream **ret);
void push_upstream_free(struct push_upstream *u);
DEFINE_AUTO(push_upstream, struct push_upstream *, push_upstream_free)
/* The next bytes. PARSE_BAD, sticky: not an answer to this push. PARSE_OK: the report is complete. */
enum parse push_upstream_next(struct push_upstream *u, struct rd data);
/* What upstream says is wrong with all of it, or "". */
const char *push_upstream_error(const struct push_upstream *u);

/* ---- the client's ---- */

/*
 * The report: "unpack ok" or `unpack`, then a line for each command: those that are not done are refused.
 * Never more than push_report_bound() bytes.
 */
bool push_report_write(struct wr *w, const struct push_list *l, const struct push_told *told, const char *unpack);
size_t push_report_bound(const struct push_list *l);

#endif

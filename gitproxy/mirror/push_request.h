/*
 * push_request.h - a push as its client sends it: commands, options, then the pack
 */
#ifndef GITPROXY_MIRROR_PUSH_REQUEST_H
#define GITPROXY_MIRROR_PUSH_REQUEST_H

#include "gitproxy/pkt_stream.h"
#include "gitproxy/push_command.h"
#include "policy/reason.h"

enum { PUSH_WHY = 160, PUSH_SHALLOWS_MAX = 1 << 16 };

enum push_section { PUSH_SECTION_COMMANDS = 0, PUSH_SECTION_OPTIONS, PUSH_SECTION_PACK };

struct push_request {
	enum push_section section;
	bool bad;			/* not of the grammar: nothing more is read */
	bool began;			/* how the client wants to be told is known */
	bool report_status, side_band;	/* the client's wishes */
	bool probe;			/* a flush was all there was so far */
	/* Why it is not taken, though what was read of it may be told by name; REASON_NONE: it may be. */
	enum reason reason;
	char why[PUSH_WHY];		/* printable */
	struct push_list *list;		/* owned; what there is so far. `upstream` is the caller's to fill */
	size_t cap;			/* bytes of it */
	unsigned shallows;		/* lines so far */
	uint64_t pack;			/* bytes of the pack so far */
	bool options;			/* were negotiated */
	struct pkt_stream packets;
};

int push_request_new(struct push_request **ret);	/* 0 or -ENOMEM */
void push_request_free(struct push_request *q);
DEFINE_AUTO(push_request, struct push_request *, push_request_free)

/*
 * The next bytes. PARSE_MORE: the pack has not begun. PARSE_OK: *ret_pack, a slice of `data`, belongs to the
 * pack; it may be empty. PARSE_BAD: see reason and why.
 */
enum parse push_request_next(struct push_request *q, struct rd data, struct rd *ret_pack);
/* No more bytes come. PARSE_OK: all is there, but for what only the pack's reader knows, or it was a probe. */
enum parse push_request_end(struct push_request *q);

#endif

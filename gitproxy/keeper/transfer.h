/*
 * transfer.h - one request to a real server while it runs. Private to upstream*.c
 *
 * upstream.c dials, sends the answer's body on and keeps the times; a kind knows what to ask and
 * which answers may be passed on.
 */
#ifndef GITPROXY_KEEPER_TRANSFER_H
#define GITPROXY_KEEPER_TRANSFER_H

#include "gitproxy/keeper/dial.h"
#include "gitproxy/keeper/upstream.h"

struct transfer {
	struct upstream *u;
	const struct upstream_request *rq;
	const struct transfer_kind *kind;
	struct upstream_outcome *out;
	CURL *curl;				/* borrowed */
	struct upstream_room *room;		/* borrowed */
	struct http_transfer *http;		/* what upstream_http.c keeps; the room's */
	struct lfs_transfer *lfs;		/* what upstream_lfs.c keeps; heap */
	struct keeper_status status;		/* git */
	uint8_t *commands;			/* of a push, before its pack; heap */
	size_t commands_n;
	bool typed; /* the content type is the one git's protocol demands */
	bool encoded;				/* a content encoding that we did not ask for */
	bool answered;				/* an answer's head, or a refusal, is out */
	bool refused;				/* what is out is a refusal */
	bool plain;				/* nothing but target, method and header fields was set */
	bool waits; /* for a frame of the front: the body's next piece */
	bool heard;				/* upstream has begun to answer */
	bool headed;				/* the last block of headers has come to its end */
	struct keeper_head *head;		/* http: waits for what can go with it; or NULL */
	struct keeper_data *data;		/* of the answer, likewise; the room's */
	size_t data_n;
	struct dial dial;
	struct echo_scan scan[2];		/* of the body: for the credential, for what else is secret */
	bool echoed;				/* it came back */
	uint64_t started, progress;
	curl_off_t offset;			/* in the body */
	const char *late;			/* which of the configured times has passed */
};

struct upstream_room {
	struct keeper_data data;
	struct http_transfer *http;		/* heap; NULL at first */
};

struct transfer_kind {
	/* Tell the handle what to ask. The list of headers lives until the transfer is over. */
	bool (*ask)(struct transfer *t, struct curl_slist **ret_headers);
	void (*block)(struct transfer *t);	/* a new block of headers: forget the last one's */
	void (*header)(struct transfer *t, struct rd line);
	bool at_once;				/* answer when the headers end, not with the body */
	/* Judge status and headers, and tell the front. False: the transfer is over. */
	bool (*answer)(struct transfer *t);
	void (*refuse)(struct transfer *t);	/* tell out->reason; nothing is out yet */
	bool (*may_keep)(struct transfer *t);	/* NULL: the front asks once */
	/* Instead of sending it to the front, or before transfer_pass_on() does. False: out->reason says why not. */
	bool (*take)(struct transfer *t, struct rd data);
	bool (*whole)(struct transfer *t);	/* the body has ended: is it all? NULL: yes */
	bool quiet;				/* nothing goes to the front, not even how it ended */
	/* libcurl only connects; this is done with the connection, instead of all but ask and refuse. */
	void (*speak)(struct transfer *t);
};
extern const struct transfer_kind transfer_git, transfer_http, transfer_upgrade, transfer_lfs, transfer_lfs_get;

void lfs_transfer_free(struct lfs_transfer *x);	/* NULL is fine */

const struct host_config *transfer_config(const struct transfer *t);

bool transfer_send(const struct transfer *t, const void *frame, size_t n);
bool transfer_send_on(struct transfer *t);	/* what waits of the answer; false: the front has gone */
bool transfer_pass_on(struct transfer *t, struct rd data);	/* of the answer; false: the front has gone */
/* One more header of the request; false: no memory. */
bool transfer_header(struct curl_slist **list, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The value of a header line, behind its colon. */
struct rd transfer_value(struct rd r);

#endif

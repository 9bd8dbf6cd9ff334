/*
 * keeper_client.h - the front's side of the conversation with the keeper
 *
 * Thread-safe: every call brings its own answer socket. `keeper` is the front's end of the pair.
 */
#ifndef GITPROXY_KEEPER_CLIENT_H
#define GITPROXY_KEEPER_CLIENT_H

#include "gitproxy/keeper_ipc.h"

struct keeper_leaf {
	uint8_t der[KEEPER_DER_MAX]; size_t der_len;
	char *key; size_t key_len;		/* heap; keeper_leaf_done() wipes it */
};
/* 0, -EACCES (the CA may not sign for this name), -ETIMEDOUT, -errno. */
int keeper_sign(int keeper, const char *name, struct keeper_leaf *ret);
void keeper_leaf_done(struct keeper_leaf *l);

/* The socket the frames will come on, or -errno. Descriptors are borrowed; body -1: none. */
int keeper_open(int keeper, const struct keeper_open *o, int client, int body);

/* A conversation about requests to hosts that are none of git's, or about one upgrade: its socket, or -errno. */
int keeper_talk(int keeper, int client, bool upgrade);
/*
 * The next request on it: n bytes in all. If it has a body, keeper_put() that. 0, or -errno: the
 * keeper has ended the conversation, and has not read this.
 */
int keeper_ask(int talk, const struct keeper_text *text, size_t n);
/* Send a frame: DATA with bytes, or END without. 0, -EAGAIN, or -errno: the keeper is gone. */
int keeper_put(int answer, enum keeper_frame_kind kind, struct rd data);

/*
 * The next frame: kind, and its bytes in f (fixed size). KEEPER_NONE: failure, *ret_error tells which
 * (-EAGAIN: none is there, -ECONNRESET: the client is gone, -EPIPE: the keeper is, -ETIMEDOUT).
 * keeper_next() waits until the deadline, and only while the client's connection lives (-1: there is
 * none to watch). *ret_fd is the file of a STATUS that has one, the caller's then, else -1.
 * *ret_n is the number of data bytes of a DATA frame, or of those behind KEEPER_HEAD_HEAD.
 */
union keeper_in {
	struct keeper_frame frame;
	struct keeper_status status;
	struct keeper_data data;
	struct keeper_end end;
	struct keeper_head head;
	struct keeper_grown grown;
};
enum keeper_frame_kind keeper_next(int answer, int client, uint64_t deadline, union keeper_in *f,
				   size_t *ret_n, int *ret_fd, int *ret_error);

/* The same without waiting for it: *ret_error is -EAGAIN when none is there. */
enum keeper_frame_kind keeper_try_next(int answer, union keeper_in *f, size_t *ret_n, int *ret_fd,
				       int *ret_error);

#endif

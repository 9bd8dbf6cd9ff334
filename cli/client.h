/*
 * client.h - one question to netd on the control socket, one reply
 */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <stddef.h>

#include "base/msg.h"
#include "cli/cli.h"

/* json: heap, NULL when the reply carried none; client_reply_done(). */
struct client_reply {
	struct msg_reply reply;
	char *json;
	size_t n;
};
void client_reply_done(struct client_reply *r);

/* A connection, or -errno (nothing is printed). */
int client_open(const struct host_config *c);
int client_send(int fd, enum msg_type t, const void *body);
/* Wait for the reply. 0 or -errno; -ETIMEDOUT after CLIENT_TIMEOUT_MS. */
enum { CLIENT_TIMEOUT_MS = 10000 };
int client_receive(int fd, struct client_reply *ret);

/*
 * All of it for a command: connect, ask, print netd's refusal. EXIT_DONE with the reply in ret (may
 * be NULL), else the exit status.
 */
int client_ask(const struct host_config *c, enum msg_type t, const void *body,
	       struct client_reply *ret);

#endif

/*
 * client.c - one question to netd on the control socket, one reply
 *
 * Theory of operation: netd answers every control message by REPLY: a code, the exit status that
 * the command should end with, one line for people, and for questions about data a sealed memfd of
 * JSON. The text comes from netd, which escapes what came from elsewhere.
 */
#include "cli/client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { CLIENT_JSON_MAX = 64 << 20 };

void client_reply_done(struct client_reply *r)
{
	free(STEAL(r->json));
}

int client_open(const struct host_config *c)
{
	char path[512];

	if (snprintf(path, sizeof(path), "%s/control.sock", c->run_dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	return ipc_connect(path);
}

int client_send(int fd, enum msg_type t, const void *body)
{
	return msg_send(fd, t, 1, body);
}

static int reply_take(struct ipc_in *in, struct client_reply *ret)
{
	const struct msg_reply *m = msg_body(in, MSG_REPLY);
	struct client_reply out = { 0 };
	int r;

	if (!m || !msg_text_ok(m->text, sizeof(m->text)))
		return -EPROTO;
	out.reply = *m;
	if (in->fd[0] >= 0) {
		r = ipc_memfd_read(in->fd[0], CLIENT_JSON_MAX, &out.json, &out.n);
		if (r < 0)
			return r;
	}
	*ret = out;
	return 0;
}

int client_receive(int fd, struct client_reply *ret)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct ipc_in in;
	int r = poll(&p, 1, CLIENT_TIMEOUT_MS);

	if (r <= 0)
		return r ? -errno : -ETIMEDOUT;
	r = ipc_recv(fd, &in);
	if (r < 0)
		return r;
	r = reply_take(&in, ret);
	ipc_in_done(&in);
	return r;
}

static int not_up(const struct host_config *c, int r)
{
	if (r == -ENOENT || r == -ECONNREFUSED)
		return cli_fail("cordon is not up: sudo cordon up");
	if (r == -EACCES || r == -EPERM)
		return cli_fail("%s/control.sock is for root only: use sudo", c->run_dir);
	return cli_fail("%s/control.sock: %s: is netd well? see cordon status", c->run_dir,
			strerror(-r));
}

int client_ask(const struct host_config *c, enum msg_type t, const void *body,
	       struct client_reply *ret)
{
	AUTO(fd) int fd = client_open(c);
	struct client_reply got = { 0 };
	int r = fd < 0 ? fd : client_send(fd, t, body);

	if (!r)
		r = client_receive(fd, &got);
	if (r < 0)
		return not_up(c, r);
	if (got.reply.code || got.reply.exit_status) {
		r = got.reply.exit_status == EXIT_USAGE ? EXIT_USAGE : EXIT_REFUSED;
		fprintf(stderr, "cordon: %s\n", got.reply.text);
		client_reply_done(&got);
		return r;
	}
	if (ret)
		*ret = got;
	else
		client_reply_done(&got);
	return EXIT_DONE;
}

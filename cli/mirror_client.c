/*
 * mirror_client.c - questions to cordon-mirror
 *
 * Theory of operation: rows until the reply. It says something each second while it is at work, so
 * silence means that it is not well.
 */
#include "cli/mirror_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { SILENCE_MS = 120000 };		/* the keeper may wait for netd, or for a token */

static int receive(int fd, struct ipc_in *in)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int r = poll(&p, 1, SILENCE_MS);

	if (r <= 0)
		return r ? -errno : -ETIMEDOUT;
	return ipc_recv(fd, in);
}

/* 0 with the reply, or -errno. */
static int converse(int fd, const struct msg_mirror_do *q, mirror_row_fn *fn, void *owner, struct msg_reply *ret)
{
	int r = msg_send(fd, MSG_MIRROR_DO, 1, q);
	struct ipc_in in;

	while (!r && !(r = receive(fd, &in))) {
		const struct msg_mirror_row *row = msg_body(&in, MSG_MIRROR_ROW);
		const struct msg_reply *reply = msg_body(&in, MSG_REPLY);
		bool ok = row ? msg_mirror_row_ok(row) : reply && msg_plain_ok(reply->text, sizeof(reply->text));

		if (ok && row)
			fn(owner, row);
		else if (ok)
			*ret = *reply;
		ipc_in_done(&in);
		if (!ok)
			return -EPROTO;
		if (reply)
			return 0;
	}
	return r;
}

static int connect_to(const struct host_config *c)
{
	char path[512];

	if (snprintf(path, sizeof(path), "%s/mirror.sock", c->run_dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	return ipc_connect(path);
}

int mirror_ask(const struct host_config *c, const struct msg_mirror_do *q, mirror_row_fn *fn, void *owner)
{
	AUTO(fd) int fd = connect_to(c);
	struct msg_reply reply = { 0 };
	int r = fd < 0 ? fd : converse(fd, q, fn, owner, &reply);

	if (r == -EINTR)
		return cli_fail("interrupted: what has begun is finished in the background");
	if (r == -ENOENT || r == -ECONNREFUSED)
		return cli_fail("cordon is not up: sudo cordon up");
	if (r < 0)
		return cli_fail("%s/mirror.sock: %s: is cordon-mirror well? see gitproxy.log", c->run_dir,
				strerror(-r));
	if (*reply.text)
		return cli_fail("%s/%s: %s", q->host, q->repo, reply.text);
	return reply.exit_status ? EXIT_REFUSED : EXIT_DONE;
}

static void keep(void *owner, const struct msg_mirror_row *row)
{
	struct msg_mirror_row *to = owner;

	*to = *row;
}

int mirror_counts(const struct host_config *c, struct msg_mirror_row *ret)
{
	const struct msg_mirror_do q = { .command = MIRROR_DO_COUNT };
	AUTO(fd) int fd = connect_to(c);
	struct msg_reply reply = { 0 };
	int r = fd < 0 ? fd : converse(fd, &q, keep, ret, &reply);

	return r < 0 ? r : ret->kind == MIRROR_ROW_COUNTS ? 0 : -EPROTO;
}

void mirror_savings(json_t *o, const struct msg_mirror_row *m)
{
	const struct { const char *name; uint64_t value; } all[] = {
		{ "served_bytes", m->served },
		{ "received_bytes", m->received },
		{ "saved_bytes", m->served > m->received ? m->served - m->received : 0 },
		{ "questions", m->questions },
		{ "questions_shared", m->shared },
		{ "upstream_ms", m->questions ? m->question_ms / m->questions : 0 },	/* on the average */
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		json_object_set_new(o, all[i].name, json_integer((json_int_t)all[i].value));
}

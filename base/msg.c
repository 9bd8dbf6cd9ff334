/*
 * msg.c - the bodies of datagrams: their lengths, and text in them
 *
 * Theory of operation: one table says how long the body of each type is; a datagram of another
 * length, or of a type that has no row, is refused before anything looks into it. Types of one
 * conversation only (gitproxy and keeper) have their table there.
 */
#include "base/msg.h"

#include <errno.h>
#include <string.h>

#include "base/msg_mirror.h"

/* Length and 1 more, so that a type without a row has none (-1). */
#define SIZED(type, body) [type] = sizeof(body) + 1
#define EMPTY(type) [type] = 1

static const uint16_t sizes[MSG_TYPE_COUNT] = {
	SIZED(MSG_HELLO, struct msg_hello),
	SIZED(MSG_PROFILE, struct msg_profile),
	SIZED(MSG_SANDBOX, struct msg_sandbox),
	SIZED(MSG_GONE, struct msg_gone),
	SIZED(MSG_NAME_IS, struct msg_name),
	SIZED(MSG_NAME_GONE, struct msg_name),
	EMPTY(MSG_END),
	SIZED(MSG_DONE, struct msg_done),
	SIZED(MSG_PREPARE, struct msg_reload),
	SIZED(MSG_READY, struct msg_reload),
	SIZED(MSG_COMMIT, struct msg_reload),
	SIZED(MSG_ABORT, struct msg_reload),
	SIZED(MSG_PIN, struct msg_pin),
	SIZED(MSG_PINNED, struct msg_pinned),
	SIZED(MSG_IN_USE, struct msg_in_use),
	SIZED(MSG_CLOSE, struct msg_close),
	SIZED(MSG_REFUSED, struct msg_refused),
	SIZED(MSG_REFUSALS, struct msg_refusals),
	SIZED(MSG_RECENT, struct msg_recent),
	SIZED(MSG_TOKEN, struct msg_token),
	SIZED(MSG_SCOPE, struct msg_scope),
	SIZED(MSG_SCOPED, struct msg_scoped),
	SIZED(MSG_VERDICT, struct msg_verdict),
	SIZED(MSG_ADD, struct msg_add),
	SIZED(MSG_RM, struct msg_rm),
	EMPTY(MSG_LS),
	EMPTY(MSG_STATUS),
	EMPTY(MSG_RELOAD),
	SIZED(MSG_RUN, struct msg_add),
	SIZED(MSG_REPLY, struct msg_reply),
	EMPTY(MSG_SPAWN),
	SIZED(MSG_CHILD, struct msg_child),
	EMPTY(MSG_AUDIT),
	SIZED(MSG_ROTATE, struct msg_rotate),
	SIZED(MSG_RENEW, struct msg_ca),
	SIZED(MSG_CA, struct msg_ca),
	SIZED(MSG_CA_DONE, struct msg_done),
	EMPTY(MSG_CA_TEXT),
	SIZED(MSG_MIRROR_DO, struct msg_mirror_do),
	SIZED(MSG_MIRROR_ROW, struct msg_mirror_row),
};

int msg_size(enum msg_type t)
{
	return (unsigned)t < MSG_TYPE_COUNT ? sizes[t] - 1 : -1;
}

const void *msg_body(const struct ipc_in *in, enum msg_type t)
{
	if (in->head.type != t || msg_size(t) < 0 || in->head.length != msg_size(t))
		return NULL;
	return in->body;
}

bool msg_text_ok(const char *text, size_t n)
{
	return memchr(text, 0, n) != NULL;
}

static bool plain(char c)
{
	return c >= ' ' && c <= '~';
}

bool msg_plain_ok(const char *text, size_t n)
{
	if (!msg_text_ok(text, n))
		return false;
	while (*text)
		if (!plain(*text++))
			return false;
	return true;
}

void msg_plain_set(char *to, size_t n, const char *from)
{
	size_t i = 0;

	memset(to, 0, n);
	for (; i + 1 < n && from[i]; i++)
		to[i] = plain(from[i]) ? from[i] : '?';
}

bool msg_text_set(char *to, size_t n, const char *from)
{
	size_t len = strlen(from);

	memset(to, 0, n);
	if (len >= n)
		return false;
	memcpy(to, from, len);
	return true;
}

int msg_send(int sock, enum msg_type t, uint32_t sequence, const void *body)
{
	return msg_send_fd(sock, t, sequence, body, -1);
}

int msg_send_fd(int sock, enum msg_type t, uint32_t sequence, const void *body, int fd)
{
	int n = msg_size(t);

	if (n < 0)
		return -EINVAL;
	return ipc_send(sock, (uint16_t)t, sequence, body, (size_t)n, &fd, fd >= 0);
}

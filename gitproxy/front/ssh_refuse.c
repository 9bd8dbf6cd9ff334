/*
 * ssh_refuse.c - tell an SSH client that this is not the way
 *
 * Theory of operation: port 22 of a git host is granted to the proxy for one purpose, so that
 * `git clone git@host:owner/repo` ends at once with a sentence instead of a refused connection.
 * Clients show the description of a DISCONNECT message, which may be sent in the clear before keys
 * are exchanged; lines before the identification are shown in debug output alone. Nothing that the
 * client sends is looked at: closing the connection reads it away, bounded.
 */
#include "gitproxy/front/ssh_refuse.h"

#include <errno.h>

enum {
	WRITE_MS = 5000,
	MSG_DISCONNECT = 1,
	SERVICE_NOT_AVAILABLE = 7,
	BLOCK = 8,			/* a packet's size is a multiple of it, before encryption */
	PADDING_MIN = 4,
	TEXT = 512
};

static void put_string(struct wr *w, struct rd text)
{
	wr_u32(w, (uint32_t)text.n);
	wr_rd_all(w, text);
}

/* length of what follows, length of the padding, payload, padding. */
static void put_packet(struct wr *w, struct rd payload)
{
	static const uint8_t zeros[BLOCK + PADDING_MIN];
	size_t head = sizeof(uint32_t) + 1;
	size_t padding = BLOCK - (head + payload.n) % BLOCK;

	if (padding < PADDING_MIN)
		padding += BLOCK;
	wr_u32(w, (uint32_t)(1 + payload.n + padding));
	wr_u8(w, (uint8_t)padding);
	wr_rd_all(w, payload);
	wr_put(w, zeros, padding);
}

int ssh_refuse(struct stream *s, const char *host)
{
	uint8_t text[TEXT], payload[TEXT + 16], all[2 * TEXT];
	struct wr t = wr_of(text, sizeof(text)), p = wr_of(payload, sizeof(payload));
	struct wr w = wr_of(all, sizeof(all));

	wr_fmt(&t, "%s: %s For example https://%s/OWNER/REPOSITORY",
	       reason_text(REASON_SSH_NOT_SUPPORTED), reason_sentence(REASON_SSH_NOT_SUPPORTED), host);
	wr_u8(&p, MSG_DISCONNECT);
	wr_u32(&p, SERVICE_NOT_AVAILABLE);
	put_string(&p, wr_rd(&t));
	put_string(&p, rd_str(""));		/* language: none */
	wr_str(&w, "SSH-2.0-Cordon\r\n");
	put_packet(&w, wr_rd(&p));
	if (!wr_ok(&t) || !wr_ok(&p) || !wr_ok(&w))
		return -EMSGSIZE;
	return stream_write(s, all, w.n, WRITE_MS);
}

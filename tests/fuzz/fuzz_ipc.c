/*
 * fuzz_ipc.c - datagrams from a process that has gone bad
 *
 * The input is sent as it is; half of the time with the length put right, so that the bodies'
 * checks are reached. Whatever ipc_recv() lets through must have the length it says, and msg_body()
 * must give a body only of the one length of its type.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/msg.h"

static void check_body(const struct ipc_in *in)
{
	for (int t = -1; t <= MSG_TYPE_COUNT; t++) {
		const uint8_t *body = msg_body(in, (enum msg_type)t);

		if (body && (in->head.length != msg_size((enum msg_type)t) || in->head.type != t))
			abort();
		if (body && in->head.length)
			msg_text_ok((const char *)body, in->head.length);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static int pair[2] = { -1, -1 };
	static uint8_t wire[sizeof(struct ipc_head) + IPC_BODY_MAX + 64];
	static struct ipc_in in;
	struct ipc_head head;

	if (pair[0] < 0 && ipc_pair(&pair[0], &pair[1]) < 0)
		abort();
	if (!n || n > sizeof(wire))
		return 0;
	memcpy(wire, data, n);
	if (n > sizeof(head) && n % 2) {
		memcpy(&head, wire, sizeof(head));
		head.length = (uint16_t)(n - sizeof(head));
		memcpy(wire, &head, sizeof(head));
	}
	if (send(pair[0], wire, n, MSG_NOSIGNAL) != (ssize_t)n)
		return 0;
	if (ipc_recv(pair[1], &in) < 0)
		return 0;
	if (in.head.length != n - sizeof(head) || in.head.length > IPC_BODY_MAX)
		abort();
	check_body(&in);
	ipc_in_done(&in);
	return 0;
}

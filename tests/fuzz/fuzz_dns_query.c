/*
 * fuzz_dns_query.c - any bytes as a question; whatever parses must be answerable, within bounds
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "dns/message.h"

static const struct reply replies[] = {
	{ .rcode = DNS_NXDOMAIN,
	  .kind = REPLY_NEGATIVE,
	  .ttl = 10,
	  .ede = DNS_EDE_BLOCKED,
	  .ede_text = "name_not_allowed" },
	{ .kind = REPLY_ADDRESS, .ttl = 60, .addr = { .family = 6 }, .ede = DNS_EDE_NONE },
	{ .rcode = DNS_BADVERS, .kind = REPLY_EMPTY, .ede = DNS_EDE_NONE },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct query q, again;
	uint8_t out[DNS_REPLY_MAX];
	size_t n;

	if (message_query(rd_of(data, size), &q) == QUERY_DROP)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(replies); i++) {
		n = message_reply(&q, &replies[i], message_udp_max(&q), out);
		if (n < DNS_HEADER || n > message_udp_max(&q))
			abort();
		if (message_query(rd_of(out, n), &again) !=
		    QUERY_DROP) /* an answer is no question */
			abort();
	}
	if (q.canonical && (!message_ask(q.name, q.qtype, 0, out) || strlen(q.name) != q.name_n))
		abort();
	return 0;
}

/*
 * fuzz_dns_answer.c - any bytes as an upstream's answer; the name asked is "a.ex"
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "dns/message.h"
#include "dns/upstream_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t types[] = { DNS_A, DNS_AAAA };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct chain c;

		chain_read(rd_of(data, size), "a.ex", types[i], &c);
		if ((c.result == CHAIN_ADDRESSES) != (c.n > 0) || c.n > MSG_ADDRS)
			abort();
	}
	return 0;
}

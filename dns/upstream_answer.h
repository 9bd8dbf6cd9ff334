/*
 * upstream_answer.h - the addresses in an upstream's answer (RFC 1035 s4, RFC 1034 s3.6.2)
 */
#ifndef DNS_UPSTREAM_ANSWER_H
#define DNS_UPSTREAM_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "base/msg.h"

enum { CHAIN_HOPS_MAX = 16,		/* CNAMEs followed */
       CHAIN_RECORDS_MAX = 512,		/* records looked at; more is refused */
       CHAIN_POINTERS_MAX = 32 };	/* compression pointers of one name */

/* Zero is failure: nothing may be concluded from the message. */
enum chain_result { CHAIN_FAILED = 0, CHAIN_ADDRESSES, CHAIN_NODATA, CHAIN_NXDOMAIN };
struct chain {
	enum chain_result result;
	uint32_t ttl; /* least of the chain's and the addresses' records; 0 without addresses */
	uint8_t n;			/* further addresses than MSG_ADDRS are left out */
	struct addr addr[MSG_ADDRS];
};

/*
 * Read `in`, which should answer (name, qtype); name canonical, qtype A or AAAA. Only records whose
 * owner is the name, or reached from it by CNAMEs, count. Loops, more than CHAIN_HOPS_MAX hops, a
 * DNAME and anything malformed or truncated are CHAIN_FAILED.
 */
void chain_read(struct rd in, const char *name, uint16_t qtype, struct chain *ret);

#endif

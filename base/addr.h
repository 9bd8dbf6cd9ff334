/*
 * addr.h - one IPv4 or IPv6 address, and prefixes
 */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { ADDR_TEXT_MAX = 64 };

struct addr {
	uint8_t family;		/* 4, 6, or 0 for none */
	uint8_t b[16];		/* network order; IPv4 in the first four bytes, the rest zero */
};

struct prefix {
	struct addr addr;	/* host bits zero */
	uint8_t bits;
};

/* Strict: no octal, no short forms, no zone; a prefix's host bits must be zero. */
bool addr_parse(const char *text, struct addr *ret);
bool prefix_parse(const char *text, struct prefix *ret);
/* The network of an address and a length, whatever the host bits: for messages. */
bool prefix_parse_any(const char *text, struct prefix *ret);
void addr_format(const struct addr *a, char out[ADDR_TEXT_MAX]);
void prefix_format(const struct prefix *p, char out[ADDR_TEXT_MAX]);
bool addr_eq(const struct addr *a, const struct addr *b);
bool prefix_has(const struct prefix *p, const struct addr *a);
bool prefix_overlap(const struct prefix *a, const struct prefix *b);
/* base + n in the low 64 bits; family 0 when that overflows. */
struct addr addr_plus(const struct addr *base, uint64_t n);
/* UINT64_MAX: another family or network, or below. */
uint64_t addr_minus(const struct addr *a, const struct addr *base);
unsigned addr_len(const struct addr *a);			/* 4 or 16; 0 for none */
/* v4-mapped socket addresses become family 4. */
bool addr_from_sockaddr(const struct sockaddr_storage *sa, struct addr *ret, uint16_t *ret_port);
socklen_t addr_to_sockaddr(const struct addr *a, uint16_t port, struct sockaddr_storage *ret);

#endif

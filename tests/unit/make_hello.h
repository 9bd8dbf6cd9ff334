/*
 * make_hello.h - ClientHellos, records and server messages for tests: bytes that are right unless asked
 */
#ifndef UNIT_MAKE_HELLO_H
#define UNIT_MAKE_HELLO_H

#include "base/bytes.h"

/* A server_name extension; the lengths (one-byte strings) may lie. SNI12 and SNI13 are honest. */
#define SNI(ext, list, type, len, name) "\0\0" "\0" ext "\0" list type "\0" len name
#define SNI12(name) SNI("\x11", "\xf", "\0", "\xc", name)
#define SNI13(name) SNI("\x12", "\x10", "\0", "\xd", name)
#define GOOD_NAME "pypi.example"
#define EVIL_NAME "evil.example"
#define GOOD_SNI SNI12(GOOD_NAME)
#define EVIL_SNI SNI12(EVIL_NAME)

/* The body: TLS 1.2 as legacy version, a random of 'r', no session, one cipher, null compression. */
static inline void make_body(struct wr *w, const void *extensions, size_t n)
{
	wr_u16(w, 0x0303);
	for (int i = 0; i < 32; i++)
		wr_u8(w, 'r');
	wr_u8(w, 0);
	wr_u16(w, 2);
	wr_u16(w, 0x1301);
	wr_u8(w, 1);
	wr_u8(w, 0);
	wr_u16(w, (uint16_t)n);
	wr_put(w, extensions, n);
}

/* A handshake message of a type. */
static inline void make_message(struct wr *w, uint8_t type, struct rd body)
{
	wr_u8(w, type);
	wr_uint(w, 3, rd_left(&body));
	wr_rd_all(w, body);
}

/* Records of a type, of at most `size` bytes each. */
static inline void make_records(struct wr *w, uint8_t type, struct rd bytes, size_t size)
{
	while (rd_left(&bytes)) {
		struct rd part;

		wr_u8(w, type);
		wr_u16(w, 0x0301);
		if (!rd_take(&bytes, rd_left(&bytes) < size ? rd_left(&bytes) : size, &part))
			return;
		wr_u16(w, (uint16_t)rd_left(&part));
		wr_rd_all(w, part);
	}
}

/* A ClientHello with these extensions, in records of at most `size` bytes. */
static inline void make_client_hello(struct wr *w, const void *extensions, size_t n, size_t size)
{
	uint8_t body[8192], message[8200];
	struct wr b = wr_of(body, sizeof(body)), m = wr_of(message, sizeof(message));

	make_body(&b, extensions, n);
	make_message(&m, 1, wr_rd(&b));
	make_records(w, 22, wr_rd(&m), size);
}

static const uint8_t make_retry_random[32] = {
	0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
	0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
};

/* A ServerHello, or a HelloRetryRequest, in records of at most `size` bytes. */
static inline void make_server_hello(struct wr *w, bool retry, size_t size)
{
	uint8_t body[64], message[80];
	struct wr b = wr_of(body, sizeof(body)), m = wr_of(message, sizeof(message));

	wr_u16(&b, 0x0303);
	for (int i = 0; i < 32; i++)
		wr_u8(&b, retry ? make_retry_random[i] : (uint8_t)i);
	wr_u8(&b, 0);
	wr_u16(&b, 0x1301);
	wr_u8(&b, 0);
	make_message(&m, 2, wr_rd(&b));
	make_records(w, 22, wr_rd(&m), size);
}

#endif

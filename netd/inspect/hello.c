/*
 * hello.c - the ClientHello parser and the one comparison that everything here is about
 *
 * Theory of operation: the caller has put the handshake message together; this file reads it with nested
 * child readers, notes server_name and ECH, and skips the rest by its lengths. Then hello_check() demands
 * that the name in it is the name of the address that the sandbox dialled.
 * Invariants: allocates nothing, keeps nothing, never logs. What two parsers could read in two ways is
 * refused, not resolved, since a server that reads it the other way is a bypass: a second server_name
 * extension, a second name in it, a name of another type, bytes after the extensions.
 * ECH is refused as a whole: what it hides is the name that counts. Browsers send a meaningless ECH
 * extension (GREASE) even when they hide nothing, and by its design nobody can tell it apart.
 * Fuzzed by tests/fuzz/fuzz_hello.c.
 */
#include "netd/inspect/hello.h"

enum {
	HELLO_RANDOM = 32, HELLO_SESSION_MAX = 32, HELLO_EXTENSIONS_MAX = 256,
	EXT_SERVER_NAME = 0, SNI_HOST_NAME = 0,
	LABEL_MAX = 63,
};

/* Where implementations, past and present, look for an encrypted hello: the RFC, its drafts, ESNI. */
static const uint16_t ech_types[] = { 0xfe0d, 0xfe0c, 0xfe0b, 0xfe0a, 0xfe09, 0xfe08, 0xff02, 0xffce };

static bool is_ech(uint16_t type)
{
	for (size_t i = 0; i < ARRAY_SIZE(ech_types); i++)
		if (ech_types[i] == type)
			return true;
	return false;
}

/* One list with one host_name in it. */
static bool server_name(struct rd ext, struct rd *ret_name)
{
	struct rd list;
	uint8_t type;

	if (!rd_vec(&ext, 2, &list) || !rd_done(&ext))
		return false;
	if (!rd_u8(&list, &type) || type != SNI_HOST_NAME || !rd_vec(&list, 2, ret_name))
		return false;
	return rd_done(&list) && rd_left(ret_name);
}

static bool extension(struct rd *in, struct hello *h)
{
	uint16_t type;
	struct rd ext;

	if (!rd_u16(in, &type) || !rd_vec(in, 2, &ext))
		return false;
	h->ech |= is_ech(type);
	if (type != EXT_SERVER_NAME)
		return true;
	if (h->has_name)			/* RFC 8446 s4.2: not more than one of a type */
		return false;
	h->has_name = true;
	return server_name(ext, &h->name);
}

/* Up to the extensions. */
static bool fixed_part(struct rd *in)
{
	struct rd session, ciphers, compressions;
	uint8_t major, minor;

	if (!rd_u8(in, &major) || !rd_u8(in, &minor) || major != 3 || !rd_skip(in, HELLO_RANDOM))
		return false;
	if (!rd_vec(in, 1, &session) || rd_left(&session) > HELLO_SESSION_MAX)
		return false;
	if (!rd_vec(in, 2, &ciphers) || !rd_left(&ciphers) || rd_left(&ciphers) % 2)
		return false;
	return rd_vec(in, 1, &compressions) && rd_left(&compressions);
}

enum parse hello_parse(struct rd in, struct hello *ret)
{
	struct hello h = { 0 };
	struct rd extensions;

	if (!fixed_part(&in))
		return PARSE_BAD;
	if (rd_left(&in)) {			/* TLS 1.0 may end here: then there is no name */
		if (!rd_vec(&in, 2, &extensions) || !rd_done(&in))
			return PARSE_BAD;
		for (unsigned n = 0; rd_left(&extensions); n++)
			if (n == HELLO_EXTENSIONS_MAX || !extension(&extensions, &h))
				return PARSE_BAD;
	}
	*ret = h;
	return PARSE_OK;
}

/* Whether the next extension is there as a whole. */
static bool extension_whole(struct rd in)
{
	struct rd ext;
	uint16_t type;

	return rd_u16(&in, &type) && rd_vec(&in, 2, &ext);
}

enum parse hello_peek(struct rd in, struct hello *ret)
{
	struct hello h = { 0 };
	uint16_t length;

	if (!fixed_part(&in) || !rd_u16(&in, &length)) {
		*ret = h;			/* too short to tell */
		return PARSE_OK;
	}
	for (unsigned n = 0; n < HELLO_EXTENSIONS_MAX && extension_whole(in); n++)
		if (!extension(&in, &h))
			return PARSE_BAD;
	*ret = h;
	return PARSE_OK;
}

static bool is_label_byte(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* RFC 6066 s3 forbids addresses. One whose last label is a number is read as an address somewhere. */
static bool is_number(const char *label, size_t n)
{
	if (n >= 2 && label[0] == '0' && label[1] == 'x')
		return true;
	for (size_t i = 0; i < n; i++)
		if (label[i] < '0' || label[i] > '9')
			return false;
	return true;
}

enum parse hello_name(struct rd sent, char ret_name[HELLO_NAME_MAX])
{
	char name[HELLO_NAME_MAX];
	size_t n = 0, label = 0;		/* label: where the present one starts */
	uint8_t c;

	ret_name[0] = 0;
	while (rd_left(&sent)) {
		if (!rd_u8(&sent, &c) || n == HELLO_NAME_MAX - 1)
			return PARSE_BAD;
		if (c >= 'A' && c <= 'Z')
			c = (uint8_t)(c - 'A' + 'a');
		if (c == '.') {
			if (n == label)
				return PARSE_BAD;
			if (!rd_left(&sent))
				break;		/* one trailing dot: the root */
			label = n + 1;
		} else if (!is_label_byte(c) || n - label == LABEL_MAX) {
			return PARSE_BAD;
		}
		name[n++] = (char)c;
	}
	if (n == label || is_number(name + label, n - label))
		return PARSE_BAD;
	memcpy(ret_name, name, n);
	ret_name[n] = 0;
	return PARSE_OK;
}

enum reason hello_check(const struct hello *h, const char *name)
{
	char sent[HELLO_NAME_MAX];

	if (h->ech)
		return REASON_ECH_NOT_ALLOWED;
	if (!h->has_name)
		return REASON_SNI_MISSING;
	if (hello_name(h->name, sent) != PARSE_OK)
		return REASON_HELLO_MALFORMED;
	return strcmp(sent, name) ? REASON_SNI_MISMATCH : REASON_NONE;
}

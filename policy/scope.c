/*
 * scope.c - tokens of the explicit route: their form, and the hash by which they are known
 *
 * Theory of operation: 160 random bits as hex digits, which stand in a URL's path as they are. A
 * plain SHA-256 does for what nobody can guess; hashes, not tokens, are compared.
 */
#include "policy/scope.h"

#include <openssl/evp.h>
#include <stdio.h>

bool scope_ok(struct rd text)
{
	uint8_t random[SCOPE_BYTES];

	return rd_hex(&text, random, sizeof(random)) && rd_done(&text);
}

void scope_format(const uint8_t random[SCOPE_BYTES], char out[SCOPE_TEXT + 1])
{
	bytes_hex(random, SCOPE_BYTES, out);
}

bool scope_hash(struct rd text, uint8_t out[SCOPE_HASH])
{
	return scope_ok(text) && EVP_Digest(text.p, text.n, out, NULL, EVP_sha256(), NULL) == 1;
}

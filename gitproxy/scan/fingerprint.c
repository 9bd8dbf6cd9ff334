/*
 * fingerprint.c - PBKDF2-HMAC-SHA256 of the secret, with the rule as salt
 *
 * Theory of operation: the same secret gives the same text on every host, so that a developer's
 * `cordon scan` and the gate speak of the same thing; hence no key of the host's. A token cannot
 * be found from it. A password that people choose can be guessed, and each guess costs ROUNDS
 * hashes. Copies of the secret are wiped. Spec: RFC 8018 s5.2.
 */
#include "gitproxy/scan/fingerprint.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>

enum { ROUNDS = 4096, DIGEST = (SCAN_FINGERPRINT_MAX - 1) / 2, SECRET_MAX = 4096 };

static size_t squeeze(struct rd secret, char to[SECRET_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < secret.n; i++) {
		char c = (char)secret.p[i];
		bool escaped = c == '\\' && i + 1 < secret.n &&
			       (secret.p[i + 1] == 'n' || secret.p[i + 1] == 'r');

		if (escaped)
			i++;
		else if (!isspace((unsigned char)c))
			to[n++] = c;
	}
	return n;
}

bool scan_fingerprint(const char *rule, struct rd secret, char ret[SCAN_FINGERPRINT_MAX])
{
	char plain[SECRET_MAX], salt[96];
	uint8_t digest[DIGEST];
	size_t n;
	int ok;

	if (secret.n > sizeof(plain))
		return false;
	n = squeeze(secret, plain);
	snprintf(salt, sizeof(salt), "cordon-scan-1 %s", rule);
	ok = PKCS5_PBKDF2_HMAC(plain, (int)n, (const uint8_t *)salt, (int)strlen(salt), ROUNDS,
			       EVP_sha256(), sizeof(digest), digest);
	OPENSSL_cleanse(plain, sizeof(plain));
	bytes_hex(digest, sizeof(digest), ret);
	return ok == 1;
}

bool scan_fingerprint_ok(const char *text)
{
	return strlen(text) == SCAN_FINGERPRINT_MAX - 1 &&
	       strspn(text, "0123456789abcdef") == SCAN_FINGERPRINT_MAX - 1;
}

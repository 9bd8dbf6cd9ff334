/*
 * host_ssh.c - what of a credential with transport ssh becomes an argument of ssh, checked
 *
 * Theory of operation: a host key is a type, and in base64 the same type with the key's numbers
 * (RFC 4253 s6.6); that both agree shows a line that was cut or pasted together. The line that is
 * kept is made anew, so that no pattern, marker or second line of a known_hosts file gets in.
 */
#include "policy/host_ssh.h"

#include <openssl/evp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

bool host_ssh_path_ok(const char *path)
{
	return *path == '/' && strspn(path, LETTERS "._+@:=,/-") == strlen(path);
}

bool host_ssh_user_ok(const char *user)
{
	return *user && *user != '-' && strlen(user) <= 64 && strspn(user, LETTERS "._-") == strlen(user);
}

static bool type_ok(struct rd type)
{
	static const char *const types[] = { "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384",
					     "ecdsa-sha2-nistp521", "ssh-rsa" };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (rd_eq_str(type, types[i]))
			return true;
	return false;
}

/* Up to the next space or the end. */
static struct rd word(struct rd *io)
{
	while (rd_left(io) && io->p[0] == ' ' && rd_skip(io, 1))
		;
	return rd_piece(io, ' ');
}

/* It begins with the type, and something follows. */
static bool blob_fits(struct rd type, struct rd base64)
{
	uint8_t blob[HOST_SSH_KEY_MAX];
	struct rd in, inner;
	int n;

	if (!base64.n || base64.n % 4 || base64.n > sizeof(blob))
		return false;
	n = EVP_DecodeBlock(blob, base64.p, (int)base64.n);
	if (n < 0)
		return false;
	in = rd_of(blob, (size_t)n);
	return rd_vec(&in, 4, &inner) && inner.n == type.n && !memcmp(inner.p, type.p, type.n) && rd_left(&in) > 16;
}

char *host_ssh_key(const char *text, const char **ret_why)
{
	struct rd line = rd_str(text), type, base64;
	char *key = NULL;

	*ret_why = "is not \"ssh-ed25519 AAAA...\" as ssh-keyscan has it behind the host";
	if (strpbrk(text, "\r\n\t"))
		return NULL;
	type = word(&line);
	base64 = word(&line);
	if (!type_ok(type) || !base64.n)
		return NULL;
	*ret_why = "is damaged: what follows the type is no such key";
	if (!blob_fits(type, base64))
		return NULL;
	*ret_why = "";
	return asprintf(&key, "%.*s %.*s", (int)type.n, (const char *)type.p, (int)base64.n, (const char *)base64.p) < 0 ?
		       NULL : key;
}

/*
 * ssh_why.c - why a connection over ssh came to nothing
 *
 * Theory of operation: ssh itself ends with 255 and says why in words that have been the same for
 * decades; any other status is that of git on the server, which could not or would not serve. What
 * the words are about decides only which refusal it is. The server's own words come on the same
 * descriptor, so a server may choose among refusals, and no more than that.
 */
#include "gitproxy/keeper/ssh_why.h"

#include <openssl/evp.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/msg.h"

enum { SSH_FAILED = 255, BLOB_MAX = 4096 };

static const struct { const char *words; enum reason reason; } sayings[] = {
	{ "REMOTE HOST IDENTIFICATION HAS CHANGED", REASON_UPSTREAM_UNTRUSTED },
	{ "Host key verification failed", REASON_UPSTREAM_UNTRUSTED },
	{ "host key is known for", REASON_UPSTREAM_UNTRUSTED },
	{ "no matching host key type found", REASON_UPSTREAM_UNTRUSTED },
	{ "Permission denied (", REASON_UPSTREAM_DENIED },
	{ "Too many authentication failures", REASON_UPSTREAM_DENIED },
	{ "No supported authentication methods", REASON_UPSTREAM_DENIED },
};

static const uint8_t *find(struct rd in, const char *words)
{
	return in.n ? memmem(in.p, in.n, words, strlen(words)) : NULL;
}

void ssh_fingerprint(struct rd key, char ret_text[SSH_FINGERPRINT])
{
	uint8_t blob[BLOB_MAX], digest[32], text[64];
	struct rd type;
	size_t pad = 0;
	int n;

	ret_text[0] = '\0';
	if (!rd_until(&key, ' ', &type) || !key.n || key.n > sizeof(blob))
		return;
	n = EVP_DecodeBlock(blob, key.p, (int)key.n);
	while (pad < 2 && pad < key.n && key.p[key.n - 1 - pad] == '=')
		pad++;				/* it decodes these to zeros */
	if (n < (int)pad || EVP_Digest(blob, (size_t)n - pad, digest, NULL, EVP_sha256(), NULL) != 1)
		return;
	n = EVP_EncodeBlock(text, digest, sizeof(digest));
	while (n > 0 && text[n - 1] == '=')
		n--;
	snprintf(ret_text, SSH_FINGERPRINT, "SHA256:%.*s", n, (const char *)text);
}

/* The fingerprint that ssh tells of: "SHA256:" and base64. */
static struct rd offered(struct rd said)
{
	const uint8_t *at = find(said, "SHA256:");
	size_t n = 7;

	if (!at)
		return (struct rd){ 0 };
	while (at + n < said.p + said.n && strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/", at[n]) &&
	       at[n])
		n++;
	return rd_of(at, n);
}

static void tell_key(struct rd said, const struct host_credential *h, char *text)
{
	char pinned[SSH_FINGERPRINT];
	struct rd keys = rd_str(h->host_keys), key = { 0 }, is = offered(said);
	bool first = rd_until(&keys, '\n', &key);

	ssh_fingerprint(first ? key : rd_str(""), pinned);
	snprintf(text, SSH_WHY_TEXT, "offers host key %.*s; known_host_key is %s%s", is.n ? (int)is.n : 15,
		 is.n ? (const char *)is.p : "of other types", pinned, rd_left(&keys) ? " and others" : "");
}

/* The last line that says something. */
static void tell_said(const char *what, struct rd said, char *text)
{
	struct rd line, best = said;

	while (rd_left(&said)) {
		line = rd_piece(&said, '\n');
		if (line.n)
			best = line;
	}
	if (best.n && best.p[best.n - 1] == '\r')
		best.n--;
	snprintf(text, SSH_WHY_TEXT, "%s: %.*s", what, best.n > 120 ? 120 : (int)best.n, (const char *)best.p);
}

enum reason ssh_why(int status, struct rd said, const struct host_credential *h, char ret_text[SSH_WHY_TEXT])
{
	enum reason reason = REASON_UPSTREAM_UNREACHABLE;

	if (status != SSH_FAILED) {
		tell_said(status < 0 ? "ssh was ended by a signal" : "git on the server", said, ret_text);
		return status < 0 ? REASON_UPSTREAM_UNREACHABLE : REASON_UPSTREAM_DENIED;
	}
	for (size_t i = 0; i < ARRAY_SIZE(sayings); i++)
		if (find(said, sayings[i].words)) {
			reason = sayings[i].reason;
			break;
		}
	if (reason == REASON_UPSTREAM_UNTRUSTED)
		tell_key(said, h, ret_text);
	else
		tell_said("ssh", said, ret_text);
	return reason;
}

/*
 * pack_check.c - is this the whole of a pack?
 *
 * Theory of operation: looks at a pack as it passes: its header, and a digest of all but its last
 * bytes, which are its trailer when nothing follows them. Says that the bytes are those which were
 * written, not that the objects are sound: index-pack says that.
 * Spec: gitformat-pack(5). Fuzzed through tests/fuzz/fuzz_answer_check.c.
 */
#include "gitproxy/pack_check.h"

#include <errno.h>

static const EVP_MD *digest_of(enum object_format format)
{
	return format == OBJECT_SHA256 ? EVP_sha256() : EVP_sha1();
}

int pack_check_init(struct pack_check *p, enum object_format format)
{
	*p = (struct pack_check){ .format = format, .digest = EVP_MD_CTX_new() };
	if (p->digest && EVP_DigestInit_ex(p->digest, digest_of(format), NULL) == 1)
		return 0;
	pack_check_done(p);
	return -ENOMEM;
}

void pack_check_done(struct pack_check *p)
{
	EVP_MD_CTX_free(p->digest);
	p->digest = NULL;
}

static bool head_ok(const struct pack_check *p)
{
	struct rd head = rd_of(p->head, sizeof(p->head));
	uint32_t version;

	return rd_prefix(&head, "PACK") && rd_u32(&head, &version) && (version == 2 || version == 3);
}

static bool collect_head(struct pack_check *p, struct rd bytes)
{
	while (p->n < PACK_HEAD && rd_left(&bytes)) {
		if (!rd_u8(&bytes, &p->head[p->n]))
			return false;
		if (++p->n == PACK_HEAD && !head_ok(p))
			return false;
	}
	p->n += rd_left(&bytes);
	return true;
}

static bool digest(struct pack_check *p, const void *bytes, size_t n)
{
	return !n || EVP_DigestUpdate(p->digest, bytes, n) == 1;
}

/* Keep the last bytes back; those kept before, which are not the last any more, are digested. */
static bool keep_tail(struct pack_check *p, struct rd bytes)
{
	size_t size = oid_size(p->format), all = p->tail_n + bytes.n;
	size_t out = all > size ? all - size : 0, old = out < p->tail_n ? out : p->tail_n;
	struct rd body;

	if (!digest(p, p->tail, old) || !rd_take(&bytes, out - old, &body) ||
	    !digest(p, body.p, body.n))
		return false;
	memmove(p->tail, p->tail + old, p->tail_n - old);
	p->tail_n -= old;
	out = bytes.n;
	if (!rd_copy(&bytes, p->tail + p->tail_n, out))
		return false;
	p->tail_n += out;
	return true;
}

bool pack_check_feed(struct pack_check *p, struct rd bytes)
{
	return collect_head(p, bytes) && keep_tail(p, bytes);
}

bool pack_check_end(struct pack_check *p)
{
	uint8_t sum[EVP_MAX_MD_SIZE];
	size_t size = oid_size(p->format);

	return p->n >= PACK_HEAD + size && EVP_DigestFinal_ex(p->digest, sum, NULL) == 1 &&
	       !memcmp(sum, p->tail, size);
}

uint32_t pack_check_objects(const struct pack_check *p)
{
	struct rd r = rd_of(p->head, sizeof(p->head)), skipped;
	uint32_t n = 0;

	return p->n >= PACK_HEAD && rd_take(&r, PACK_HEAD - sizeof(n), &skipped) && rd_u32(&r, &n) ? n : 0;
}

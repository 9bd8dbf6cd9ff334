/*
 * pack_check.h - is this the whole of a pack?
 *
 * Spec: gitformat-pack(5): its header, and a digest of all before it as its last bytes.
 */
#ifndef GITPROXY_PACK_CHECK_H
#define GITPROXY_PACK_CHECK_H

#include <openssl/evp.h>

#include "gitproxy/oid.h"

enum { PACK_HEAD = 12 };

struct pack_check {			/* embedded; its fields are its own */
	enum object_format format;
	uint64_t n;			/* bytes so far */
	uint8_t head[PACK_HEAD];
	uint8_t tail[OID_MAX];		/* the last bytes: the trailer, unless more come */
	size_t tail_n;
	EVP_MD_CTX *digest;
};

int pack_check_init(struct pack_check *p, enum object_format format);	/* 0 or -ENOMEM */
void pack_check_done(struct pack_check *p);
/* The next bytes, in pieces of any size. False: this is no pack. */
bool pack_check_feed(struct pack_check *p, struct rd bytes);
/* What its head says; once that has been fed. */
uint32_t pack_check_objects(const struct pack_check *p);
/* There are no more: whether it was all of it. Once only. */
bool pack_check_end(struct pack_check *p);

#endif

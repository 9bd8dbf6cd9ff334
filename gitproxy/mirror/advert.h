/*
 * advert.h - what a mirror says that it can do
 */
#ifndef GITPROXY_MIRROR_ADVERT_H
#define GITPROXY_MIRROR_ADVERT_H

#include "gitproxy/oid.h"

enum { ADVERT_MAX = 1024 };

struct advert {
	enum object_format format;
	bool unborn;			/* ls-refs can tell of a HEAD without a commit */
	bool shallow, wait_for_done, filter;	/* of fetch */
};

/* Upstream's advertisement over HTTP. PARSE_BAD: malformed, or not of protocol version 2. */
enum parse advert_parse(struct rd text, struct advert *ret);
/* What our git can. */
struct advert advert_own(enum object_format format);
/* What both can: of upstream's, what our git can too; ls-refs is upstream's own answer. */
struct advert advert_common(const struct advert *upstream);
bool advert_write(struct wr *w, const struct advert *a);

#endif

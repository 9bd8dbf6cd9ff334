/*
 * push_advert.h - what upstream says that may be pushed to it, and what of that its client is told
 */
#ifndef GITPROXY_MIRROR_PUSH_ADVERT_H
#define GITPROXY_MIRROR_PUSH_ADVERT_H

#include "gitproxy/push_command.h"

struct push_advert {			/* borrows from the text */
	enum object_format format;
	unsigned upstream;		/* of enum push_capability */
	struct rd refs;			/* of the text: for push_advert_next() */
	size_t n_refs;			/* of those that are passed on */
};

/* All of it is checked. PARSE_BAD: not the answer of a server of this protocol. */
enum parse push_advert_parse(struct rd text, struct push_advert *ret);
/* The next reference; false: there is none more. Names as refname_ok(). */
bool push_advert_next(struct push_advert *io, struct oid *ret_oid, struct rd *ret_name);
/* As the gate says it. Never more than push_advert_bound(text) bytes. */
bool push_advert_write(struct wr *w, const struct push_advert *a);
size_t push_advert_bound(struct rd text);

#endif

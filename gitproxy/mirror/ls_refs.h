/*
 * ls_refs.h - the answer to ls-refs: the references of a repository
 *
 * Spec: gitprotocol-v2(5), "ls-refs"; names by git-check-ref-format(1).
 */
#ifndef GITPROXY_MIRROR_LS_REFS_H
#define GITPROXY_MIRROR_LS_REFS_H

#include "gitproxy/oid.h"

enum { LS_REFS_MAX = 1 << 18, LS_REFS_GENERATION = 32 };

struct ls_ref {
	struct rd name;			/* borrowed from the answer */
	struct rd target;		/* of a symbolic reference; empty: none */
	struct oid oid;			/* zeros when unborn */
	struct oid peeled;		/* of a tag: what it points at in the end */
	bool unborn, has_peeled;
};

struct ls_refs {
	struct ls_ref *ref;		/* by name, each name once */
	size_t n, cap;
};

/*
 * The whole answer, which must outlive *ret; that is for ls_refs_done(), and empty on failure.
 * -EBADMSG: malformed, cut short, a name git would not take, a name twice. -E2BIG: more than max
 * (at most LS_REFS_MAX). -EREMOTEIO: upstream says ERR; its words are in ret_error (borrowed).
 */
int ls_refs_parse(struct rd answer, enum object_format format, size_t max, struct ls_refs *ret,
		  struct rd *ret_error);
void ls_refs_done(struct ls_refs *refs);
/* The first reference of an answer, of which the beginning is enough. Not PARSE_OK: there is none, or not so. */
enum parse ls_refs_first(struct rd begin, enum object_format format, struct ls_ref *ret);
/* By name; NULL: it is not there. */
const struct ls_ref *ls_refs_find(const struct ls_refs *refs, struct rd name);
/*
 * What an answer says that another one may contradict: hashes of each name and its id. Heap, sorted by name; of
 * what is no list of references there are none. 0 or -ENOMEM.
 */
struct ls_refs_mark { uint64_t name, id; };
int ls_refs_marks(struct rd answer, struct ls_refs_mark **ret, size_t *ret_n);
/* Is there a name that both show, with different ids? */
bool ls_refs_contradict(const struct ls_refs_mark *a, size_t n, const struct ls_refs_mark *b, size_t m);
/* A digest of all of it. 0 or -ENOMEM. */
int ls_refs_generation(const struct ls_refs *refs, uint8_t ret[LS_REFS_GENERATION]);

#endif

/*
 * ls_refs.c - the answer to ls-refs: the references of a repository
 *
 * Theory of operation: upstream's lines become the mirror's references, files on disk among them,
 * so every name and every target keeps git's rules, none comes twice, and an attribute that is not
 * known refuses the answer. HEAD is the only name without a slash. Everything is sorted by name,
 * so the digest does not depend on upstream's order. Ends at the flush; nothing may follow.
 * Spec: gitprotocol-v2(5). Fuzzed by tests/fuzz/fuzz_ls_refs.c.
 */
#include "gitproxy/mirror/ls_refs.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "gitproxy/pkt.h"
#include "gitproxy/refname.h"

static bool name_ok(struct rd name)
{
	return rd_eq_str(name, "HEAD") || refname_ok(name);
}

/* Up to the next space, which is consumed, or all that is left. */
static bool take_word(struct rd *io, struct rd *ret)
{
	bool more = rd_has(*io, ' ');

	*ret = rd_piece(io, ' ');
	return rd_left(more ? io : ret);
}

static bool take_attribute(struct ls_ref *ref, struct rd word, enum object_format format)
{
	if (rd_prefix(&word, "symref-target:")) {
		if (ref->target.n || !name_ok(word))
			return false;
		ref->target = word;
		return true;
	}
	if (!rd_prefix(&word, "peeled:") || ref->has_peeled || ref->unborn)
		return false;
	ref->has_peeled = true;
	return oid_parse(word, format, &ref->peeled);
}

static bool line_parse(struct rd line, enum object_format format, struct ls_ref *ret)
{
	struct ls_ref ref = { 0 };
	struct rd word;

	if (!take_word(&line, &word))
		return false;
	ref.unborn = rd_eq_str(word, "unborn");
	if (!ref.unborn && !oid_parse(word, format, &ref.oid))
		return false;
	if (!take_word(&line, &ref.name) || !name_ok(ref.name))
		return false;
	while (rd_left(&line))
		if (!take_word(&line, &word) || !take_attribute(&ref, word, format))
			return false;
	if (ref.unborn && !ref.target.n)
		return false;			/* neither an object nor another name */
	*ret = ref;
	return true;
}

static int name_compare(struct rd a, struct rd b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int r = n ? memcmp(a.p, b.p, n) : 0;

	return r ? r : (a.n > b.n) - (a.n < b.n);
}

static int ref_compare(const void *a, const void *b)
{
	const struct ls_ref *x = a, *y = b;

	return name_compare(x->name, y->name);
}

static int add(struct ls_refs *refs, const struct ls_ref *ref, size_t max)
{
	size_t cap = refs->cap ? 2 * refs->cap : 64;
	struct ls_ref *more;

	if (refs->n >= max || refs->n >= LS_REFS_MAX)
		return -E2BIG;
	if (refs->n == refs->cap) {
		more = reallocarray(refs->ref, cap, sizeof(*more));
		if (!more)
			return -ENOMEM;
		refs->ref = more;
		refs->cap = cap;
	}
	refs->ref[refs->n++] = *ref;
	return 0;
}

static int take_lines(struct rd answer, enum object_format format, size_t max, struct ls_refs *refs,
		      struct rd *ret_error)
{
	struct ls_ref ref;
	struct pkt pkt;
	struct rd text;
	int r;

	for (;;) {
		if (pkt_read(&answer, &pkt) != PARSE_OK)
			return -EBADMSG;
		if (pkt.type != PKT_DATA)
			return pkt.type == PKT_FLUSH && rd_done(&answer) ? 0 : -EBADMSG;
		text = pkt_text(&pkt);
		if (rd_prefix(&text, "ERR ")) {
			*ret_error = text;
			return -EREMOTEIO;
		}
		if (!line_parse(text, format, &ref))
			return -EBADMSG;
		r = add(refs, &ref, max);
		if (r < 0)
			return r;
	}
}

static int sort(struct ls_refs *refs)
{
	if (refs->n)
		qsort(refs->ref, refs->n, sizeof(*refs->ref), ref_compare);
	for (size_t i = 1; i < refs->n; i++)
		if (!ref_compare(&refs->ref[i - 1], &refs->ref[i]))
			return -EBADMSG;
	return 0;
}

int ls_refs_parse(struct rd answer, enum object_format format, size_t max, struct ls_refs *ret,
		  struct rd *ret_error)
{
	struct ls_refs refs = { 0 };
	int r;

	*ret = refs;
	*ret_error = (struct rd){ 0 };
	r = take_lines(answer, format, max, &refs, ret_error);
	if (r == 0)
		r = sort(&refs);
	if (r < 0) {
		ls_refs_done(&refs);
		return r;
	}
	*ret = refs;
	return 0;
}

enum parse ls_refs_first(struct rd begin, enum object_format format, struct ls_ref *ret)
{
	enum parse p;
	struct pkt pkt;

	p = pkt_read(&begin, &pkt);
	if (p != PARSE_OK)
		return p;
	return pkt.type == PKT_DATA && line_parse(pkt_text(&pkt), format, ret) ? PARSE_OK : PARSE_BAD;
}

void ls_refs_done(struct ls_refs *refs)
{
	free(refs->ref);
	*refs = (struct ls_refs){ 0 };
}

const struct ls_ref *ls_refs_find(const struct ls_refs *refs, struct rd name)
{
	struct ls_ref key = { .name = name };

	return refs->n ? bsearch(&key, refs->ref, refs->n, sizeof(key), ref_compare) : NULL;
}

/* No name holds a NUL, so what is hashed reads in one way only. */
static bool hash_ref(EVP_MD_CTX *md, const struct ls_ref *ref)
{
	uint8_t end[2] = { 0, ref->unborn };

	return EVP_DigestUpdate(md, ref->name.p, ref->name.n) && EVP_DigestUpdate(md, end, 2) &&
	       EVP_DigestUpdate(md, ref->oid.byte, sizeof(ref->oid.byte)) &&
	       EVP_DigestUpdate(md, ref->target.p, ref->target.n) && EVP_DigestUpdate(md, "", 1);
}

int ls_refs_generation(const struct ls_refs *refs, uint8_t ret[LS_REFS_GENERATION])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL);

	for (size_t i = 0; ok && i < refs->n; i++)
		ok = hash_ref(md, &refs->ref[i]);
	ok = ok && EVP_DigestFinal_ex(md, ret, NULL);
	EVP_MD_CTX_free(md);
	return ok ? 0 : -ENOMEM;
}

/* ---- do two agree ---- */

/* FNV-1a: who makes two names collide has a question asked once more. */
static uint64_t hash(struct rd text)
{
	uint64_t h = 0xcbf29ce484222325;
	uint8_t c;

	while (rd_left(&text) && rd_u8(&text, &c))
		h = (h ^ c) * 0x100000001b3;
	return h;
}

static int mark_compare(const void *a, const void *b)
{
	const struct ls_refs_mark *x = a, *y = b;

	return (x->name > y->name) - (x->name < y->name);
}

int ls_refs_marks(struct rd answer, struct ls_refs_mark **ret, size_t *ret_n)
{
	AUTO(mem) struct ls_refs_mark *marks = NULL;
	struct rd line, id, name;
	struct pkt pkt;
	size_t n = 0;

	while (pkt_read(&answer, &pkt) == PARSE_OK && pkt.type == PKT_DATA) {
		line = pkt_text(&pkt);
		if (!take_word(&line, &id) || !take_word(&line, &name))
			continue;
		if (!(n & (n - 1))) {
			struct ls_refs_mark *more = reallocarray(marks, n ? 2 * n : 1, sizeof(*more));

			if (!more)
				return -ENOMEM;
			marks = more;
		}
		marks[n++] = (struct ls_refs_mark){ hash(name), hash(id) };
	}
	if (n)
		qsort(marks, n, sizeof(*marks), mark_compare);
	*ret = STEAL(marks);
	*ret_n = n;
	return 0;
}

bool ls_refs_contradict(const struct ls_refs_mark *a, size_t n, const struct ls_refs_mark *b, size_t m)
{
	for (size_t i = 0, k = 0; i < n && k < m;) {
		int c = mark_compare(&a[i], &b[k]);

		if (!c && a[i].id != b[k].id)
			return true;
		i += c <= 0;
		k += c >= 0;
	}
	return false;
}

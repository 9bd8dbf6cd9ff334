/*
 * fetch_write.c - requests of protocol v2, written in one way only
 *
 * Theory of operation: what git is given, here or upstream, is made anew from the parsed request;
 * none of a client's bytes are copied but names and filters that were checked. The lists are sorted,
 * so equal requests are equal bytes, and the key under which an answer is kept is a digest of them.
 * The object format is only said where it is not SHA-1: servers refuse what they did not advertise.
 * Spec: gitprotocol-v2(5).
 */
#include "gitproxy/mirror/fetch_request.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "gitproxy/pkt.h"

enum { FIXED_MAX = 1024, LINE_EXTRA_MAX = 20 };	/* the lines that come once; head, word, line feed */

static int text_compare(const void *a, const void *b)
{
	const struct rd *x = a, *y = b;
	size_t n = x->n < y->n ? x->n : y->n;
	int r = n ? memcmp(x->p, y->p, n) : 0;

	return r ? r : (x->n > y->n) - (x->n < y->n);
}

void fetch_request_sort(struct fetch_request *q)
{
	for (size_t i = 0; i < FETCH_IDS; i++)
		q->ids[i].n = oid_sort_unique(q->ids[i].oid, q->ids[i].n);
	for (size_t i = 0; i < FETCH_TEXTS; i++) {
		struct fetch_text_list *l = &q->texts[i];
		size_t kept = 0;

		if (l->n)
			qsort(l->text, l->n, sizeof(*l->text), text_compare);
		for (size_t j = 0; j < l->n; j++)
			if (!kept || text_compare(&l->text[kept - 1], &l->text[j]))
				l->text[kept++] = l->text[j];
		l->n = kept;
	}
}

void fetch_request_done(struct fetch_request *q)
{
	for (size_t i = 0; i < FETCH_IDS; i++)
		if (q->ids[i].cap)
			free(q->ids[i].oid);
	for (size_t i = 0; i < FETCH_TEXTS; i++)
		if (q->texts[i].cap)
			free(q->texts[i].text);
	*q = (struct fetch_request){ 0 };
}

size_t fetch_request_bound(const struct fetch_request *q)
{
	size_t n = FIXED_MAX + q->filter.n;

	for (size_t i = 0; i < FETCH_IDS; i++)
		n += q->ids[i].n * (2 * oid_size(q->format) + LINE_EXTRA_MAX);
	for (size_t i = 0; i < FETCH_TEXTS; i++)
		for (size_t j = 0; j < q->texts[i].n; j++)
			n += q->texts[i].text[j].n + LINE_EXTRA_MAX;
	return n;
}

static const struct { unsigned flag; const char *line; } flags[] = {
	{ FETCH_THIN_PACK, "thin-pack" },
	{ FETCH_NO_PROGRESS, "no-progress" },
	{ FETCH_INCLUDE_TAG, "include-tag" },
	{ FETCH_OFS_DELTA, "ofs-delta" },
	{ FETCH_WAIT_FOR_DONE, "wait-for-done" },
	{ FETCH_DEEPEN_RELATIVE, "deepen-relative" },
	{ FETCH_PEEL, "peel" },
	{ FETCH_SYMREFS, "symrefs" },
	{ FETCH_UNBORN, "unborn" },
};

static bool write_begin(struct wr *w, const char *command, enum object_format format)
{
	if (!pkt_line(w, "command=%s", command))
		return false;
	if (format != OBJECT_SHA1 && !pkt_line(w, "object-format=%s", object_format_name(format)))
		return false;
	return pkt_delim(w);
}

static bool write_flags(const struct fetch_request *q, struct wr *w)
{
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (q->flags & flags[i].flag && !pkt_line(w, "%s", flags[i].line))
			return false;
	return true;
}

static bool write_ids(const struct fetch_request *q, enum fetch_ids which, const char *word,
		      struct wr *w)
{
	const struct fetch_ids_list *l = &q->ids[which];
	char line[OID_HEX_MAX + LINE_EXTRA_MAX];

	for (size_t i = 0; i < l->n; i++) {
		struct wr to = wr_of(line, sizeof(line));

		wr_str(&to, word);
		oid_write(&to, &l->oid[i], q->format);
		if (!wr_str(&to, "\n") || !pkt_write(w, wr_rd(&to)))
			return false;
	}
	return true;
}

static bool write_text(struct wr *w, const char *word, struct rd text)
{
	return pkt_line(w, "%s%.*s", word, (int)text.n, (const char *)text.p);
}

static bool write_texts(const struct fetch_request *q, enum fetch_texts which, const char *word,
			struct wr *w)
{
	const struct fetch_text_list *l = &q->texts[which];

	for (size_t i = 0; i < l->n; i++)
		if (!write_text(w, word, l->text[i]))
			return false;
	return true;
}

static bool write_limits(const struct fetch_request *q, struct wr *w)
{
	if (q->depth && !pkt_line(w, "deepen %u", q->depth))
		return false;
	if (q->since && !pkt_line(w, "deepen-since %llu", (unsigned long long)q->since))
		return false;
	return !q->filter.n || write_text(w, "filter ", q->filter);
}

/* Where `done` stands does not matter to git; it goes last, as clients have it. */
static bool write_fetch(const struct fetch_request *q, struct wr *w)
{
	return write_begin(w, "fetch", q->format) && write_flags(q, w) && write_limits(q, w) &&
	       write_texts(q, FETCH_NOTS, "deepen-not ", w) &&
	       write_ids(q, FETCH_WANTS, "want ", w) &&
	       write_ids(q, FETCH_SHALLOWS, "shallow ", w) &&
	       write_ids(q, FETCH_HAVES, "have ", w) &&
	       (!(q->flags & FETCH_DONE) || pkt_line(w, "done")) && pkt_flush(w);
}

bool fetch_request_write(const struct fetch_request *q, struct wr *w)
{
	switch (q->command) {
	case FETCH_NOTHING:
		return pkt_flush(w);
	case FETCH_LS_REFS:
		return write_begin(w, "ls-refs", q->format) && write_flags(q, w) &&
		       write_texts(q, FETCH_PREFIXES, "ref-prefix ", w) && pkt_flush(w);
	case FETCH_OBJECTS:
		return write_fetch(q, w);
	}
	return false;
}

/* Whether a fetch may be answered otherwise when the references moved. ls-refs is never kept. */
static bool sees_refs(const struct fetch_request *q)
{
	return q->flags & FETCH_INCLUDE_TAG || q->texts[FETCH_NOTS].n;
}

int fetch_request_key(const struct fetch_request *q, const uint8_t domain[FETCH_KEY],
		      const uint8_t generation[FETCH_KEY], uint8_t ret_key[FETCH_KEY])
{
	static const uint8_t none[FETCH_KEY];
	size_t cap = 2 * FETCH_KEY + fetch_request_bound(q);
	AUTO(mem) uint8_t *bytes = malloc(cap);
	struct wr w = wr_of(bytes, cap);

	if (!bytes)
		return -ENOMEM;
	wr_put(&w, domain, FETCH_KEY);
	wr_put(&w, sees_refs(q) ? generation : none, FETCH_KEY);
	if (!fetch_request_write(q, &w))
		return -EINVAL;
	return EVP_Digest(w.p, w.n, ret_key, NULL, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

bool fetch_write_ls_refs(struct wr *w, enum object_format format, bool unborn)
{
	struct rd wanted[] = { rd_str("HEAD"), rd_str("refs/heads/"), rd_str("refs/tags/") };
	struct fetch_request q = {
		.command = FETCH_LS_REFS,
		.format = format,
		.flags = FETCH_PEEL | FETCH_SYMREFS | (unborn ? FETCH_UNBORN : 0),
		.texts[FETCH_PREFIXES] = { .text = wanted, .n = ARRAY_SIZE(wanted) },
	};

	return fetch_request_write(&q, w);
}

struct fetch_request fetch_request_refresh(enum object_format format, struct oid *wants,
					   size_t n_wants, struct oid *haves, size_t n_haves)
{
	return (struct fetch_request){
		.command = FETCH_OBJECTS,
		.format = format,
		.flags = FETCH_THIN_PACK | FETCH_OFS_DELTA | FETCH_NO_PROGRESS | FETCH_DONE,
		.ids[FETCH_WANTS] = { .oid = wants, .n = n_wants },
		.ids[FETCH_HAVES] = { .oid = haves, .n = n_haves },
	};
}

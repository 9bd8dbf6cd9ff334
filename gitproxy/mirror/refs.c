/*
 * refs.c - the references of a mirror, made what upstream's are
 *
 * Theory of operation: git's own commands change them, in one transaction each: first what is gone and what
 * is to be kept, then what is new or moved, since `a` and `a/b` cannot be there together. Only the very first
 * are written at once (refs_first.c). What a reference pointed at before stays under refs/keep/DAY/: a client
 * to whom it was shown may still ask for it. HEAD is set by hand: no fetch follows it.
 */
#include "gitproxy/mirror/refs.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <openssl/evp.h>

#include "gitproxy/deadline.h"
#include "gitproxy/mirror/files.h"
#include "gitproxy/mirror/git.h"
#include "gitproxy/mirror/refs_first.h"
#include "gitproxy/refname.h"

enum { LINE = REFNAME_MAX + 4 * OID_HEX_MAX + 32, LIST_MAX = 64 << 20 };

/* A growing text; a writer over heap. */
static bool text_new(struct wr *w, size_t cap)
{
	void *p = malloc(cap ? cap : 1);

	*w = wr_of(p, p ? cap : 0);
	return p;
}

static bool kept(struct rd name)
{
	return rd_prefix(&name, "refs/heads/") || rd_prefix(&name, "refs/tags/");
}

/* ---- what there is ---- */

static int list(struct repo *x, struct wr *out)
{
	static const char *const args[] = { "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads/",
					    "refs/tags/", NULL };

	if (!text_new(out, LIST_MAX))
		return -ENOMEM;
	return git_run(&(struct git_spec){ .dir = x->git, .args = args, .in = -1 }, out);
}

static int own_order(const void *a, const void *b)
{
	const struct refs_name *l = a, *r = b;
	size_t n = l->name.n < r->name.n ? l->name.n : r->name.n;
	int c = memcmp(l->name.p, r->name.p, n);

	return c ? c : (l->name.n > r->name.n) - (l->name.n < r->name.n);
}

static int parse(struct rd text, enum object_format format, struct refs_name **ret, size_t *ret_n)
{
	size_t max = text.n / (oid_size(format) * 2 + 2) + 1, n = 0;
	struct refs_name *own = calloc(max, sizeof(*own));
	struct rd line, hex;

	if (!own)
		return -ENOMEM;
	while (rd_left(&text)) {
		if (!rd_until(&text, '\n', &line) || !rd_until(&line, ' ', &hex) || n == max ||
		    !oid_parse(hex, format, &own[n].oid)) {
			free(own);
			return -EBADMSG;
		}
		own[n++].name = line;
	}
	qsort(own, n, sizeof(*own), own_order);
	*ret = own;
	*ret_n = n;
	return 0;
}

static int read_format(struct repo *x)
{
	static const char *const args[] = { "rev-parse", "--show-object-format", NULL };
	char text[32];
	struct wr w = wr_of(text, sizeof(text));
	int r = git_run(&(struct git_spec){ .dir = x->git, .args = args, .in = -1 }, &w);

	if (r < 0)
		return r;
	x->format = rd_eq_str(wr_rd(&w), "sha256\n") ? OBJECT_SHA256 : OBJECT_SHA1;
	return rd_eq_str(wr_rd(&w), "sha256\n") || rd_eq_str(wr_rd(&w), "sha1\n") ? 0 : -EBADMSG;
}

/* The same for the same references, whoever listed them; sorted. */
static int digest(const struct refs_name *own, size_t n, uint8_t ret[REPO_GENERATION])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;

	for (size_t i = 0; ok && i < n; i++)	/* no name holds a NUL */
		ok = EVP_DigestUpdate(md, own[i].name.p, own[i].name.n) == 1 && EVP_DigestUpdate(md, "", 1) == 1 &&
		     EVP_DigestUpdate(md, own[i].oid.byte, sizeof(own[i].oid.byte)) == 1;
	ok = ok && EVP_DigestFinal_ex(md, ret, NULL) == 1;
	EVP_MD_CTX_free(md);
	return ok ? 0 : -ENOMEM;
}

static int take_tips(struct repo *x, const struct refs_name *own, size_t n)
{
	x->tips = calloc(n + 1, sizeof(*x->tips));
	if (!x->tips)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		x->tips[i] = own[i].oid;
	x->n_tips = oid_sort_unique(x->tips, n);
	x->n_refs = n;
	return 0;
}

int refs_load(struct repo *x)
{
	struct wr text = { 0 };
	struct refs_name *own = NULL;
	size_t n = 0;
	int r = files_unlock(x->git);

	if (!r)
		r = read_format(x);
	if (!r)
		r = list(x, &text);
	if (!r)
		r = parse(wr_rd(&text), x->format, &own, &n);
	if (!r)
		r = digest(own, n, x->generation);
	if (!r)
		r = take_tips(x, own, n);
	free(own);
	free(text.p);
	return r;
}

/* ---- what is to be ---- */

/* What is to be changed. */
struct plan {
	struct wr gone, fresh;		/* lines for update-ref */
	struct oid *pins;
	size_t n_pins;
};

static void put_update(struct wr *w, struct rd name, const struct oid *o, enum object_format f)
{
	wr_str(w, "update ");
	wr_rd_all(w, name);
	wr_u8(w, ' ');
	oid_write(w, o, f);
	wr_u8(w, '\n');
}

/* By the day, so that whole days can be let go; each id once. With what goes, or before: never after it. */
static void put_pins(struct plan *p, enum object_format f)
{
	uintmax_t day = (uintmax_t)(time(NULL) / REFS_DAY);

	p->n_pins = oid_sort_unique(p->pins, p->n_pins);
	for (size_t i = 0; i < p->n_pins; i++) {
		wr_fmt(&p->gone, "update refs/keep/%ju/", day);
		oid_write(&p->gone, &p->pins[i], f);
		wr_u8(&p->gone, ' ');
		oid_write(&p->gone, &p->pins[i], f);
		wr_u8(&p->gone, '\n');
	}
}

/* Both lists are sorted by name: one pass tells what is gone, and what is new or moved. */
static void compare(enum object_format f, const struct refs_name *own, size_t n, const struct refs_name *now, size_t n_now,
		    struct plan *p)
{
	size_t i = 0, k = 0;

	while (i < n || k < n_now) {
		int c = i == n ? 1 : k == n_now ? -1 : own_order(&own[i], &now[k]);
		bool moved = c || memcmp(&own[i].oid, &now[k].oid, sizeof(now[k].oid));

		if (c < 0) {
			wr_str(&p->gone, "delete ");
			wr_rd_all(&p->gone, own[i].name);
			wr_u8(&p->gone, '\n');
		} else if (moved) {
			put_update(&p->fresh, now[k].name, &now[k].oid, f);
		}
		if (c <= 0 && moved)
			p->pins[p->n_pins++] = own[i].oid;
		i += c <= 0;
		k += c >= 0;
	}
}

static int apply(struct repo *x, const struct wr *text)
{
	static const char *const args[] = { "update-ref", "--stdin", NULL };
	const struct git_spec s = { .dir = x->git, .args = args };
	int r;

	if (!wr_ok(text))
		return -E2BIG;
	r = text->n ? git_run_with(&s, wr_rd(text), NULL) : 0;
	if (r == -EIO && !files_unlock(x->git))		/* one that was killed may have left its lock */
		r = git_run_with(&s, wr_rd(text), NULL);
	return r;
}

/* HEAD on a commit instead of a branch. */
static const struct ls_ref *detached(const struct ls_refs *now)
{
	const struct ls_ref *head = ls_refs_find(now, rd_str("HEAD"));

	return head && !head->unborn && !kept(head->target) ? head : NULL;
}

static int follow_head(struct repo *x, const struct ls_refs *now)
{
	const struct ls_ref *head = ls_refs_find(now, rd_str("HEAD")), *alone = detached(now);
	char target[REFNAME_MAX + 1];
	struct wr w = wr_of(target, sizeof(target) - 1);
	const char *const symbolic[] = { "symbolic-ref", "HEAD", target, NULL };
	const char *const direct[] = { "update-ref", "--no-deref", "HEAD", target, NULL };

	if (!head || (!alone && !kept(head->target)))
		return 0;
	if (!(alone ? oid_write(&w, &alone->oid, x->format) : wr_rd_all(&w, head->target)))
		return -ENAMETOOLONG;
	target[w.n] = 0;
	return git_run(&(struct git_spec){ .dir = x->git, .args = alone ? direct : symbolic, .in = -1 }, NULL);
}

static size_t keep_those(const struct ls_refs *now, struct refs_name *to)
{
	size_t n = 0;

	for (size_t i = 0; i < now->n; i++)
		if (!now->ref[i].unborn && kept(now->ref[i].name))
			to[n++] = (struct refs_name){ now->ref[i].name, now->ref[i].oid };
	return n;
}

static int change(struct repo *x, const struct refs_name *own, size_t n, const struct ls_refs *now,
		  uint8_t ret_generation[REPO_GENERATION])
{
	struct plan p = { .pins = calloc(n + 1, sizeof(*p.pins)) };
	bool ok = text_new(&p.gone, (2 * n + 1) * LINE), more = text_new(&p.fresh, now->n * LINE);
	AUTO(mem) struct refs_name *theirs = calloc(now->n + 1, sizeof(*theirs));
	size_t n_theirs = theirs ? keep_those(now, theirs) : 0;
	int r = ok && more && p.pins && theirs ? 0 : -ENOMEM;

	if (!r) {
		compare(x->format, own, n, theirs, n_theirs, &p);
		if (detached(now))
			p.pins[p.n_pins++] = detached(now)->oid;	/* no branch may hold it */
		put_pins(&p, x->format);
		r = apply(x, &p.gone);
	}
	if (!r)
		r = n ? -EEXIST : refs_write_first(x, theirs, n_theirs);
	if (r == -EEXIST)
		r = apply(x, &p.fresh);
	if (!r)
		r = digest(theirs, n_theirs, ret_generation);
	free(p.gone.p);
	free(p.fresh.p);
	free(p.pins);
	return r;
}

int refs_update(struct repo *x, const struct ls_refs *now, uint8_t ret_generation[REPO_GENERATION])
{
	struct wr text = { 0 };
	struct refs_name *own = NULL;
	size_t n = 0;
	int r = list(x, &text);

	if (!r)
		r = parse(wr_rd(&text), x->format, &own, &n);
	if (!r)
		r = change(x, own, n, now, ret_generation);
	if (!r)
		r = follow_head(x, now);
	free(own);
	free(text.p);
	return r;
}

int refs_pin(struct repo *x, const struct oid *oids, size_t n)
{
	struct plan p = { .pins = calloc(n + 1, sizeof(*p.pins)), .n_pins = n };
	bool ok = text_new(&p.gone, n * LINE);
	int r = ok && p.pins ? 0 : -ENOMEM;

	if (!r) {
		memcpy(p.pins, oids, n * sizeof(*oids));
		put_pins(&p, x->format);
		r = apply(x, &p.gone);
	}
	free(p.gone.p);
	free(p.pins);
	return r;
}

/* refs/keep/DAY/ID */
static bool expired(struct rd name, int64_t today)
{
	struct rd day;
	int64_t v = 0;

	if (!rd_prefix(&name, "refs/keep/") || !rd_until(&name, '/', &day) || !rd_left(&day) || rd_left(&day) > 9)
		return false;
	for (size_t i = 0; i < day.n; i++) {
		if (day.p[i] < '0' || day.p[i] > '9')
			return false;
		v = 10 * v + (day.p[i] - '0');
	}
	return v < today - 1;
}

static int list_pins(struct repo *x, struct wr *out)
{
	static const char *const args[] = { "for-each-ref", "--format=%(refname)", "refs/keep/", NULL };

	if (!text_new(out, LIST_MAX))
		return -ENOMEM;
	return git_run(&(struct git_spec){ .dir = x->git, .args = args, .in = -1 }, out);
}

int refs_expire(struct repo *x, int64_t today)
{
	struct wr pins = { 0 }, gone = { 0 };
	struct rd text, name;
	int r = list_pins(x, &pins);

	text = wr_rd(&pins);
	if (!r && !text_new(&gone, 2 * text.n))
		r = -ENOMEM;
	while (!r && rd_left(&text)) {
		if (!rd_until(&text, '\n', &name))
			r = -EBADMSG;
		else if (expired(name, today))
			wr_str(&gone, "delete "), wr_rd_all(&gone, name), wr_u8(&gone, '\n');
	}
	if (!r)
		r = apply(x, &gone);
	free(pins.p);
	free(gone.p);
	return r;
}

/* ---- objects ---- */

/* "HEX missing" lines name those that are not there; the order is that of the question. */
static int take_missing(struct rd answer, enum object_format format, struct oid *io, size_t *io_n)
{
	struct rd line, hex;
	size_t n = 0;

	while (rd_left(&answer)) {
		if (!rd_until(&answer, '\n', &line))
			return -EBADMSG;
		if (!rd_until(&line, ' ', &hex))
			continue;			/* an id alone: it is there */
		if (!rd_eq_str(line, "missing") || n >= *io_n || !oid_parse(hex, format, &io[n]))
			return -EBADMSG;
		n++;
	}
	*io_n = n;
	return 0;
}

int refs_missing(struct repo *x, struct oid *io, size_t *io_n)
{
	static const char *const args[] = { "cat-file", "--batch-check=%(objectname)", NULL };
	struct wr ask, answer;
	bool ok = text_new(&ask, *io_n * (OID_HEX_MAX + 1)), more = text_new(&answer, *io_n * (OID_HEX_MAX + 16));
	int r = ok && more ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < *io_n; i++) {
		oid_write(&ask, &io[i], x->format);
		wr_u8(&ask, '\n');
	}
	if (!r && *io_n)
		r = git_run_with(&(struct git_spec){ .dir = x->git, .args = args }, wr_rd(&ask), &answer);
	if (!r)
		r = take_missing(wr_rd(&answer), x->format, io, io_n);
	free(ask.p);
	free(answer.p);
	return r;
}

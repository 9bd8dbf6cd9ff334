/*
 * push_report.c - what became of each reference of a push: upstream's report, and the one for the client
 *
 * Theory of operation: upstream answers with bands: the first is the report, itself pkt-lines that may be cut
 * anywhere, the second text for people, the third an error. Or without, where it has no bands. A line of the
 * report counts for the command that it names; of one that names none, or names one twice, nothing is believed
 * any more. What upstream says in words goes to a terminal in the sandbox, and is made harmless. The client's
 * report is written from what is known of each command, never copied.
 * Spec: gitprotocol-pack(5) "Report Status", gitprotocol-capabilities(5). Fuzzed by
 * tests/fuzz/fuzz_push_report.c.
 */
#include "gitproxy/mirror/push_report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { BAND_REPORT = 1, BAND_TEXT = 2, BAND_ERROR = 3, LINE_ROOM = PKT_HEAD + PUSH_REF + PUSH_TOLD + 8 };

struct push_upstream {
	const struct push_list *list;
	const struct push_command **by_name;
	struct push_told *told;
	push_progress_fn *progress;
	void *owner;
	bool banded, unpacked, complete, bad;
	char error[PUSH_TOLD];
	struct pkt_stream bands, report;
};

/* ---- text ---- */

/* A sequence of UTF-8 that is no control character: its length, or 0. */
static size_t sequence(struct rd r)
{
	uint32_t min, v;
	uint8_t c;
	size_t n;

	if (!rd_u8(&r, &c) || c < 0xc2 || c > 0xf4)
		return 0;
	n = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
	min = n == 1 ? 0xa0 : n == 2 ? 0x800 : 0x10000;
	v = c & (0x3fu >> n);
	for (size_t i = 0; i < n; i++) {
		if (!rd_u8(&r, &c) || (c & 0xc0) != 0x80)
			return 0;
		v = v << 6 | (c & 0x3f);
	}
	return v >= min && v <= 0x10ffff && (v < 0xd800 || v > 0xdfff) ? n + 1 : 0;
}

void push_text(struct rd from, bool lines, struct wr *to)
{
	while (rd_left(&from)) {
		size_t n = sequence(from);
		struct rd all;
		uint8_t c;

		if (to->cap - to->n < (n ? n : 1) || !rd_take(&from, n ? n : 1, &all))
			return;
		if (n) {
			wr_rd_all(to, all);
			continue;
		}
		if (!rd_u8(&all, &c))
			return;
		if (c < 0x80 && ((c >= 0x20 && c != 0x7f) || (lines && (c == '\n' || c == '\r' || c == '\t'))))
			wr_u8(to, c);
		else
			wr_u8(to, '?');
	}
}

void push_text_set(char *to, size_t cap, struct rd from)
{
	struct wr w = wr_of(to, cap - 1);

	push_text(from, false, &w);
	to[w.n] = '\0';
}

/* ---- which command ---- */

static int by_name(const void *a, const void *b)
{
	const struct push_command *const *x = a, *const *y = b;

	return strcmp((*x)->ref, (*y)->ref);
}

static struct push_told *told_of(struct push_upstream *u, struct rd name)
{
	struct push_command key = { 0 };
	const struct push_command *at = &key, **found;

	if (rd_left(&name) >= sizeof(key.ref) || !rd_left(&name) || rd_has(name, '\0'))
		return NULL;
	memcpy(key.ref, name.p, name.n);
	found = bsearch(&at, u->by_name, u->list->n_commands, sizeof(*found), by_name);
	return found ? &u->told[*found - push_list_command(u->list, 0)] : NULL;
}

/* ---- upstream's ---- */

int push_upstream_new(const struct push_list *l, uint8_t asked, struct push_told *told, push_progress_fn *progress,
		      void *owner, struct push_upstream **ret)
{
	AUTO(push_upstream) struct push_upstream *u = calloc(1, sizeof(*u));

	if (!u)
		return -ENOMEM;
	u->list = l;
	u->banded = asked & PUSH_SIDE_BAND;
	u->told = told;
	u->progress = progress;
	u->owner = owner;
	u->by_name = calloc(l->n_commands, sizeof(*u->by_name));
	if (!u->by_name)
		return -ENOMEM;
	for (size_t i = 0; i < l->n_commands; i++)
		u->by_name[i] = push_list_command(l, i);
	qsort(u->by_name, l->n_commands, sizeof(*u->by_name), by_name);
	*ret = STEAL(u);
	return 0;
}

void push_upstream_free(struct push_upstream *u)
{
	if (u)
		free(u->by_name);
	free(u);
}

const char *push_upstream_error(const struct push_upstream *u)
{
	return u->error;
}

static bool unpack_line(struct push_upstream *u, struct rd line)
{
	if (u->unpacked || !rd_prefix(&line, "unpack "))
		return false;
	if (!rd_eq_str(line, "ok"))
		push_text_set(u->error, sizeof(u->error), line);
	return u->unpacked = true;
}

static bool ref_line(struct push_upstream *u, struct rd line)
{
	bool done = rd_prefix(&line, "ok ");
	struct rd name;
	struct push_told *t;

	if (!done && !rd_prefix(&line, "ng "))
		return rd_prefix(&line, "option ");	/* of version 2, which was not asked for */
	name = done ? line : rd_piece(&line, ' ');
	t = told_of(u, name);
	if (!t || t->fate != PUSH_UNTOLD)
		return false;
	t->fate = done ? PUSH_DONE : PUSH_REFUSED;
	if (!done)
		push_text_set(t->why, sizeof(t->why), rd_left(&line) ? line : rd_str("failed"));
	return true;
}

static bool report_packet(struct push_upstream *u, const struct pkt *p)
{
	if (u->complete)
		return false;
	if (p->type == PKT_FLUSH)
		return u->complete = u->unpacked;
	if (p->type != PKT_DATA)
		return false;
	return u->unpacked ? ref_line(u, pkt_text(p)) : unpack_line(u, pkt_text(p));
}

static bool report(struct push_upstream *u, struct rd data)
{
	struct pkt p;
	enum parse r;

	while ((r = pkt_stream_next(&u->report, &data, &p)) == PARSE_OK)
		if (!report_packet(u, &p))
			return false;
	return r == PARSE_MORE;
}

static void text(struct push_upstream *u, struct rd data)
{
	uint8_t *clean = malloc(rd_left(&data) + 1);
	struct wr w = wr_of(clean, clean ? rd_left(&data) + 1 : 0);

	push_text(data, true, &w);
	if (w.n)
		u->progress(u->owner, wr_rd(&w));
	free(clean);
}

static bool band_packet(struct push_upstream *u, const struct pkt *p)
{
	struct rd data = p->data;
	uint8_t band;

	if (p->type == PKT_FLUSH)
		return true;
	if (p->type != PKT_DATA || !rd_u8(&data, &band))
		return false;
	switch (band) {
	case BAND_REPORT:
		return report(u, data);
	case BAND_TEXT:
		text(u, data);
		return true;
	case BAND_ERROR:
		push_text_set(u->error, sizeof(u->error), data);
		return false;
	}
	return false;
}

static bool bands(struct push_upstream *u, struct rd data)
{
	struct pkt p;
	enum parse r;

	while ((r = pkt_stream_next(&u->bands, &data, &p)) == PARSE_OK)
		if (!band_packet(u, &p))
			return false;
	return r == PARSE_MORE;
}

enum parse push_upstream_next(struct push_upstream *u, struct rd data)
{
	if (!u->bad && !(u->banded ? bands(u, data) : report(u, data)))
		u->bad = true;
	return u->bad ? PARSE_BAD : u->complete ? PARSE_OK : PARSE_MORE;
}

/* ---- the client's ---- */

static bool told_write(struct wr *w, const struct push_command *c, const struct push_told *t)
{
	if (t->fate == PUSH_DONE)
		return pkt_line(w, "ok %s", c->ref);
	return pkt_line(w, "ng %s %s", c->ref, *t->why ? t->why : "failed");
}

bool push_report_write(struct wr *w, const struct push_list *l, const struct push_told *told, const char *unpack)
{
	pkt_line(w, "unpack %s", unpack && *unpack ? unpack : "ok");
	for (size_t i = 0; i < l->n_commands; i++)
		told_write(w, push_list_command(l, i), &told[i]);
	return pkt_flush(w);
}

size_t push_report_bound(const struct push_list *l)
{
	return (size_t)(l->n_commands + 2) * LINE_ROOM;
}

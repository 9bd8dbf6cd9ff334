/*
 * audit_line.c - what one line of the audit log says
 *
 * Theory of operation: see audit_line.h. Fields are appended as they come, each behind a comma, since
 * the line's head goes before them. Invariant: nothing is shown that was not escaped.
 */
#include "base/audit_line.h"

enum { AUDIT_OURS_MAX = 1024 };

/*
 * A JSON string. A backslash that bytes_escape() wrote before x or \ is doubled, so a reader of the
 * JSON gets printable text in which \x1b is an escape character and \\x1b is four characters of the
 * peer.
 */
static void put_string(struct wr *w, struct rd in, size_t max)
{
	char text[4 * AUDIT_OURS_MAX + 4];
	struct rd r = rd_of(text, bytes_escape(in, max, text, sizeof(text))), plain;
	uint8_t next = 0;

	wr_str(w, "\"");
	while (rd_left(&r) && memchr(r.p, '\\', r.n)) {
		if (!rd_until(&r, '\\', &plain) || !rd_u8(&r, &next))
			break;
		wr_rd_all(w, plain);
		wr_str(w, next == '"' ? "\\\"" : next == 'x' ? "\\\\x" : "\\\\\\\\");
	}
	wr_rd_all(w, r);
	wr_str(w, "\"");
}

/* A field goes in whole or not at all; a line that lost one says so. An item is judged at its end. */
static void field_end(struct audit_line *l, size_t before)
{
	if (wr_ok(&l->w) || l->item)
		return;
	l->w.n = before;
	l->w.failed = false;
	l->cut = true;
}

/* The line's own fields come after its head, an item's first after its brace. */
static void put_name(struct audit_line *l, const char *field)
{
	bool first = l->item && l->w.n && l->w.p[l->w.n - 1] == '{';

	wr_str(&l->w, first ? "\"" : ",\"");
	wr_str(&l->w, field);
	wr_str(&l->w, "\":");
}

static void put_field(struct audit_line *l, const char *field, struct rd value, size_t max)
{
	size_t before = l->w.n;

	put_name(l, field);
	put_string(&l->w, value, max);
	field_end(l, before);
}

void audit_str(struct audit_line *l, const char *field, const char *ours)
{
	put_field(l, field, rd_str(ours ? ours : ""), AUDIT_OURS_MAX);
}

void audit_rd(struct audit_line *l, const char *field, struct rd peer)
{
	put_field(l, field, peer, AUDIT_VALUE_MAX);
}

void audit_u64(struct audit_line *l, const char *field, uint64_t v)
{
	size_t before = l->w.n;

	put_name(l, field);
	wr_decimal(&l->w, v);
	field_end(l, before);
}

/* Room for the bracket at its end is kept. */
void audit_list(struct audit_line *l, const char *field)
{
	size_t before = l->w.n;

	put_name(l, field);
	wr_str(&l->w, "[]");
	field_end(l, before);
	l->list = l->w.n != before;
	l->w.n -= l->list;
	l->w.cap -= l->list;
}

void audit_item(struct audit_line *l)
{
	bool first = l->w.n && l->w.p[l->w.n - 1] == '[';

	l->item = l->w.n;
	wr_str(&l->w, first ? "{" : ",{");
	l->w.failed |= !l->list;
}

bool audit_item_end(struct audit_line *l)
{
	bool ok = wr_u8(&l->w, '}');

	if (!ok) {
		l->w.n = l->item;
		l->w.failed = false;
		l->cut = true;
	}
	l->item = 0;
	return ok;
}

void audit_list_end(struct audit_line *l)
{
	l->w.cap += l->list;
	if (l->list)
		wr_u8(&l->w, ']');
	l->list = false;
}

void audit_begin(struct audit_line *l, const struct audit_head *h)
{
	l->w = wr_of(l->buf, sizeof(l->buf));
	l->item = 0;
	l->list = l->cut = false;
	audit_str(l, "event", h->event);
	audit_str(l, "sandbox", h->sandbox);
	audit_str(l, "profile", h->profile);
	audit_str(l, "decision", h->decision);
	audit_str(l, "reason", h->reason);
	audit_str(l, "rule", h->rule);
	audit_str(l, "policy", h->policy);
}

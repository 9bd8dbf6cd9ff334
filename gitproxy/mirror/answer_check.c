/*
 * answer_check.c - is this the whole of a right answer to a fetch?
 *
 * Theory of operation: a state machine over bytes in any pieces. Only the lines of the short
 * sections are collected; the pack is looked at as it passes. An answer is only kept, or taken into
 * a mirror, when all of it was right: sections in their order, no ERR, nothing on band 3, the
 * pack's trailer, the flush, and nothing behind it. A packet of band 1 or 2 without bytes is a sign
 * of life. Allocates nothing per call.
 * Spec: gitprotocol-v2(5). Fuzzed by tests/fuzz/fuzz_answer_check.c.
 */
#include "gitproxy/mirror/answer_check.h"

#include <errno.h>

#include "gitproxy/refname.h"

enum { BAND_PACK = 1, BAND_PROGRESS = 2, BAND_ERROR = 3 };

int answer_check_init(struct answer_check *a, enum object_format format, answer_pack_fn *on_pack)
{
	*a = (struct answer_check){
		.state = ANSWER_MORE, .format = format, .on_pack = on_pack, .between = true,
	};
	return pack_check_init(&a->pack, format);
}

void answer_check_done(struct answer_check *a)
{
	pack_check_done(&a->pack);
}

static bool fail(struct answer_check *a, const char *why)
{
	if (a->state != ANSWER_FAILED)
		a->why = why;
	a->state = ANSWER_FAILED;
	return false;
}

static void say(struct answer_check *a, struct rd text)
{
	struct wr w = { .p = (uint8_t *)a->said, .n = a->said_n, .cap = sizeof(a->said) };
	size_t room = w.cap - w.n;
	struct rd fits;

	if (rd_take(&text, text.n < room ? text.n : room, &fits) && wr_rd_all(&w, fits))
		a->said_n = w.n;
}

static bool fail_remote(struct answer_check *a, const char *why)
{
	a->remote = true;
	return fail(a, why);
}

/* ---- lines ---- */

static bool begin(struct answer_check *a, struct rd line)
{
	static const struct { const char *name; enum answer_section section; } names[] = {
		{ "acknowledgments", ANSWER_ACKNOWLEDGMENTS },
		{ "shallow-info", ANSWER_SHALLOW_INFO },
		{ "wanted-refs", ANSWER_WANTED_REFS },
		{ "packfile", ANSWER_PACKFILE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (rd_eq_str(line, names[i].name) && names[i].section > a->section) {
			a->section = names[i].section;
			a->between = false;
			return true;
		}
	return fail(a, "a section is unknown or out of order");
}

static bool acknowledgment(struct answer_check *a, struct rd line)
{
	struct oid oid;

	if (a->ready)
		return false;
	a->ready = rd_eq_str(line, "ready");
	return a->ready || rd_eq_str(line, "NAK") ||
	       (rd_prefix(&line, "ACK ") && oid_parse(line, a->format, &oid));
}

static bool shallow(struct answer_check *a, struct rd line)
{
	struct oid oid;

	return (rd_prefix(&line, "shallow ") || rd_prefix(&line, "unshallow ")) &&
	       oid_parse(line, a->format, &oid);
}

static bool wanted_ref(struct answer_check *a, struct rd line)
{
	struct oid oid;
	struct rd id;

	return rd_until(&line, ' ', &id) && oid_parse(id, a->format, &oid) &&
	       refname_ok_onelevel(line);
}

static bool line_ok(struct answer_check *a, struct rd line)
{
	switch (a->section) {
	case ANSWER_ACKNOWLEDGMENTS:
		return acknowledgment(a, line);
	case ANSWER_SHALLOW_INFO:
		return shallow(a, line);
	case ANSWER_WANTED_REFS:
		return wanted_ref(a, line);
	case ANSWER_NOT_BEGUN:
	case ANSWER_PACKFILE:
		break;
	}
	return false;
}

static bool line_end(struct answer_check *a)
{
	struct pkt pkt = { .type = PKT_DATA, .data = rd_of(a->line, a->line_n) };
	struct rd line = pkt_text(&pkt);

	a->line_n = 0;
	if (rd_prefix(&line, "ERR ")) {
		say(a, line);
		return fail_remote(a, "the peer answered with an error");
	}
	if (a->between)
		return begin(a, line);
	return line_ok(a, line) || fail(a, "a line does not belong into its section");
}

static bool line_bytes(struct answer_check *a, struct rd bytes)
{
	struct wr w = { .p = a->line, .n = a->line_n, .cap = sizeof(a->line) };
	size_t room = w.cap - w.n;
	struct rd fits;

	if (!rd_take(&bytes, bytes.n < room ? bytes.n : room, &fits) || !wr_rd_all(&w, fits))
		return fail(a, "a line cannot be kept");
	a->line_n = w.n;
	if (rd_left(&bytes) && !rd_eq_str(rd_of(a->line, 4), "ERR "))
		return fail(a, "a line is too long");
	return a->left || line_end(a);
}

/* ---- bands ---- */

static bool band_bytes(struct answer_check *a, struct rd bytes)
{
	if (a->band == BAND_PACK && rd_left(&bytes)) {
		if (!pack_check_feed(&a->pack, bytes))
			return fail(a, "this is no pack");
		if (a->on_pack && a->on_pack(a, bytes) < 0)
			return fail(a, "the pack could not be taken");
	}
	if (a->band == BAND_ERROR)
		say(a, bytes);
	if (a->band == BAND_ERROR && !a->left)
		return fail_remote(a, "the peer answered with an error");
	return true;
}

/* ---- packets ---- */

/* The end of a section, or of all. */
static bool special(struct answer_check *a, enum pkt_type type)
{
	bool acks = a->section == ANSWER_ACKNOWLEDGMENTS, pack = a->section == ANSWER_PACKFILE;

	if (a->between || type == PKT_RESPONSE_END)
		return fail(a, "a section is missing");
	if (type == PKT_DELIM) {
		if (pack || (acks && !a->ready))
			return fail(a, "a section ends in the wrong way");
		a->between = true;
		return true;
	}
	if (acks && !a->ready) {
		a->state = ANSWER_NO_PACK;
		return true;
	}
	if (!pack)
		return fail(a, "the answer ends before its pack");
	if (!pack_check_end(&a->pack))
		return fail(a, "the pack is not what its trailer says");
	a->state = ANSWER_PACK;
	return true;
}

static bool head_byte(struct answer_check *a, struct rd *io)
{
	enum pkt_type type;

	if (!rd_u8(io, &a->head[a->head_n]))
		return false;
	if (++a->head_n < PKT_HEAD)
		return true;
	a->head_n = 0;
	a->band = 0;
	if (!pkt_head(a->head, &type, &a->left))
		return fail(a, "a packet is malformed");
	if (type != PKT_DATA)
		return special(a, type);
	return a->left || fail(a, "a packet is empty");
}

static bool band_byte(struct answer_check *a, struct rd *io)
{
	uint8_t band;

	if (!rd_u8(io, &band))
		return false;
	a->left--;
	if (band < BAND_PACK || band > BAND_ERROR)
		return fail(a, "a packet is on no band");
	a->band = band;
	return band_bytes(a, rd_of(NULL, 0));
}

/* One step forward: a byte of a head, a band, or as much of the contents as there is. */
static bool step(struct answer_check *a, struct rd *io)
{
	bool pack = a->section == ANSWER_PACKFILE && !a->between;
	struct rd bytes;

	if (a->state != ANSWER_MORE)
		return fail(a, "bytes follow the end");
	if (!a->left)
		return head_byte(a, io);
	if (pack && !a->band)
		return band_byte(a, io);
	if (!rd_take(io, a->left < io->n ? a->left : io->n, &bytes))
		return false;
	a->left -= bytes.n;
	return pack ? band_bytes(a, bytes) : line_bytes(a, bytes);
}

static bool is_settled(const struct answer_check *a)
{
	bool passing = a->band == BAND_PACK || a->band == BAND_PROGRESS;

	return !a->head_n && (!a->left || passing);
}

enum answer answer_check_feed(struct answer_check *a, struct rd bytes)
{
	while (a->state != ANSWER_FAILED && rd_left(&bytes)) {
		size_t n = bytes.n;

		if (!step(a, &bytes))
			break;
		a->fed += n - bytes.n;
		if (is_settled(a))
			a->settled = a->fed;
	}
	return a->state;
}

enum answer answer_check_end(struct answer_check *a)
{
	if (a->state == ANSWER_MORE)
		fail(a, "the answer is cut short");
	return a->state;
}

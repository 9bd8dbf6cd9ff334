/*
 * git_answer.c - a git answer on its way, kept such that an error can be said at any moment
 *
 * Theory of operation: an answer that breaks off in the middle of a packet leaves its client with
 * "early EOF". So packets go on whole, which costs nobody time: clients read them whole, too. Then
 * there is always a place for one more packet, and the last whole one tells which kind the client
 * expects there: lines, where an ERR packet is understood, or bands, where the third is for errors.
 * A pack without bands (protocols v0 and v1 without side-band) and what is not made of pkt-lines has
 * no such place; both go on as they come.
 * Invariants: what goes on is what came, byte for byte; bytes held are bounded by a packet and an
 * input; allocates nothing.
 * Spec: gitprotocol-pack(5), gitprotocol-v2(5). Fuzzed by tests/fuzz/fuzz_git_answer.c.
 */
#include "gitproxy/front/git_answer.h"

enum { BAND_FIRST = 1, BAND_ERROR = 3 };

void git_answer_init(struct git_answer *a, bool v2, bool advertised)
{
	a->v2 = v2;
	a->advertised = advertised;
	a->raw = false;
	a->place = GIT_ANSWER_LINE;
	a->n = a->whole = 0;
}

static bool begins(struct rd data, const char *text)
{
	return rd_prefix(&data, text);
}

/* What may follow this packet. */
static enum git_answer_place place_after(const struct git_answer *a, const struct pkt *pkt)
{
	struct rd data = pkt->data;
	uint8_t first;

	if (pkt->type == PKT_FLUSH)		/* before the end there are some in advertisements, and */
		return a->advertised || (!a->v2 && a->place == GIT_ANSWER_LINE) ?
			       a->place :	/* behind the shallow lines of v0 and v1 */
			       GIT_ANSWER_NOWHERE;
	if (pkt->type != PKT_DATA || !rd_left(&data) || a->place == GIT_ANSWER_BAND)
		return a->place;
	if (begins(data, "packfile\n"))
		return GIT_ANSWER_BAND;
	if (!a->v2 && !a->advertised && (begins(data, "NAK") || begins(data, "ACK ")))
		return GIT_ANSWER_BAND;		/* or the client reads on: then it shows the packet */
	return rd_u8(&data, &first) && first >= BAND_FIRST && first <= BAND_ERROR ?
		       GIT_ANSWER_BAND :	/* sideband-all */
		       a->place;
}

/* What went on last goes away. */
static void drop_whole(struct git_answer *a)
{
	a->n -= a->whole;
	memmove(a->held, a->held + a->whole, a->n);
	a->whole = 0;
}

struct rd git_answer_next(struct git_answer *a, struct rd data)
{
	struct rd left;
	struct pkt pkt;
	enum parse r;
	struct wr w;

	drop_whole(a);
	w = wr_of(a->held + a->n, sizeof(a->held) - a->n);
	wr_rd_all(&w, data);
	a->n += w.n;
	left = rd_of(a->held, a->n);
	while (!a->raw && (r = pkt_read(&left, &pkt)) != PARSE_MORE) {
		a->raw = r == PARSE_BAD;
		if (!a->raw)
			a->place = place_after(a, &pkt);
	}
	a->whole = a->raw ? a->n : a->n - left.n;
	return rd_of(a->held, a->whole);
}

struct rd git_answer_end(struct git_answer *a)
{
	drop_whole(a);
	a->whole = a->n;
	return rd_of(a->held, a->n);
}

/* Part of an answer is there: its server was reached. */
static const char *sentence(enum reason r)
{
	return r == REASON_UPSTREAM_UNREACHABLE ? "The server's answer broke off; try again later." :
						  reason_sentence(r);
}

bool git_answer_error(const struct git_answer *a, enum reason reason, struct wr *w)
{
	if (a->raw || a->place == GIT_ANSWER_NOWHERE)
		return false;
	return pkt_line(w, "%scordon: %s: %s", a->place == GIT_ANSWER_BAND ? "\3" : "ERR ",
			reason_text(reason), sentence(reason));
}

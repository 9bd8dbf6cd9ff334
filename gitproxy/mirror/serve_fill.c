/*
 * serve_fill.c - a client that waits for the first copy of a repository
 *
 * Theory of operation: a repository whose upstream is reached by ssh has no other answer than the mirror's, so
 * who comes first waits until it is there, as for any clone. Where the answer begins with the pack there is a
 * place to say so: it is begun, and each second a line of progress says how much has come, as git's own
 * servers do; or an empty packet every few seconds, for who wants no progress. Then the pack of the real answer
 * follows, as bytes: its file begins otherwise. Other answers (of depth 1, say) begin with what is not known yet,
 * and their clients wait in silence. Most first copies are there within a second, and nothing of this is seen.
 */
#include "gitproxy/mirror/serve_fill.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "gitproxy/deadline.h"
#include "gitproxy/pkt.h"

#define PACKFILE "packfile\n"
enum { TELL_MS = 1000, KEEP_ALIVE = 5, LINE = 128, PIECE = 32 << 10, BAND_PACK = 1, BAND_TELL = 2 };

/* The answer has no section before the pack: no shallow-info, no acknowledgments. */
static bool begins_with_pack(const struct fetch_request *q)
{
	return q->flags & FETCH_DONE && !q->depth && !q->since && !q->texts[FETCH_NOTS].n && !q->ids[FETCH_SHALLOWS].n;
}

static int send_packet(int to, struct rd data)
{
	uint8_t text[LINE];
	struct wr w = wr_of(text, sizeof(text));

	return pkt_write(&w, data) ? answer_data(to, wr_rd(&w)) : -EMSGSIZE;
}

static int begin(struct job *j)
{
	struct answer_head h = { .kind = GP_RPC, .source = KEEPER_FROM_MIRROR, .length = KEEPER_UNKNOWN };
	int r = answer_stream(j->to, &h);

	j->told = true;
	return r < 0 ? r : send_packet(j->to, rd_str(PACKFILE));
}

/* Another second has passed. */
static int tell(struct job *j, const struct fetch_request *q, unsigned second)
{
	static const uint8_t nothing[] = { BAND_PACK };
	char line[LINE - PKT_HEAD];
	int n = snprintf(line, sizeof(line), "%ccordon: fetching the first copy of it: %.1f MiB\r", BAND_TELL,
			 (double)j->repo->received / (1 << 20));	/* a moment old is good enough */

	if (!(q->flags & FETCH_NO_PROGRESS))
		return send_packet(j->to, rd_of(line, (size_t)n));
	return second % KEEP_ALIVE ? 0 : send_packet(j->to, rd_of(nothing, sizeof(nothing)));
}

/* The end of a second that nothing happened in: -EPIPE when the client has left. */
static int pass_time(const struct job *j, uint64_t until)
{
	uint64_t now = deadline_now();
	struct pollfd p = { .fd = j->to };

	return poll(&p, 1, until > now ? (int)(until - now) : 0) > 0 ? -EPIPE : 0;
}

/* behind_wait(), for at most a second. */
static int wait_a_second(const struct job *j)
{
	uint64_t until = deadline_in(TELL_MS);
	int r = behind_wait(j->depot->behind, j->repo, j->q->sandbox, until);

	if (r == -EAGAIN && pass_time(j, until) < 0)
		return -EPIPE;
	return r;
}

static int await(struct job *j, const struct fetch_request *q)
{
	uint64_t end = j->started + j->depot->config->total_ms;
	int r = wait_a_second(j), told = 0;

	for (unsigned second = 1; r == -EAGAIN && !told && deadline_now() < end; second++) {
		if (begins_with_pack(q) && !j->told)
			told = begin(j);
		if (!told && j->told)
			told = tell(j, q, second);
		if (!told)
			r = wait_a_second(j);
	}
	return told < 0 ? told : r;
}

bool fill_wait(struct job *j, const struct fetch_request *q)
{
	int r = await(j, q);

	if (!r && j->told && !(q->flags & FETCH_NO_PROGRESS))
		r = send_packet(j->to, rd_str("\2cordon: fetching the first copy of it: done\n"));
	if (r == -EAGAIN)
		job_refuse(j, REASON_MIRROR_FILLING, "not there within git.timeouts.total; it goes on");
	else if (r == -EIO)
		job_refuse(j, REASON_UPSTREAM_UNREACHABLE, "the first copy could not be fetched");
	else if (r < 0)
		job_sent(j, r, 0);
	return !r;
}

/* ---- the rest of the answer ---- */

/* Its beginning was sent already. */
static int skip_head(int file)
{
	static const char head[] = "000d" PACKFILE;
	char is[sizeof(head) - 1];

	return pread(file, is, sizeof(is), 0) == sizeof(is) && !memcmp(is, head, sizeof(is)) ? (int)sizeof(is) : -EPROTO;
}

static int send_upto(int to, int file, uint64_t *io, uint64_t upto)
{
	uint8_t piece[PIECE];
	int r = 0;

	while (!r && *io < upto) {
		size_t want = upto - *io < PIECE ? (size_t)(upto - *io) : PIECE;
		ssize_t n = pread(file, piece, want, (off_t)*io);

		r = n <= 0 ? -EIO : answer_data(to, rd_of(piece, (size_t)n));
		*io += n > 0 ? (uint64_t)n : 0;
	}
	return r;
}

void fill_pass(struct job *j, struct spool_reader *r, struct spool_progress now, fill_more_fn *more)
{
	int file = spool_reader_fd(r), e = 0;
	uint64_t sent = 0;

	while (!e && now.size < sizeof(PACKFILE) + PKT_HEAD - 1 && !now.complete)
		e = more(j, r, now.size, &now);
	if (!e) {
		e = skip_head(file);
		sent = e > 0 ? (uint64_t)e : 0;
		e = e > 0 ? 0 : e;
	}
	while (!e) {
		e = send_upto(j->to, file, &sent, now.size);
		if (e || now.complete)
			break;
		e = more(j, r, sent, &now);
	}
	if (!e)
		e = answer_end(j->to, REASON_NONE);
	else if (e != -EPIPE)
		answer_end(j->to, REASON_INTERNAL_ERROR);
	job_sent(j, e, sent);
}

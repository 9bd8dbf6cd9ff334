/*
 * push_tell.c - the answer to a push, while it is judged and sent on
 *
 * Theory of operation: frames of keeper_ipc.h on the front's answer socket: text for people on band 2 as it
 * comes up, at last the report on band 1 (or bare, for a client that knows no bands). Judging and upstream
 * may be silent for minutes while this push's thread waits for them; so a thread of its own says an empty
 * band 2 whenever nothing was said for five seconds, or something on the way would take the connection for
 * dead. Whoever sends holds the lock, so packets stay whole. An error of sending is remembered, and nothing
 * more is sent: what happens to the push does not depend on who listens.
 * Spec: gitprotocol-pack(5), gitprotocol-capabilities(5) "side-band-64k".
 */
#include "gitproxy/mirror/push_tell.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/thread.h"
#include "gitproxy/deadline.h"
#include "gitproxy/mirror/answer.h"

enum { BAND_REPORT = 1, BAND_TEXT = 2, SILENCE_MS = 5000, PIECE = 32768, LINE = 1024, TICKER_STACK = 131072 };

/* Under the lock. */
static void say(struct push_tell *t, struct rd bytes)
{
	if (!t->error)
		t->error = answer_data(t->to, bytes);
	if (!t->error)
		t->down += bytes.n;
	t->said = deadline_now();
}

/* One packet of this band; under the lock. */
static void send_packet(struct push_tell *t, uint8_t band, struct rd data)
{
	uint8_t packet[PKT_HEAD + 1 + PIECE], inner[1 + PIECE] = { band };
	struct wr w = wr_of(packet, sizeof(packet));

	if (data.n > PIECE)
		return;
	if (data.n)
		memcpy(inner + 1, data.p, data.n);
	if (pkt_write(&w, rd_of(inner, data.n + 1)))
		say(t, wr_rd(&w));
}

static void send_band(struct push_tell *t, uint8_t band, struct rd data)
{
	struct rd piece;

	while (rd_left(&data) && rd_take(&data, data.n < PIECE ? data.n : PIECE, &piece))
		send_packet(t, band, piece);
}

/* ---- while nothing is said ---- */

static void *ticker_main(void *arg)
{
	struct push_tell *t = arg;

	pthread_mutex_lock(&t->lock);
	while (!t->over) {
		if (deadline_now() - t->said >= SILENCE_MS)
			send_packet(t, BAND_TEXT, rd_of(NULL, 0));
		thread_cond_wait(&t->changed, &t->lock, t->said + SILENCE_MS);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

static int start_ticker(struct push_tell *t)
{
	pthread_attr_t attr;
	int r = pthread_attr_init(&attr);

	if (r)
		return -r;
	r = pthread_attr_setstacksize(&attr, 2 * PIECE + TICKER_STACK);
	if (!r)
		r = pthread_create(&t->ticker, &attr, ticker_main, t);
	pthread_attr_destroy(&attr);
	t->ticking = !r;
	return -r;
}

static void stop_ticker(struct push_tell *t)
{
	pthread_mutex_lock(&t->lock);
	t->over = true;
	pthread_cond_signal(&t->changed);
	pthread_mutex_unlock(&t->lock);
	if (t->ticking)
		pthread_join(t->ticker, NULL);
	t->ticking = false;
}

/* ---- for everybody ---- */

int push_tell_begin(struct push_tell *t, int to)
{
	const struct answer_head h = { .kind = GP_RPC, .service = GIT_SERVICE_RECEIVE_PACK, .length = KEEPER_UNKNOWN };
	int r = thread_cond_init(&t->changed);

	if (r < 0)
		return r;
	pthread_mutex_init(&t->lock, NULL);
	t->begun = true;
	t->to = to;
	t->said = deadline_now();
	t->error = answer_stream(to, &h);
	return t->error || !t->side_band ? t->error : start_ticker(t);
}

void push_tell_text(struct push_tell *t, struct rd text)
{
	if (!t->begun || !t->side_band)
		return;
	pthread_mutex_lock(&t->lock);
	if (!t->over)
		send_band(t, BAND_TEXT, text);
	pthread_mutex_unlock(&t->lock);
}

void push_tell_line(struct push_tell *t, const char *fmt, ...)
{
	uint8_t clean[LINE + 1];
	char text[LINE];
	struct wr w = wr_of(clean, LINE);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	push_text(rd_str(text), false, &w);
	clean[w.n++] = '\n';
	push_tell_text(t, rd_of(clean, w.n));
}

bool push_tell_is_gone(struct push_tell *t)
{
	struct pollfd p = { .fd = t->to, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

/* ---- the end ---- */

static int end(struct push_tell *t)
{
	stop_ticker(t);
	if (t->side_band)
		say(t, rd_str("0000"));
	if (!t->error)
		t->error = answer_end(t->to, REASON_NONE);
	return t->error;
}

int push_tell_report(struct push_tell *t, const struct push_list *l, const struct push_told *told, const char *unpack)
{
	size_t cap = push_report_bound(l);
	AUTO(mem) uint8_t *text = t->report_status ? malloc(cap) : NULL;
	struct wr w = wr_of(text, text ? cap : 0);
	struct rd report, piece;

	if (!t->report_status)
		return end(t);
	if (!text || !push_report_write(&w, l, told, unpack)) {
		answer_end(t->to, REASON_INTERNAL_ERROR);
		return t->error = -ENOMEM;
	}
	stop_ticker(t);
	report = wr_rd(&w);
	if (t->side_band)
		send_band(t, BAND_REPORT, report);
	while (!t->side_band && rd_left(&report) && rd_take(&report, report.n < PIECE ? report.n : PIECE, &piece))
		say(t, piece);
	return end(t);
}

int push_tell_nothing(struct push_tell *t)
{
	stop_ticker(t);
	if (!t->error)
		t->error = answer_end(t->to, REASON_NONE);
	return t->error;
}

void push_tell_done(struct push_tell *t)
{
	if (!t->begun)
		return;
	stop_ticker(t);
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->lock);
}

/*
 * silence.c - when a name leaves a real address that does not answer
 *
 * Theory of operation: a client sends its SYN at 0, 1, 3, 7, 15 seconds (RFC 6298), or each second at
 * first (Linux since 6.5). Two SYNs, of which the first is 1.5 s old, mean that the second had half a
 * second, or that several clients have waited for longer than any path takes: the move is done before the
 * SYN at 3 s, which goes to the next address. There, one SYN that is 1.5 s old is enough for a minute:
 * nothing has shown that this one is better, and the client's SYNs come ever more rarely.
 *
 * Each move makes the next one wait twice as long, up to ten minutes: that follows the client's own
 * doubling, so it costs an honest client nothing, while a name of which all addresses are silent, or a
 * sandbox that sends SYNs nobody would answer, makes ten moves in twenty minutes and six in an hour.
 * Invariants: pure but for the struct; time is the caller's.
 */
#include "netd/silence.h"

bool silence_suspects(const struct silence *s, uint64_t packets, uint32_t age_ms, uint64_t now_ms)
{
	bool trial = s->moved_ms && now_ms - s->moved_ms < SILENCE_TRIAL_MS;

	return now_ms >= s->not_before_ms && age_ms >= SILENCE_MS && packets >= (trial ? 1 : 2);
}

void silence_moved(struct silence *s, uint64_t now_ms)
{
	if (!s->wait_ms || now_ms - s->moved_ms >= SILENCE_FORGIVE_MS)
		s->wait_ms = SILENCE_WAIT_MIN_MS;
	else if (s->wait_ms < SILENCE_WAIT_MAX_MS / 2)
		s->wait_ms *= 2;
	else
		s->wait_ms = SILENCE_WAIT_MAX_MS;
	s->moved_ms = now_ms;
	s->not_before_ms = now_ms + s->wait_ms;
}

void silence_answered(struct silence *s, uint64_t now_ms)
{
	if (s->not_before_ms < now_ms + SILENCE_ANSWERED_MS)
		s->not_before_ms = now_ms + SILENCE_ANSWERED_MS;
}

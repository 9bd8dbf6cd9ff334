/*
 * test_silence.c - when a name leaves a silent address, on given times
 */
#include "tests/unit/check.h"

#include "netd/silence.h"

TEST(evidence)
{
	static const struct {
		const char *what;
		uint64_t packets;
		uint32_t age_ms;
		bool moved_lately, suspects;
	} cases[] = {
		{ "one SYN, however old", 1, 29000, false, false },
		{ "two, the second half a second ago", 2, 1500, false, true },
		{ "a burst a moment ago", 100, 1400, false, false },
		{ "a burst 1.5 s ago", 100, 1500, false, true },
		{ "one SYN after a move", 1, 1500, true, true },
		{ "one fresh SYN after a move", 1, 1400, true, false },
		{ "none", 0, 1500, true, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct silence s = { 0 };
		uint64_t now = 5000000;

		if (cases[i].moved_lately)
			silence_moved(&s, now - SILENCE_WAIT_MIN_MS);
		CHECK_EQ(cases[i].what,
			 silence_suspects(&s, cases[i].packets, cases[i].age_ms, now),
			 cases[i].suspects);
	}
}

/* Everything is silent, and SYNs come all the time. */
static unsigned moves_within(struct silence *s, uint64_t from_ms, uint64_t ms)
{
	unsigned n = 0;

	for (uint64_t now = from_ms; now < from_ms + ms; now += 1000)
		if (silence_suspects(s, 5, 10000, now)) {
			silence_moved(s, now);
			n++;
		}
	return n;
}

TEST(no_storm)
{
	struct silence s = { 0 };

	CHECK_EQ("at 0, 2, 6, 14, 30", moves_within(&s, 5000, 60 * 1000), 5);
	CHECK_EQ("in the rest of an hour", moves_within(&s, 65000, 3540 * 1000), 9);
	CHECK_EQ("an hour", moves_within(&s, 3605000, 3600 * 1000), 6);
}

TEST(forgiven)
{
	struct silence s = { 0 };

	moves_within(&s, 5000, 3600 * 1000);
	silence_moved(&s, s.moved_ms + SILENCE_FORGIVE_MS);
	CHECK_EQ("after twenty quiet minutes", s.wait_ms, SILENCE_WAIT_MIN_MS);
}

TEST(an_address_that_answers_is_let_be)
{
	struct silence s = { 0 };

	silence_answered(&s, 10000);
	CHECK("for a moment", !silence_suspects(&s, 5, 10000, 10000 + SILENCE_ANSWERED_MS - 1));
	CHECK("not longer", silence_suspects(&s, 5, 10000, 10000 + SILENCE_ANSWERED_MS));
	s.not_before_ms = 99000;
	silence_answered(&s, 10000);
	CHECK_EQ("a longer wait stays", s.not_before_ms, 99000);
}

/*
 * test_backoff.c - repositories whose refresh failed, and when to try again
 */
#include "gitproxy/mirror/backoff.h"

#include "gitproxy/deadline.h"
#include "tests/unit/check.h"

static uint64_t now = 5;		/* the clock is this file's */

uint64_t deadline_now(void)
{
	return now;
}

TEST(backoff_grows)
{
	static const struct { const char *what; uint64_t pause; } rows[] = {
		{ "first", 0 }, { "second", 0 }, { "third", 1000 }, { "fourth", 4000 }, { "fifth", 16000 },
		{ "6", 64000 }, { "7", 256000 }, { "8", 1024000 }, { "9", 3600000 }, { "10", 3600000 },
	};
	const uint8_t one[MIRROR_DOMAIN] = { 1 }, other[MIRROR_DOMAIN] = { 2 };
	struct backoff *b;

	CHECK_EQ("new", backoff_new(&b), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CHECK(rows[i].what, !backoff_is_on(b, one));
		backoff_note(b, one, true);
		now += rows[i].pause ? rows[i].pause - 1 : 0;
		CHECK_EQ(rows[i].what, backoff_is_on(b, one), rows[i].pause > 0);
		CHECK("another", !backoff_is_on(b, other));
		now++;
	}
	backoff_note(b, one, true);
	CHECK("it fails", backoff_is_on(b, one));
	backoff_note(b, one, false);
	CHECK("it succeeded", !backoff_is_on(b, one));
	backoff_note(b, one, true);
	CHECK("from the beginning", !backoff_is_on(b, one));
	backoff_free(b);
}

TEST(backoff_forgets_the_oldest)
{
	struct backoff *b;

	CHECK_EQ("new", backoff_new(&b), 0);
	for (unsigned i = 0; i <= BACKOFF_MAX; i++) {
		const uint8_t id[MIRROR_DOMAIN] = { (uint8_t)i, (uint8_t)(i >> 8) };

		now++;
		for (unsigned k = 0; k <= BACKOFF_FREE; k++)
			backoff_note(b, id, true);
	}
	CHECK("the first", !backoff_is_on(b, (uint8_t[MIRROR_DOMAIN]){ 0 }));
	CHECK("the second", backoff_is_on(b, (uint8_t[MIRROR_DOMAIN]){ 1 }));
	CHECK("the last", backoff_is_on(b, (uint8_t[MIRROR_DOMAIN]){ 0, BACKOFF_MAX >> 8 }));
	backoff_free(b);
}

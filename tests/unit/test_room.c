/*
 * test_room.c - nobody has more than what is left for others
 */
#include "gitproxy/mirror/room.h"

#include "base/mem.h"
#include "tests/unit/check.h"

DEFINE_AUTO(room, struct room *, room_free)

static struct room *room_of(uint64_t max)
{
	struct room *r = NULL;

	CHECK_EQ("made", room_new(max, &r), 0);
	return r;
}

/* So much at a time, until no more is given. */
static uint64_t fill(struct room *r, uint16_t sandbox, uint64_t step)
{
	uint64_t n = 0;

	while (room_take(r, sandbox, step))
		n += step;
	return n;
}

TEST(shares)
{
	AUTO(room) struct room *r = room_of(1200);

	CHECK_EQ("one alone has half", fill(r, 1, 1), 600);
	CHECK_EQ("as is said", room_of_one(r), 600);
	CHECK_EQ("the next half of the rest", fill(r, 2, 1), 300);
	CHECK_EQ("and so on", fill(r, 3, 1), 150);
	CHECK_EQ("what one had counts", fill(r, 1, 1), 0);
	CHECK_EQ("in all", room_taken(r), 1050);
	room_give(r, 1, 600);
	CHECK_EQ("what was given back can be taken", fill(r, 2, 1), 225);
	room_give(r, 2, 525);
	room_give(r, 3, 150);
	CHECK_EQ("nothing is left taken", room_taken(r), 0);
	CHECK_EQ("all over again", fill(r, UINT16_MAX, 1), 600);
}

TEST(borders)
{
	static const struct { const char *what; uint64_t max, have, n; bool want; } rows[] = {
		{ "exactly half", 1000, 0, 500, true },		{ "a byte more", 1000, 0, 501, false },
		{ "in two steps", 1000, 400, 100, true },	{ "a byte more in two steps", 1000, 400, 101, false },
		{ "nothing", 0, 0, 0, true },			{ "of nothing", 0, 0, 1, false },
		{ "more than there can be", 1000, 0, UINT64_MAX, false },
		{ "the sum of which is small", 1000, 400, UINT64_MAX - 399, false },
		{ "of all there can be", UINT64_MAX, 0, UINT64_MAX, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(room) struct room *r = room_of(rows[i].max);

		CHECK(rows[i].what, room_take(r, 7, rows[i].have));
		CHECK_EQ(rows[i].what, room_take(r, 7, rows[i].n), rows[i].want);
		CHECK_EQ(rows[i].what, room_taken(r), rows[i].have + (rows[i].want ? rows[i].n : 0));
	}
}

TEST(moves)
{
	AUTO(room) struct room *r = room_of(1600);

	CHECK("not yet", !room_has_moved(r));
	room_take(r, 1, 99);
	CHECK("a little", !room_has_moved(r));
	room_take(r, 1, 1);
	CHECK("a sixteenth", room_has_moved(r));
	CHECK("once", !room_has_moved(r));
	room_give(r, 1, 100);
	CHECK("back", room_has_moved(r) && !room_has_moved(r));
}

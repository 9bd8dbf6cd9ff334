/*
 * test_shares.c - places that all sandboxes share
 */
#include "gitproxy/shares.h"

#include "tests/unit/check.h"

enum { MAX = 512 };

static unsigned take_all(struct shares *s, uint16_t sandbox)
{
	unsigned n = 0;

	while (n <= MAX && shares_take(s, sandbox))
		n++;
	return n;
}

TEST(shares)
{
	static struct shares s = { .max = MAX };

	CHECK_EQ("who is alone has half", take_all(&s, 1), MAX / 2);
	CHECK_EQ("the next has a share", take_all(&s, 2), MAX / 8);
	CHECK_EQ("and the next", take_all(&s, 3), MAX / 8);
	for (uint16_t i = 4; i < 12; i++)
		CHECK_EQ("little, when there is little", take_all(&s, i), MAX / 32);
	CHECK_EQ("no more than there are", s.taken, MAX);
	CHECK("none is left", !shares_take(&s, 12));
	shares_give(&s, 1);
	CHECK("who has more than its share gets none back", !shares_take(&s, 1));
	CHECK("another does", shares_take(&s, 12));
	CHECK_EQ("all", s.taken, MAX);
}

TEST(none_is_lost)
{
	static struct shares s = { .max = MAX };

	for (int i = 0; i < 3; i++) {
		unsigned n = take_all(&s, 7);

		CHECK_EQ("the same again", n, MAX / 2);
		while (n--)
			shares_give(&s, 7);
		CHECK_EQ("empty", s.taken, 0);
		CHECK_EQ("of it", s.of[7], 0);
	}
}

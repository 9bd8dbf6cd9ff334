/*
 * test_inspect_table.c - records and buffers: bounded, fair, and not forgotten too early
 */
#include "tests/unit/check.h"

#include "netd/inspect/table.h"

static const struct table_sizes tiny = { .flows = 8, .small = 3, .large = 2, .share_flows = 4, .share_small = 2,
					 .share_large = 1 };
enum { NOW = 1000000 };

static struct flow_key key_of(uint16_t sandbox, uint16_t port)
{
	struct packet p = { .src = { .family = 4, .b = { 10, 1, (uint8_t)sandbox, 2 } },
			    .dst = { .family = 4, .b = { 198, 18, 1, 0 } }, .sport = port, .dport = 443 };

	return flow_key_of(FLOW_CLIENT, &p);
}

static struct flow *open_flow(struct table *t, uint16_t sandbox, uint16_t port, uint64_t now)
{
	struct flow_key key = key_of(sandbox, port);
	struct flow *f = table_open(t, &key, sandbox, now);

	if (f)
		f->state = FLOW_OPEN;
	return f;
}

static struct flow *find(struct table *t, uint16_t sandbox, uint16_t port)
{
	struct flow_key key = key_of(sandbox, port);

	return table_find(t, &key);
}

TEST(both_directions_are_one_flow)
{
	struct packet there = { .src = { 6, { 1 } }, .dst = { 6, { 2 } }, .sport = 3, .dport = 4 };
	struct packet back = { .src = { 6, { 2 } }, .dst = { 6, { 1 } }, .sport = 4, .dport = 3 };
	struct flow_key a = flow_key_of(FLOW_CLIENT, &there), b = flow_key_of(FLOW_SERVER, &back);

	CHECK("same key", !memcmp(&a, &b, sizeof(a)));
	b = flow_key_of(FLOW_CLIENT, &back);
	CHECK("another key", memcmp(&a, &b, sizeof(a)));
}

TEST(a_share_and_its_oldest)
{
	AUTO(table) struct table *t = NULL;

	CHECK_EQ("new", table_new(&tiny, &t), 0);
	for (uint16_t port = 1; port <= 4; port++)
		CHECK("within the share", open_flow(t, 1, port, NOW + port));
	CHECK("full, and all too young", !open_flow(t, 1, 5, NOW + FLOW_QUIET_MS));
	CHECK("another sandbox is served", open_flow(t, 2, 5, NOW));
	find(t, 1, 1)->seen_ms = NOW + 100;
	table_settle(t, find(t, 1, 1));
	CHECK("the oldest goes", open_flow(t, 1, 5, NOW + 2 + FLOW_QUIET_MS));
	CHECK("it was this one", !find(t, 1, 2) && find(t, 1, 1) && find(t, 1, 3) && find(t, 1, 5));
	CHECK("the other's is still there", find(t, 2, 5));
}

TEST(who_holds_most_gives)
{
	AUTO(table) struct table *t = NULL;

	CHECK_EQ("new", table_new(&tiny, &t), 0);
	for (uint16_t port = 1; port <= 4; port++)
		CHECK("first", open_flow(t, 1, port, NOW + 10));
	for (uint16_t sandbox = 2; sandbox <= 5; sandbox++)
		CHECK("others", open_flow(t, sandbox, 1, NOW));
	CHECK_EQ("all in use", table_count(t), 8);
	CHECK("too young", !open_flow(t, 6, 1, NOW + FLOW_QUIET_MS));
	CHECK("taken from the first", open_flow(t, 6, 1, NOW + 10 + FLOW_QUIET_MS));
	CHECK("its oldest", !find(t, 1, 1) && find(t, 1, 2));
	for (uint16_t sandbox = 2; sandbox <= 5; sandbox++)
		CHECK("the others keep theirs", find(t, sandbox, 1));
	CHECK_EQ("all in use", table_count(t), 8);
}

TEST(buffers)
{
	AUTO(table) struct table *t = NULL;
	struct flow *a, *b, *c;

	CHECK_EQ("new", table_new(&tiny, &t), 0);
	a = open_flow(t, 1, 1, NOW);
	b = open_flow(t, 1, 2, NOW);
	c = open_flow(t, 1, 3, NOW);
	table_room(t, a, 100);
	table_room(t, b, TABLE_SMALL);
	table_room(t, c, 1);
	CHECK_EQ("small", a->cap, TABLE_SMALL);
	CHECK_EQ("small", b->cap, TABLE_SMALL);
	CHECK_EQ("beyond the share", c->cap, 0);
	memcpy(a->buf, "hello", 5);
	a->n = 5;
	table_room(t, a, TABLE_SMALL + 1);
	CHECK_EQ("large", a->cap, TABLE_LARGE);
	CHECK("bytes moved along", !memcmp(a->buf, "hello", 5));
	table_room(t, b, TABLE_LARGE);
	CHECK_EQ("keeps what it has", b->cap, TABLE_SMALL);
	table_room(t, c, 1);
	CHECK_EQ("the first one's came back", c->cap, TABLE_SMALL);
	a->state = FLOW_DECIDED;
	table_settle(t, a);
	CHECK("given back", !a->buf && !a->cap);
	table_room(t, b, TABLE_LARGE);
	CHECK_EQ("large now", b->cap, TABLE_LARGE);
}

static void count(void *owner, const struct flow_key *key, const struct flow *f, const struct flow_note *note)
{
	unsigned *n = owner;

	(void)f;
	CHECK_EQ("reason", note->reason, REASON_HELLO_TIMEOUT);
	CHECK_EQ("which", key->guest_port, 1);
	++*n;
}

TEST(sweep)
{
	AUTO(table) struct table *t = NULL;
	struct flow *f;
	unsigned told = 0;

	CHECK_EQ("new", table_new(&tiny, &t), 0);
	f = open_flow(t, 1, 1, NOW);
	table_room(t, f, 10);
	f->n = 1;
	f->data_ms = NOW;
	open_flow(t, 1, 2, NOW)->state = FLOW_DECIDED;
	table_sweep(t, NOW + FLOW_QUIET_MS - 1, count, &told);
	CHECK_EQ("nothing yet", table_count(t), 2);
	table_sweep(t, NOW + FLOW_HELLO_MS, count, &told);
	table_sweep(t, NOW + FLOW_HELLO_MS + 1, count, &told);
	CHECK_EQ("told once", told, 1);
	CHECK_EQ("the decided one is gone", table_count(t), 1);
	CHECK("the refused one stays, without its buffer", find(t, 1, 1) && !find(t, 1, 1)->buf);
	table_sweep(t, NOW + 3600000, count, &told);
	CHECK_EQ("all gone", table_count(t), 0);
	for (uint16_t port = 1; port <= 4; port++)
		CHECK("used again", open_flow(t, 3, port, NOW + 3600000));
}

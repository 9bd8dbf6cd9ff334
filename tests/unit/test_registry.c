/*
 * test_registry.c - names, addresses and ids of sandboxes
 */
#include "tests/unit/check.h"

#include <errno.h>

#include "netd/registry.h"

static char tap[] = "tap*", cdn[] = "cdn?";
static char *patterns[] = { tap, cdn };
static struct prefix networks[2];
static struct host_config config = {
	.interfaces = patterns,
	.n_interfaces = 2,
	.networks = networks,
	.n_networks = 2,
	.file = (char *)(uintptr_t) "cordon.yaml",
};

static struct addr addr(const char *text)
{
	struct addr a = { 0 };

	if (text && !addr_parse(text, &a))
		abort();
	return a;
}

static struct msg_add request(const char *name, const char *interface, uint8_t mac, const char *v4,
			      const char *v6)
{
	struct msg_add m = { .mac = { 6, 0, 0, 0, 0, mac }, .addr = { addr(v4), addr(v6) } };

	msg_text_set(m.name, sizeof(m.name), name);
	msg_text_set(m.interface, sizeof(m.interface), interface);
	msg_text_set(m.profile, sizeof(m.profile), "agent");
	return m;
}

static struct registry *fresh(void)
{
	struct registry *r;

	if (!prefix_parse("10.1.0.0/16", &networks[0]) ||
	    !prefix_parse("fd00:1::/48", &networks[1]) ||
	    !prefix_parse("10.199.0.0/16", &config.run4) || registry_new(&r) < 0)
		abort();
	return r;
}

static struct sandbox *put(struct registry *r, struct msg_add m, uint64_t now)
{
	struct sandbox *s = NULL;

	CHECK_EQ(m.name, registry_insert(r, &m, 1, 0, now, &s), 0);
	return s;
}

TEST(check)
{
	AUTO(registry) struct registry *r = fresh();
	static const struct {
		const char *what, *name, *interface;
		uint8_t mac;
		const char *v4, *v6, *why; /* why: a word of the refusal; NULL: accepted */
	} cases[] = {
		{ "good", "vm1", "tap1", 2, "10.1.0.3", "fd00:1::3", NULL },
		{ "run address", "vm1", "cdn1", 2, "10.199.0.3", NULL, NULL },
		{ "only v6", "vm1", "tap1", 2, NULL, "fd00:1::3", NULL },
		{ "second MAC on an interface", "vm1", "tap0", 2, "10.1.0.3", NULL, NULL },
		{ "name taken", "vm0", "tap1", 2, "10.1.0.3", NULL, "taken" },
		{ "v4 taken", "vm1", "tap1", 2, "10.1.0.2", NULL, "taken" },
		{ "v6 taken", "vm1", "tap1", 2, NULL, "fd00:1::2", "taken" },
		{ "interface and MAC taken", "vm1", "tap0", 1, "10.1.0.3", NULL, "taken" },
		{ "outside", "vm1", "tap1", 2, "10.2.0.3", NULL, "outside" },
		{ "other interface", "vm1", "eth0", 2, "10.1.0.3", NULL, "matches none" },
		{ "longer than the pattern", "vm1", "cdn12", 2, "10.1.0.3", NULL, "matches none" },
		{ "no address", "vm1", "tap1", 2, NULL, NULL, "no address" },
		{ "v4 in the place of v6", "vm1", "tap1", 2, NULL, "10.1.0.3", "order" },
		{ "empty name", "", "tap1", 2, "10.1.0.3", NULL, "letters" },
		{ "space in the name", "a b", "tap1", 2, "10.1.0.3", NULL, "letters" },
		{ "quote in the name", "a\"", "tap1", 2, "10.1.0.3", NULL, "letters" },
		{ "no interface", "vm1", "", 2, "10.1.0.3", NULL, "--interface" },
	};
	char why[512];

	put(r, request("vm0", "tap0", 1, "10.1.0.2", "fd00:1::2"), 1);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct msg_add m = request(cases[i].name, cases[i].interface, cases[i].mac,
					   cases[i].v4, cases[i].v6);

		CHECK_EQ(cases[i].what, registry_check(r, &config, &m, why, sizeof(why)),
			 !cases[i].why);
		if (cases[i].why)
			CHECK(cases[i].what, strstr(why, cases[i].why));
	}
}

TEST(mac)
{
	AUTO(registry) struct registry *r = fresh();
	struct msg_add m = request("vm0", "tap0", 1, "10.1.0.2", NULL);
	char why[512];

	m.mac[0] = 1;
	CHECK("group address", !registry_check(r, &config, &m, why, sizeof(why)));
	memset(m.mac, 0, 6);
	CHECK("zero", !registry_check(r, &config, &m, why, sizeof(why)));
	m.mac[5] = 1;
	CHECK("good", registry_check(r, &config, &m, why, sizeof(why)));
}

TEST(ids_rest)
{
	AUTO(registry) struct registry *r = fresh();
	struct sandbox *s;
	uint16_t id;

	for (int i = 0; i < 65535; i++) { /* every id has been used and is free again */
		s = put(r, request("vm", "tap0", 1, "10.1.0.2", NULL), 1000);
		CHECK("not zero", s && s->id);
		registry_remove(r, s, 1000);
	}
	CHECK_EQ("all rest",
		 registry_insert(r, &(struct msg_add){ .name = "x" }, 1, 0,
				 1000 + REGISTRY_REST_MS - 1, &s),
		 -ENOSPC);
	s = put(r, request("vm", "tap0", 1, "10.1.0.2", NULL), 1000 + REGISTRY_REST_MS);
	id = s ? s->id : 0;
	CHECK_EQ("a given id that is taken",
		 registry_insert(r, &(struct msg_add){ .name = "x" }, 1, id, 0, &s), -EEXIST);
	CHECK_EQ("one", registry_count(r), 1);
}

TEST(look_ups)
{
	AUTO(registry) struct registry *r = fresh();
	struct sandbox *a = put(r, request("a", "tap0", 1, "10.1.0.2", NULL), 1);
	struct sandbox *b = put(r, request("b", "tap1", 2, "10.1.0.3", "fd00:1::3"), 1);
	struct addr none = { 0 }, v6 = addr("fd00:1::3");
	size_t n = 0;

	CHECK("name", registry_by_name(r, "b") == b);
	CHECK("interface", registry_by_interface(r, "tap0") == a);
	CHECK("address", registry_by_addr(r, &v6) == b);
	CHECK("no address is nobody's", !registry_by_addr(r, &none));
	CHECK("id 0 is nobody", !registry_by_id(r, 0));
	REGISTRY_EACH (r, s)
		n++;
	CHECK_EQ("each", n, 2);
}

TEST(many)
{
	AUTO(registry) struct registry *r = fresh();
	struct addr later = addr("fd00:1::77");
	struct sandbox *a = put(r, request("a", "tap0", 1, "10.1.0.2", NULL), 1);
	struct sandbox *b = put(r, request("b", "tap0", 2, "10.1.0.3", NULL), 1);
	struct sandbox *c = put(r, request("c", "tap1", 3, "10.1.0.4", NULL), 1);
	struct sandbox *first = registry_by_interface(r, "tap0"), *second = registry_next_on(first);

	CHECK("both of one interface", (first == a && second == b) || (first == b && second == a));
	CHECK("and no third", !registry_next_on(second));
	registry_set_link(r, a, 7, 0);
	registry_set_link(r, b, 7, 9);
	registry_set_link(r, c, 9, 0);
	first = registry_by_link(r, 7);
	second = registry_next_of_link(first);
	CHECK("both of one link", (first == a && second == b) || (first == b && second == a));
	CHECK("a stray is no link", registry_by_stray(r, 9) == b && registry_by_link(r, 9) == c);
	registry_set_link(r, b, 0, 0);
	CHECK("link 0 is none", !registry_by_link(r, 0) && !registry_by_stray(r, 9));
	registry_set_addr(r, c, &later);
	CHECK("a later address", registry_by_addr(r, &later) == c);
	registry_remove(r, c, 1);
	CHECK("gone under every key", !registry_by_name(r, "c") && !registry_by_addr(r, &later) &&
						!registry_by_link(r, 9) &&
						!registry_by_interface(r, "tap1"));
	CHECK("the others stay", registry_by_name(r, "b") == b && registry_by_link(r, 7) == a);
}

TEST(wildcard_names)
{
	AUTO(registry) struct registry *r = fresh();
	struct sandbox *s = put(r, request("a", "tap0", 1, "10.1.0.2", NULL), 1);

	CHECK("first", sandbox_uses_wild(s, 300, 2, 1000));
	CHECK("second", sandbox_uses_wild(s, 301, 2, 1000));
	CHECK("again", sandbox_uses_wild(s, 300, 2, 2000));
	CHECK("no room", !sandbox_wild_room(s, 2, 2000) && sandbox_wild_room(s, 3, 2000));
	CHECK("room again", sandbox_wild_room(s, 2, 1001 + (uint64_t)SANDBOX_WILD_KEEP_MS));
	CHECK("over the limit", !sandbox_uses_wild(s, 302, 2, 2000));
	CHECK("in the place of a stale one",
	      sandbox_uses_wild(s, 302, 2, 1001 + (uint64_t)SANDBOX_WILD_KEEP_MS));
	CHECK("the fresher one stayed",
	      !sandbox_uses_wild(s, 301, 2, 1001 + (uint64_t)SANDBOX_WILD_KEEP_MS));
	CHECK("none at all", !sandbox_uses_wild(s, 400, 0, 2000));
}

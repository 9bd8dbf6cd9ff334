/*
 * element.c - struct ruleset_elem to and from the bytes of a set element
 *
 * Theory of operation: pure functions, one pair of field lists per map. What the kernel hands back on a
 * restart is read through the cursor like any other input: an element that somebody else added and that
 * does not decode is left out, so it grants nothing in netd's picture.
 */
#include "nft/element.h"

#include <arpa/inet.h>
#include <stdio.h>

enum { PAD = 4, INTERFACE_LEN = 16, MAC_LEN = 6 };

/* One name: the set serves both families, or knows none. */
static const char *const set_names[][2] = {
	[MAP_IDENTITY] = { "identity4", "identity6" },
	[MAP_GRANTS] = { "grants4", "grants6" },
	[MAP_REAL] = { "real4", "real6" },
	[MAP_NAMES] = { "names4", "names6" },
	[MAP_RANGES] = { "ranges4", "ranges6" },
	[MAP_NEIGHBOURS] = { "neighbours" },
	[MAP_DHCP] = { "dhcp" },
	[MAP_NEW_FLOWS] = { "new_flows" },
	[MAP_FLOWS] = { "flows" },
	[MAP_DNS_QUERIES] = { "dns_queries" },
	[MAP_USED] = { "used4", "used6" },
	[MAP_UNANSWERED] = { "unanswered4", "unanswered6" },
};

/* Values of the maps of grants, as defined in cordon.nft. */
static const uint32_t grant_values[] = { [GRANT_FORWARD] = 8, [GRANT_INSPECT] = 9, [GRANT_PROXY] = 10 };

const char *element_set_name(enum ruleset_map map, uint8_t family)
{
	if ((size_t)map >= ARRAY_SIZE(set_names))
		return NULL;
	if (!set_names[map][1])
		return set_names[map][0];
	return family == 4 ? set_names[map][0] : family == 6 ? set_names[map][1] : NULL;
}

static void put_field(struct wr *w, const void *p, size_t n)
{
	static const uint8_t zero[PAD];

	wr_put(w, p, n);
	wr_put(w, zero, (PAD - n % PAD) % PAD);
}

static bool take_field(struct rd *r, void *ret, size_t n)
{
	return rd_copy(r, ret, n) && rd_skip(r, (PAD - n % PAD) % PAD);
}

static bool take_addr(struct rd *r, uint8_t family, struct addr *ret)
{
	*ret = (struct addr){ .family = family };
	return take_field(r, ret->b, addr_len(ret));
}

static void put_port(struct wr *w, uint16_t port)
{
	uint8_t be[2] = { port >> 8, port & 0xff };

	put_field(w, be, sizeof(be));
}

static void put_ifname(struct wr *w, const struct ruleset_elem *e)
{
	put_field(w, e->interface, INTERFACE_LEN);
}

static void put_addr(struct wr *w, const struct addr *a)
{
	put_field(w, a->b, addr_len(a));
}

/* In the key of an interval set all is in network order: nft makes the rules convert the mark. */
static uint32_t key_mark(enum ruleset_map map, uint32_t mark)
{
	return map == MAP_RANGES ? htonl(mark) : mark;
}

static void put_grant(struct wr *w, const struct ruleset_elem *e, const struct addr *to)
{
	uint32_t mark = key_mark(e->map, e->mark);

	put_field(w, &mark, sizeof(mark));
	put_addr(w, to);
	put_field(w, &e->proto, sizeof(e->proto));
	put_port(w, e->port);
}

static void encode_key(const struct ruleset_elem *e, struct wr *w)
{
	switch (e->map) {
	case MAP_IDENTITY:
		put_ifname(w, e);
		put_field(w, e->mac, MAC_LEN);
		put_addr(w, &e->addr);
		return;
	case MAP_NEIGHBOURS:
		put_ifname(w, e);
		put_field(w, e->mac, MAC_LEN);
		put_field(w, e->mac, MAC_LEN);
		put_addr(w, &e->addr);
		return;
	case MAP_DHCP:
		put_ifname(w, e);
		put_field(w, e->mac, MAC_LEN);
		return;
	case MAP_GRANTS:
	case MAP_RANGES:
		put_grant(w, e, &e->addr);
		return;
	case MAP_NEW_FLOWS:
	case MAP_FLOWS:
	case MAP_DNS_QUERIES:
		put_field(w, &e->mark, sizeof(e->mark));
		return;
	case MAP_REAL:
	case MAP_NAMES:
	case MAP_USED:
	case MAP_UNANSWERED:
		put_addr(w, &e->addr);
		return;
	}
	w->failed = true;
}

/* The last address of a range: its host bits set. */
static struct addr range_last(const struct ruleset_elem *e)
{
	struct addr last = e->addr;

	for (size_t bit = e->bits; bit < addr_len(&last) * 8; bit++)
		last.b[bit / 8] |= 0x80 >> bit % 8;
	return last;
}

/* Interval sets have a key's end; fields that are no intervals begin and end with the same value. */
static bool encode_end(const struct ruleset_elem *e, struct element_wire *ret)
{
	struct wr w = wr_of(ret->end, sizeof(ret->end));
	struct addr last;

	if (e->map != MAP_RANGES)
		return true;
	if (e->bits > addr_len(&e->addr) * 8)
		return false;
	last = range_last(e);
	put_grant(&w, e, &last);
	ret->end_n = w.n;
	return wr_ok(&w);
}

static bool encode_value(const struct ruleset_elem *e, struct element_wire *ret)
{
	struct wr w = wr_of(ret->data, sizeof(ret->data));

	switch (e->map) {
	case MAP_IDENTITY:
		put_field(&w, &e->mark, sizeof(e->mark));
		break;
	case MAP_GRANTS:
	case MAP_RANGES:
		if (e->action < ARRAY_SIZE(grant_values) && grant_values[e->action])
			put_field(&w, &grant_values[e->action], sizeof(grant_values[0]));
		break;
	case MAP_REAL:
		put_addr(&w, &e->real);
		break;
	case MAP_NAMES:
	case MAP_NEIGHBOURS:
	case MAP_DHCP:
	case MAP_NEW_FLOWS:
	case MAP_FLOWS:
	case MAP_DNS_QUERIES:
	case MAP_USED:
	case MAP_UNANSWERED:
		break;
	}
	ret->data_n = w.n;
	return wr_ok(&w);
}

bool element_encode(const struct ruleset_elem *e, struct element_wire *ret)
{
	struct wr key = wr_of(ret->key, sizeof(ret->key));

	*ret = (struct element_wire){ 0 };
	if (!element_set_name(e->map, e->addr.family))
		return false;
	encode_key(e, &key);
	ret->key_n = key.n;
	return wr_ok(&key) && encode_end(e, ret) && encode_value(e, ret);
}

static bool take_link(struct rd *key, struct ruleset_elem *e)
{
	return take_field(key, e->interface, INTERFACE_LEN) && !e->interface[INTERFACE_LEN - 1] &&
	       take_field(key, e->mac, MAC_LEN);
}

static bool decode_identity(struct rd *key, struct rd *data, uint8_t family, struct ruleset_elem *e)
{
	return take_link(key, e) && take_addr(key, family, &e->addr) &&
	       take_field(data, &e->mark, sizeof(e->mark));
}

static bool decode_neighbour(struct rd *key, struct ruleset_elem *e)
{
	uint8_t sender[MAC_LEN];

	return take_link(key, e) && take_field(key, sender, sizeof(sender)) &&
	       !memcmp(sender, e->mac, sizeof(sender)) && take_addr(key, 4, &e->addr);
}

static bool decode_grant(struct rd *key, struct rd *data, uint8_t family, struct ruleset_elem *e)
{
	uint32_t value;
	uint8_t be[2];

	if (!take_field(key, &e->mark, sizeof(e->mark)) || !take_addr(key, family, &e->addr) ||
	    !take_field(key, &e->proto, sizeof(e->proto)) || !take_field(key, be, sizeof(be)) ||
	    !take_field(data, &value, sizeof(value)))
		return false;
	e->mark = key_mark(e->map, e->mark);
	e->port = (uint16_t)(be[0] << 8 | be[1]);
	for (size_t i = 0; i < ARRAY_SIZE(grant_values); i++)
		if (grant_values[i] && grant_values[i] == value)
			e->action = (enum grant_action)i;
	return e->action != GRANT_NONE;
}

/* The end has only to tell how many bits the first and the last address share. */
static bool decode_range(struct rd *key, struct rd end, struct rd *data, uint8_t family, struct ruleset_elem *e)
{
	struct ruleset_elem last = *e;
	struct rd none = *data;
	size_t bit = 0;

	if (!decode_grant(key, data, family, e) || !decode_grant(&end, &none, family, &last))
		return false;
	while (bit < addr_len(&e->addr) * 8 && !((e->addr.b[bit / 8] ^ last.addr.b[bit / 8]) & 0x80 >> bit % 8))
		bit++;
	e->bits = (uint8_t)bit;
	return true;
}

bool element_decode(enum ruleset_map map, uint8_t family, const struct element_raw *raw,
		    struct ruleset_elem *ret)
{
	struct ruleset_elem e = { .map = map };
	struct rd key = raw->key, data = raw->data;
	bool ok = false;

	switch (map) {
	case MAP_IDENTITY:
		ok = decode_identity(&key, &data, family, &e);
		break;
	case MAP_GRANTS:
		ok = decode_grant(&key, &data, family, &e);
		break;
	case MAP_RANGES:
		ok = decode_range(&key, raw->end, &data, family, &e);
		break;
	case MAP_REAL:
		ok = take_addr(&key, family, &e.addr) && take_addr(&data, family, &e.real);
		break;
	case MAP_NAMES:
	case MAP_USED:
	case MAP_UNANSWERED:
		ok = take_addr(&key, family, &e.addr);
		break;
	case MAP_NEIGHBOURS:
		ok = decode_neighbour(&key, &e);
		break;
	case MAP_DHCP:
		ok = take_link(&key, &e);
		break;
	case MAP_NEW_FLOWS:
	case MAP_FLOWS:
	case MAP_DNS_QUERIES:
		ok = take_field(&key, &e.mark, sizeof(e.mark));
		break;
	}
	if (!ok || !rd_done(&key))
		return false;
	*ret = e;
	return true;
}

/*
 * element.c - struct ruleset_elem to and from the bytes of a set element
 *
 * Theory of operation: pure functions, one pair of field lists per map. What the kernel hands back on a
 * restart is read through the cursor like any other input: an element that somebody else added and that
 * does not decode is left out, so it grants nothing in netd's picture.
 */
#include "nft/element.h"

#include <stdio.h>

enum { PAD = 4, INTERFACE_LEN = 16, MAC_LEN = 6 };

static const char *const set_names[][2] = {
	[MAP_IDENTITY] = { "identity4", "identity6" },
	[MAP_GRANTS] = { "grants4", "grants6" },
	[MAP_REAL] = { "real4", "real6" },
	[MAP_NAMES] = { "names4", "names6" },
};

/* Grant actions are chains of cordon.nft. */
static const char *const chains[] = {
	[GRANT_FORWARD] = "grant_forward",
	[GRANT_INSPECT] = "grant_inspect",
	[GRANT_PROXY] = "grant_proxy",
};

const char *element_set_name(enum ruleset_map map, uint8_t family)
{
	if ((size_t)map >= ARRAY_SIZE(set_names) || (family != 4 && family != 6))
		return NULL;
	return set_names[map][family == 6];
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

static void encode_key(const struct ruleset_elem *e, struct wr *w)
{
	switch (e->map) {
	case MAP_IDENTITY:
		put_field(w, e->interface, INTERFACE_LEN);
		put_field(w, e->mac, MAC_LEN);
		put_field(w, e->addr.b, addr_len(&e->addr));
		return;
	case MAP_GRANTS:
		put_field(w, &e->mark, sizeof(e->mark));
		put_field(w, e->addr.b, addr_len(&e->addr));
		put_field(w, &e->proto, sizeof(e->proto));
		put_port(w, e->port);
		return;
	case MAP_REAL:
	case MAP_NAMES:
		put_field(w, e->addr.b, addr_len(&e->addr));
		return;
	}
	w->failed = true;
}

static bool encode_value(const struct ruleset_elem *e, struct element_wire *ret)
{
	struct wr w = wr_of(ret->data, sizeof(ret->data));

	switch (e->map) {
	case MAP_IDENTITY:
		put_field(&w, &e->mark, sizeof(e->mark));
		break;
	case MAP_GRANTS:
		ret->chain = e->action < ARRAY_SIZE(chains) ? chains[e->action] : NULL;
		break;
	case MAP_REAL:
		put_field(&w, e->real.b, addr_len(&e->real));
		break;
	case MAP_NAMES:
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
	return wr_ok(&key) && encode_value(e, ret);
}

static bool decode_identity(struct rd *key, struct rd *data, uint8_t family, struct ruleset_elem *e)
{
	return take_field(key, e->interface, INTERFACE_LEN) && !e->interface[INTERFACE_LEN - 1] &&
	       take_field(key, e->mac, MAC_LEN) && take_addr(key, family, &e->addr) &&
	       take_field(data, &e->mark, sizeof(e->mark));
}

static bool decode_grant(struct rd *key, uint8_t family, const char *chain, struct ruleset_elem *e)
{
	uint8_t be[2];

	if (!take_field(key, &e->mark, sizeof(e->mark)) || !take_addr(key, family, &e->addr) ||
	    !take_field(key, &e->proto, sizeof(e->proto)) || !take_field(key, be, sizeof(be)))
		return false;
	e->port = (uint16_t)(be[0] << 8 | be[1]);
	for (size_t i = 0; chain && i < ARRAY_SIZE(chains); i++)
		if (chains[i] && !strcmp(chains[i], chain))
			e->action = (enum grant_action)i;
	return e->action != GRANT_NONE;
}

bool element_decode(enum ruleset_map map, uint8_t family, struct rd key, struct rd data,
		    const char *chain, struct ruleset_elem *ret)
{
	struct ruleset_elem e = { .map = map };
	bool ok = false;

	switch (map) {
	case MAP_IDENTITY:
		ok = decode_identity(&key, &data, family, &e);
		break;
	case MAP_GRANTS:
		ok = decode_grant(&key, family, chain, &e);
		break;
	case MAP_REAL:
		ok = take_addr(&key, family, &e.addr) && take_addr(&data, family, &e.real);
		break;
	case MAP_NAMES:
		ok = take_addr(&key, family, &e.addr);
		break;
	}
	if (!ok || !rd_done(&key))
		return false;
	*ret = e;
	return true;
}

/*
 * internal_page.c - which page of cordon.internal a request asks for, and in which form
 *
 * Theory of operation: targets are compared as raw bytes, so there is one spelling of each and no
 * decoding to get wrong. Of Accept (RFC 9110 s12.5.1) only this is read: whether application/json
 * is among the media types; weights are not compared.
 * Invariants: allocates nothing, keeps no state.
 */
#include "gitproxy/front/internal.h"

static const struct { const char *target; enum internal_page page; } pages[] = {
	{ "/", INTERNAL_POLICY },
	{ "/refusals", INTERNAL_REFUSALS },
	{ "/ca.pem", INTERNAL_CA },
};

enum internal_page internal_page_of(struct rd target)
{
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
		if (rd_eq_str(target, pages[i].target))
			return pages[i].page;
	return INTERNAL_NONE;
}

bool internal_wants_json(struct rd accept)
{
	while (rd_left(&accept)) {
		struct rd element = rd_piece(&accept, ',');

		if (rd_eq_nocase(rd_trim(rd_piece(&element, ';')), "application/json"))
			return true;
	}
	return false;
}

/*
 * settle.c - what a segment found: places, and which of it is told
 *
 * Theory of operation: where secrets of two rules overlap, the rule that stands first in the file is
 * told. What is told must not depend on where segments end, so a hit that reaches over the place up
 * to which this segment decides waits for the next one, together with its place; no later hit can
 * overlap the others.
 */
#include "gitproxy/scan/settle.h"

#include <stdlib.h>
#include <string.h>

static bool overlaps(const struct scan_hit *a, const struct scan_hit *b)
{
	return a->start < b->end && b->start < a->end;
}

static bool told_by_another(const struct scan_scratch *s, const struct scan_hit *h)
{
	for (size_t i = 0; i < s->hits; i++)
		if (s->hit[i].rule < h->rule && overlaps(&s->hit[i], h))
			return true;
	return false;
}

static int in_order(const void *pa, const void *pb)
{
	const struct scan_hit *a = pa, *b = pb;

	return a->start != b->start ? (a->start > b->start) - (a->start < b->start) :
				      (a->rule > b->rule) - (a->rule < b->rule);
}

static void tell(struct scan_scratch *s, const struct scan_hit *h)
{
	struct scan_finding f = { .rule = &s->e->rules->rule[h->rule], .path = s->path,
				  .line = h->line, .column = h->column };

	if (s->told == SCAN_FINDINGS_MAX) {
		s->cut = true;
		return;
	}
	s->told++;
	memcpy(f.fingerprint, h->fingerprint, sizeof(f.fingerprint));
	s->sink->found(s->sink, &f);
}

void scan_walk(const struct scan_scratch *s, size_t at, size_t to, uint64_t *line, uint64_t *column)
{
	const uint8_t *nl;

	while (at < to && (nl = memchr(s->bytes.p + at, '\n', to - at))) {
		++*line;
		*column = 1;
		at = (size_t)(nl - s->bytes.p) + 1;
	}
	*column += to - at;
}

/* Hits are in order. Those that waited have their place already. */
static void place(struct scan_scratch *s)
{
	uint64_t line = s->line, column = s->column;
	size_t at = 0;

	for (size_t i = 0; i < s->hits; i++) {
		struct scan_hit *h = &s->hit[i];

		if (h->line)
			continue;
		scan_walk(s, at, (size_t)(h->start - s->base), &line, &column);
		at = (size_t)(h->start - s->base);
		h->line = line;
		h->column = column;
	}
}

/* Tell what cannot change any more. The others wait, dropped ones too: they drop others. */
void scan_settle(struct scan_scratch *s, bool final)
{
	uint64_t decided = s->base + (final ? s->bytes.n : s->limit);
	size_t waiting = 0;

	qsort(s->hit, s->hits, sizeof(s->hit[0]), in_order);
	place(s);
	for (size_t i = 0; i < s->hits; i++) {
		s->hit[i].dropped |= told_by_another(s, &s->hit[i]);
		if (s->hit[i].end <= decided && !s->hit[i].dropped)
			tell(s, &s->hit[i]);
	}
	for (size_t i = 0; i < s->hits; i++)
		if (s->hit[i].end > decided)
			s->hit[waiting++] = s->hit[i];
	s->hits = waiting;
}

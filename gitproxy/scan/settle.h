/*
 * settle.h - what a segment found: places, and which of it is told. Private to gitproxy/scan/.
 */
#ifndef GITPROXY_SCAN_SETTLE_H
#define GITPROXY_SCAN_SETTLE_H

#include "gitproxy/scan/engine.h"

enum { SCAN_HITS_MAX = 4 * SCAN_FINDINGS_MAX };

struct scan_scratch {
	const struct scan *e;
	hs_scratch_t *hs;
	struct scan_matcher matcher;
	size_t *from;			/* per rule: in the segment */
	uint8_t *stream;		/* locked: what came and is not decided; NULL until it is needed */
	size_t stream_n, stream_max, segment_max;

	const char *path;		/* of this object */
	struct scan_sink *sink;
	bool failed, cut, begins;
	size_t told;
	uint64_t line, column;		/* of the segment's first byte */
	struct scan_hit hit[SCAN_HITS_MAX];
	size_t hits;

	uint64_t base;			/* of this segment in the object */
	struct rd bytes;
	size_t limit;
};

/* `final`: nothing follows this segment. */
void scan_settle(struct scan_scratch *s, bool final);
/* Lines and columns from byte `at` of the segment to byte `to`. */
void scan_walk(const struct scan_scratch *s, size_t at, size_t to, uint64_t *line, uint64_t *column);

#endif

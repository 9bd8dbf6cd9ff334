/*
 * fetch_filter.h - which filters of partial clones are taken
 *
 * Spec: git-rev-list(1) --filter: blob:none, blob:limit, tree, object:type, and combine of these.
 */
#ifndef GITPROXY_MIRROR_FETCH_FILTER_H
#define GITPROXY_MIRROR_FETCH_FILTER_H

#include "base/bytes.h"

enum { FILTER_PARTS_MAX = 4 };

bool fetch_filter_ok(struct rd spec);
/* Decimal digits alone, at least 1 and at most max. False: anything else. */
bool fetch_number(struct rd text, uint64_t max, uint64_t *ret);

#endif

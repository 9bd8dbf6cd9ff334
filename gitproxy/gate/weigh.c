/*
 * weigh.c - which findings refuse a push, and where they are
 *
 * Theory of operation: a finding in a file is known when what upstream has at its path, before the push,
 * holds the same secret under the same rule: the push tells upstream nothing new. What a push
 * brings itself makes nothing known, nor does one that was refused. Findings in messages, names of refs and
 * push options are always new. A path is shown unless there is a secret in it. Findings that refuse
 * are told first, for only so many are told.
 */
#include "gitproxy/gate/weigh.h"

#include <errno.h>
#include <string.h>

enum { PATH_SHOWN = (GATE_SHOWN - 4) / 4 };

static const char hidden[] = "(path not shown: a secret is in it)";

static bool known(const struct weigh_spec *s, const struct contents_hit *h, const struct checks_place *p)
{
	static const struct oid none;
	enum object_type type, want = h->place == GATE_NAME ? OBJECT_TREE : OBJECT_BLOB;
	struct rd bytes;

	if (!oid_compare(&p->before, &none) || objects_in_mirror(s->objects, &p->before) != 1)
		return false;
	if (objects_read(s->objects, &p->before, &type, &bytes) || type != want)
		return false;
	return contents_has(s->contents, type, bytes, h);
}

static void show_path(const struct weigh_spec *s, const char *path, struct gate_finding *f)
{
	if (contents_any(s->contents, rd_str(path)))
		memcpy(f->path, hidden, sizeof(hidden));
	else
		bytes_escape(rd_str(path), PATH_SHOWN, f->path, sizeof(f->path));
}

/* Where it is, and whether that changes its weight. */
static int place(const struct weigh_spec *s, struct contents_hit *h, struct gate_finding *f)
{
	struct checks_place p = { .object = h->object };
	int r;

	f->commit = h->place == GATE_COMMIT ? h->object : f->commit;
	if ((h->place != GATE_BLOB && h->place != GATE_NAME) || !s->checks)
		return 0;
	r = checks_find(s->checks, &p);
	if (!r) {
		f->commit = p.commit;
		if (p.path)
			show_path(s, p.path, f);
		if (h->weight == GATE_HELD && known(s, h, &p))
			h->weight = GATE_KNOWN;
	}
	free(p.path);
	return r;
}

static int tell_hit(const struct weigh_spec *s, struct contents_hit *h, struct gate_finding *f)
{
	int r;

	*f = (struct gate_finding){ .place = h->place, .index = h->index, .line = h->line, .column = h->column,
				    .object = h->object };
	strncpy(f->rule, h->rule->id, sizeof(f->rule) - 1);
	memcpy(f->fingerprint, h->fingerprint, sizeof(f->fingerprint));
	r = place(s, h, f);
	if (h->weight == GATE_HELD && s->warn_only)
		h->weight = GATE_WARNED;
	f->weight = h->weight;
	return r;
}

int weigh(const struct weigh_spec *s, struct tell *t)
{
	size_t n;
	struct contents_hit *h = contents_hits(s->contents, &n);
	AUTO(mem) struct gate_finding *f = calloc(n + 1, sizeof(*f));
	int r = f ? 0 : -ENOMEM;

	for (size_t i = 0; i < n && !r; i++)
		r = tell_hit(s, &h[i], &f[i]);
	for (unsigned weight = GATE_HELD; weight < GATE_WEIGHTS; weight++)
		for (size_t i = 0; i < n && !r; i++)
			if (f[i].weight == weight)
				tell_finding(t, &f[i]);
	if (contents_accepted(s->contents) > t->judged.findings[GATE_ACCEPTED])
		t->judged.findings[GATE_ACCEPTED] = (uint32_t)contents_accepted(s->contents);
	return r;
}

/*
 * names_write.c - the elements of a name: written, taken away, written again
 *
 * Theory of operation: an element's comment is the name, whole, so that every name is read back after
 * a restart. The kernel's user data hold 251 bytes of text and a name can have 253, so the longest
 * names are folded: a dot and the byte behind it become one byte that no name has. A name of 252 bytes
 * has three dots at least, since a label has 63 bytes at most.
 *
 * What is put or deleted here joins the transaction that the caller began, but for the refill and the
 * farewell, which are transactions of their own.
 */
#include "netd/names_table.h"

#include <errno.h>
#include <string.h>

#include "policy/mark.h"

_Static_assert(RULESET_NOTE_MAX + 3 >= (int)POLICY_NAME_MAX, "three dots are folded at least");

/* What may stand behind a dot, and what stands for both. */
static const char behind[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";
static const char folded[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ!#$%&()*+,/:";
_Static_assert(sizeof(behind) == sizeof(folded), "one for each");

void names_note(const char *text, char note[RULESET_NOTE_MAX + 1])
{
	bool fold = strlen(text) > RULESET_NOTE_MAX;
	size_t n = 0;

	for (; *text && n < RULESET_NOTE_MAX; text++) {
		const char *at = fold && *text == '.' && text[1] ? strchr(behind, text[1]) : NULL;

		note[n++] = at ? folded[at - behind] : *text;
		text += at != NULL;
	}
	note[n] = '\0';
}

bool names_of_note(const char *note, char text[POLICY_NAME_MAX + 1])
{
	char plain[POLICY_NAME_MAX + 1];
	struct wr w = wr_of((uint8_t *)plain, POLICY_NAME_MAX);

	for (; *note; note++) {
		const char *at = strchr(folded, *note);
		const char both[] = { '.', at ? behind[at - folded] : 0 };

		wr_put(&w, at ? both : note, at ? 2 : 1);
	}
	if (!wr_ok(&w))
		return false;
	plain[w.n] = '\0';
	return name_canonical(rd_str(plain), text) && !strcmp(plain, text);
}

static struct ruleset_elem elem_of(const struct names *t, const struct name *nm, uint8_t family,
				   enum ruleset_map map)
{
	struct ruleset_elem e = { .map = map, .addr = names_synthetic(t, nm, family) };

	names_note(nm->text, e.note);
	return e;
}

static int write_elem(struct names *t, const struct ruleset_elem *e, bool put)
{
	return put ? ruleset_put(t->rules, e) : ruleset_del(t->rules, e);
}

int names_write_grant(struct names *t, const struct name *nm, const struct name_grant *g, bool put)
{
	struct ruleset_elem e = elem_of(t, nm, g->family, MAP_GRANTS);

	e.mark = mark_of(g->profile, 0);
	e.proto = g->proto;
	e.port = g->port;
	e.action = g->action;
	return write_elem(t, &e, put);
}

static int write_real(struct names *t, const struct name *nm, const struct addr *real, bool put)
{
	struct ruleset_elem e = elem_of(t, nm, real->family, MAP_REAL);

	e.real = *real;
	return write_elem(t, &e, put);
}

int names_write_real(struct names *t, const struct name *nm, int f, const struct addr *to)
{
	int r = 0;

	if (addr_eq(to, &nm->real[f]))
		return 0;
	if (nm->real[f].family)
		r = write_real(t, nm, &nm->real[f], false);
	if (r >= 0 && to->family)
		r = write_real(t, nm, to, true);
	return r;
}

int names_write_name(struct names *t, const struct name *nm, bool put)
{
	int r = 0;

	for (uint8_t family = 4; r >= 0 && family <= 6; family += 2) {
		struct ruleset_elem e = elem_of(t, nm, family, MAP_NAMES);

		r = write_elem(t, &e, put);
	}
	return r;
}

/* Everything of one name: to put, the name first; to take away, the grants first. */
static int write_all(struct names *t, const struct name *nm, bool put)
{
	int r = put ? names_write_name(t, nm, true) : 0;

	for (size_t i = 0; !put && r >= 0 && i < nm->n_grants; i++)
		r = names_write_grant(t, nm, &nm->grants[i], false);
	for (int f = 0; r >= 0 && f < 2; f++)
		if (nm->real[f].family)
			r = write_real(t, nm, &nm->real[f], put);
	for (size_t i = 0; put && r >= 0 && i < nm->n_grants; i++)
		r = names_write_grant(t, nm, &nm->grants[i], true);
	return r < 0 || put ? r : names_write_name(t, nm, false);
}

static int finish(struct names *t, int r)
{
	if (r >= 0)
		return ruleset_commit(t->rules);
	ruleset_abort(t->rules);
	return r;
}

int names_refill(struct names *t)
{
	struct name *nm = names_after(t, 0);
	int r = 0;

	while (r >= 0 && nm) {
		r = ruleset_begin(t->rules);
		for (size_t i = 0; r >= 0 && nm && i < NAMES_CHUNK;
		     i++, nm = names_after(t, nm->index))
			if (nm->in_kernel)
				r = write_all(t, nm, true);
		r = finish(t, r);
	}
	return r;
}

static int farewell(struct names *t, struct name *const *nms, size_t n)
{
	int r = ruleset_begin(t->rules);

	for (size_t i = 0; r >= 0 && i < n; i++)
		if (nms[i]->in_kernel)
			r = write_all(t, nms[i], false);
	return finish(t, r);
}

int names_forget(struct names *t, struct name *const *nms, size_t n)
{
	int r = farewell(t, nms, n);

	if (r == -ENOENT && names_refill(t) >= 0) /* somebody else was here */
		r = farewell(t, nms, n);
	for (size_t i = 0; r >= 0 && i < n; i++)
		names_take_out(t, nms[i]);
	return r;
}

/*
 * kin.c - is what upstream has under a name still the repository that the mirror is of?
 *
 * Theory of operation: a repository may be deleted and another made under its name, whose readers are to
 * have nothing of the old one. Names tell nothing, so objects must. After upstream said that it is gone,
 * half of what was there must be there again, which whoever makes another cannot bring unless he has the
 * old one. Else, when nothing was seen, a common history is enough: branches are rewritten every day, and
 * to fetch all anew each time would be for nothing. What has none in common is another repository, and so
 * is one that is empty: it has nothing that it could share.
 * Not known: another that was begun with a commit of the old one's, between two questions.
 */
#include "gitproxy/mirror/kin.h"

#include <errno.h>

#include "gitproxy/deadline.h"
#include "gitproxy/mirror/git.h"
#include "gitproxy/mirror/refs.h"

enum { SOME = 16 };			/* tips that are compared by their histories, on either side */

static size_t common(const struct repo *x, const struct oid *tips, size_t n)
{
	size_t found = 0;

	for (size_t i = 0; n && i < x->n_tips; i++)
		found += bsearch(&x->tips[i], tips, n, sizeof(*tips), oid_compare) != NULL;
	return found;
}

bool kin_by_tips(const struct repo *x, const struct oid *tips, size_t n)
{
	size_t found = common(x, tips, n);

	return found && 2 * found >= x->n_tips;
}

/* Of some of these ids those that lead to a commit; as text. *ret_n of them. 0 or -errno. */
static int commits(const struct repo *x, const struct oid *oids, size_t n, char ret[SOME][OID_HEX_MAX + 1],
		   size_t *ret_n)
{
	static const char *const args[] = { "cat-file", "--batch-check=%(objectname)", NULL };
	char ask[SOME * (OID_HEX_MAX + 16)], answer[SOME * (OID_HEX_MAX + 32)];
	struct wr w = wr_of(ask, sizeof(ask)), said = wr_of(answer, sizeof(answer));
	struct rd text, line;
	int r;

	*ret_n = 0;
	for (size_t i = 0; i < n && i < SOME; i++) {
		oid_write(&w, &oids[i], x->format);
		wr_str(&w, "^{commit}\n");
	}
	r = w.n ? git_run_with(&(struct git_spec){ .dir = x->git, .args = args }, wr_rd(&w), &said) : 0;
	text = wr_rd(&said);
	while (!r && rd_left(&text)) {
		if (!rd_until(&text, '\n', &line))
			return -EBADMSG;
		if (line.n != 2 * oid_size(x->format))
			continue;			/* "... missing" */
		memcpy(ret[*ret_n], line.p, line.n);
		ret[(*ret_n)++][line.n] = 0;
	}
	return r;
}

/* Does the history of this one meet that of one of ours? 1, 0, -errno. */
static int meets(const struct repo *x, const char *tip, char ours[SOME][OID_HEX_MAX + 1], size_t n)
{
	const char *args[SOME + 3] = { "merge-base", tip };
	struct git_child c;
	int r;

	for (size_t i = 0; i < n; i++)
		args[i + 2] = ours[i];
	r = git_start(&(struct git_spec){ .dir = x->git, .args = args, .in = -1 }, &c);
	if (r < 0)
		return r;
	r = git_wait(&c, deadline_in(git_patience()));
	return r == 0 ? 1 : r == 1 ? 0 : r < 0 ? r : -EIO;
}

static int all_here(struct repo *x, const struct oid *tips, size_t n)
{
	AUTO(mem) struct oid *left = calloc(n + 1, sizeof(*left));
	int r;

	if (!left)
		return -ENOMEM;
	memcpy(left, tips, n * sizeof(*left));
	r = refs_missing(x, left, &n);
	return r < 0 ? r : n ? -EBADMSG : 0;
}

int kin_by_history(struct repo *x, const struct oid *tips, size_t n)
{
	char ours[SOME][OID_HEX_MAX + 1], theirs[SOME][OID_HEX_MAX + 1];
	size_t n_ours, n_theirs;
	int r, met = 0;

	if (common(x, tips, n))
		return 1;
	r = all_here(x, tips, n);
	if (!r)
		r = commits(x, x->tips, x->n_tips, ours, &n_ours);
	if (!r)
		r = commits(x, tips, n, theirs, &n_theirs);
	for (size_t i = 0; !r && !met && n_ours && i < n_theirs; i++)
		met = meets(x, theirs[i], ours, n_ours);
	return r < 0 ? r : met;
}

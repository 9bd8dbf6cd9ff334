/*
 * maintain.c - keep a mirror fast to read and free of leavings
 *
 * Theory of operation: each refresh adds a pack, and answers are slow to make from many packs without
 * bitmap. So: expired pins and loose references are folded, under the claim, since refreshes change
 * references too (moments); then, beside refreshes and readers and at idle priority, a geometric repack,
 * which joins small packs and leaves large ones alone, an index over all packs with a bitmap, and the
 * graph of commits. Why that is safe beside them: git writes the new pack, then the new index, each
 * whole under a temporary name, and only then removes packs that it copied every object of; a reader
 * that has a pack open keeps it, and one that finds it gone looks again and finds the objects in the
 * new one. A pack that a refresh moves in meanwhile was not in the list that is repacked, so it is not
 * removed. Geometric repacks drop no object, reachable or not, so what a refresh has found to be there
 * stays there. Should all this fail, the answer being made ends early, which is never taken for an
 * answer. Nothing of it makes the mirror wrong when it is killed half way: leavings are removed by the
 * next, when nobody writes.
 */
#define _XOPEN_SOURCE 700	/* nftw(3) */
#include "gitproxy/mirror/maintain.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "gitproxy/mirror/files.h"
#include "gitproxy/mirror/git.h"
#include "gitproxy/mirror/lenient.h"
#include "gitproxy/mirror/refs.h"

enum { PACKS = 5,			/* so many more than after the last time are many */
       SHARE = 4,			/* a quarter of all is much */
       PATH_BYTES = 2048 };

static unsigned count_packs(const struct repo *x, bool *ret_index)
{
	char path[PATH_BYTES];
	DIR *d = snprintf(path, sizeof(path), "%s/objects/pack", x->git) < (int)sizeof(path) ? opendir(path) : NULL;
	unsigned n = 0;

	*ret_index = false;
	for (struct dirent *e; d && (e = readdir(d));) {
		const char *dot = strrchr(e->d_name, '.');

		n += dot && !strcmp(dot, ".pack");
		*ret_index |= !strcmp(e->d_name, "multi-pack-index");
	}
	if (d)
		closedir(d);
	return n;
}

bool maintain_due(struct repo *x)
{
	bool warm, much, index;
	unsigned packs = count_packs(x, &index), before;

	pthread_mutex_lock(&x->lock);
	warm = x->state == REPO_WARM;
	much = x->fresh_bytes > x->bytes / SHARE;
	before = x->packs;
	pthread_mutex_unlock(&x->lock);
	return warm && packs && (!index || much || packs >= before + PACKS);
}

static int git(const struct repo *x, const char *const *args)
{
	return git_run(&(struct git_spec){ .dir = x->git, .args = args, .in = -1, .idle = true }, NULL);
}

/* What changes references, or files that a refresh may be writing. Refreshes wait for it: it does not give way. */
static int fold(struct repo *x)
{
	static const char *const pack_refs[] = { "pack-refs", "--all", NULL };
	int r;

	if (!repo_claim_now(x))
		return 0;			/* the next time, then */
	r = files_sweep(x->git);
	if (!r)
		r = refs_expire(x, time(NULL) / REFS_DAY);
	if (!r)
		r = git_run(&(struct git_spec){ .dir = x->git, .args = pack_refs, .in = -1 }, NULL);
	repo_release(x);
	return r;
}

int maintain_run(struct repo *x)
{
	static const char *const repack[] = { "repack", "--geometric=2", "-d", "-q", "--write-midx",
					      "--write-bitmap-index", NULL };
	static const char *const graph[] = { "commit-graph", "write", "--reachable", "--split", "--no-progress", NULL };
	uint64_t fresh = x->fresh_bytes;
	bool index;
	int r = fold(x);

	if (!r)
		r = git(x, repack);
	if (!r)
		r = git(x, graph);
	pthread_mutex_lock(&x->lock);
	x->unmeasured = true;
	x->fresh_bytes -= r ? 0 : fresh;
	x->packs = r ? x->packs : count_packs(x, &index);
	pthread_mutex_unlock(&x->lock);
	return r;
}

int maintain_verify(struct repo *x, bool full)
{
	static const char *const args[] = { LENIENT_FSCK, "fsck", "--no-dangling", "--no-reflogs", "--no-progress", NULL,
					    NULL };
	const char *argv[ARRAY_SIZE(args)];
	int r;

	memcpy(argv, args, sizeof(args));
	argv[ARRAY_SIZE(args) - 2] = full ? "--full" : "--connectivity-only";
	r = git(x, argv);
	return r == -EIO ? -EBADMSG : r;
}

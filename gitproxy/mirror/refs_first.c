/*
 * refs_first.c - the first references of a mirror
 *
 * Theory of operation: `git update-ref` makes a file for each, which takes tens of seconds where
 * there are tens of thousands. Nothing is there yet, so all are written at once as git packs them:
 * `packed-refs`, under another name first. What git would have refused is looked for here: a name
 * that is a folder of another one, and a branch that is no commit. Spec: gitrepository-layout(5);
 * the format is what pack-refs writes, and git reads what it says of peeled tags as not said.
 */
#include "gitproxy/mirror/refs_first.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "gitproxy/mirror/git.h"
#include "gitproxy/refname.h"

#define HEADER "# pack-refs with: sorted \n"
#define COMMIT "commit\n"
enum { LINE = REFNAME_MAX + OID_HEX_MAX + 2, PATH_BYTES = 2048 };

static int name_order(const void *a, const void *b)
{
	const struct refs_name *l = a, *r = b;
	size_t n = l->name.n < r->name.n ? l->name.n : r->name.n;
	int c = memcmp(l->name.p, r->name.p, n);

	return c ? c : (l->name.n > r->name.n) - (l->name.n < r->name.n);
}

/* Of a/b/c neither a nor a/b may be another. */
static bool in_a_name(const struct refs_name *refs, size_t n, struct rd name)
{
	for (size_t i = 0; i < name.n; i++) {
		struct refs_name folder = { .name = rd_of(name.p, i) };

		if (name.p[i] == '/' && bsearch(&folder, refs, n, sizeof(*refs), name_order))
			return true;
	}
	return false;
}

static bool names_fit(const struct refs_name *refs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (in_a_name(refs, n, refs[i].name))
			return false;
	return true;
}

static int write_all(int fd, struct rd text)
{
	while (rd_left(&text)) {
		ssize_t n = write(fd, text.p, text.n);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0 && !rd_skip(&text, (size_t)n))
			return -EIO;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

static int write_packed(const char *path, const struct refs_name *refs, size_t n, enum object_format f)
{
	size_t cap = sizeof(HEADER) + n * LINE;
	AUTO(mem) uint8_t *text = malloc(cap);
	struct wr w = wr_of(text, text ? cap : 0);
	AUTO(fd) int fd = -1;

	if (!text)
		return -ENOMEM;
	wr_str(&w, HEADER);
	for (size_t i = 0; i < n; i++) {
		oid_write(&w, &refs[i].oid, f);
		wr_u8(&w, ' ');
		wr_rd_all(&w, refs[i].name);
		wr_u8(&w, '\n');
	}
	if (!wr_ok(&w))
		return -E2BIG;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : write_all(fd, wr_rd(&w));
}

/* As git sees them. */
static int branches_are_commits(struct repo *x, size_t n)
{
	static const char *const args[] = { "for-each-ref", "--format=%(objecttype)", "refs/heads/", NULL };
	size_t cap = n * sizeof(COMMIT) + 1;
	AUTO(mem) uint8_t *text = malloc(cap);
	struct wr w = wr_of(text, text ? cap : 0);
	struct rd line;
	int r = text ? git_run(&(struct git_spec){ .dir = x->git, .args = args, .in = -1 }, &w) : -ENOMEM;

	line = wr_rd(&w);
	while (!r && rd_left(&line))
		if (!rd_prefix(&line, COMMIT))
			return -EBADMSG;
	return r;
}

int refs_write_first(struct repo *x, const struct refs_name *refs, size_t n)
{
	char path[PATH_BYTES], fresh[PATH_BYTES];
	struct stat st;
	int r;

	if (snprintf(path, sizeof(path), "%s/packed-refs", x->git) >= (int)sizeof(path) ||
	    snprintf(fresh, sizeof(fresh), "%s.first", path) >= (int)sizeof(fresh))
		return -ENAMETOOLONG;
	if (!lstat(path, &st))
		return -EEXIST;
	if (!names_fit(refs, n))
		return -EBADMSG;
	r = write_packed(fresh, refs, n, x->format);
	if (!r && rename(fresh, path) < 0)
		r = -errno;
	if (!r)
		r = branches_are_commits(x, n);
	if (r < 0) {
		unlink(fresh);
		unlink(path);
	}
	return r;
}

/*
 * git_path.c - what a request target on a git host asks for
 *
 * Theory of operation: the raw bytes of the target are cut at '?' and at '/', and the segments must
 * match one row of the table of endings below; what stands before the ending is the repository.
 * There is no decoding step: a '%', a backslash, a semicolon or any other byte outside
 * [A-Za-z0-9._/-] is refused, so there is nothing on which we and the upstream could differ.
 * Spellings that some server might fold onto another repository ("x.git.git", "x.GIT", "x.") are
 * refused too. One ".git" is stripped, and that form is the one which is decided on and dialled
 * (the keeper appends ".git").
 * Invariants: allocates nothing, borrows nothing, outputs are complete copies.
 * Fuzzed by tests/fuzz/fuzz_git_path.c.
 */
#include "gitproxy/git_path.h"

enum { SEGMENTS_MAX = GP_DEPTH_MAX + 16 };	/* LFS paths have a tail of their own */

struct segments {
	struct rd seg[SEGMENTS_MAX];
	size_t n;
};

/* What may stand behind the repository. Rows with a reason are known, and refused by that name. */
static const struct ending {
	const char *seg[2];
	size_t n;
	enum gp_kind kind;
	enum git_service service;
	enum reason reason;
} endings[] = {
	{ { "info", "refs" }, 2, GP_INFO_REFS, GIT_SERVICE_NONE, REASON_NONE },
	{ { "git-upload-pack" }, 1, GP_RPC, GIT_SERVICE_UPLOAD_PACK, REASON_NONE },
	{ { "git-receive-pack" }, 1, GP_RPC, GIT_SERVICE_RECEIVE_PACK, REASON_NONE },
	{ { "git-upload-archive" }, 1, GP_NONE, GIT_SERVICE_NONE, REASON_SERVICE_NOT_ALLOWED },
	{ { "HEAD" }, 1, GP_NONE, GIT_SERVICE_NONE, REASON_DUMB_HTTP_NOT_ALLOWED },
};

static bool is_alnum(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool only_path_bytes(struct rd r)
{
	uint8_t c;

	while (rd_left(&r))
		if (!rd_u8(&r, &c) || !c || !(is_alnum(c) || strchr("._/-", c)))
			return false;
	return true;
}

static bool ends_nocase(struct rd r, const char *tail)
{
	size_t n = strlen(tail);
	struct rd end;

	return r.n >= n && rd_skip(&r, r.n - n) && rd_take(&r, n, &end) && rd_eq_nocase(end, tail);
}

/* An owner where there is exactly one level: what GitHub and its like allow. */
static bool owner_ok(struct rd r)
{
	uint8_t c;

	if (!r.n || r.n > GP_OWNER_MAX || r.p[0] == '-')
		return false;
	while (rd_left(&r))
		if (!rd_u8(&r, &c) || !(is_alnum(c) || c == '-'))
			return false;
	return true;
}

/* A repository's name without its .git, or a group's. The bytes were checked before. */
static bool name_ok(struct rd r)
{
	if (!r.n || r.n > GP_NAME_MAX || r.p[r.n - 1] == '.' || ends_nocase(r, ".git"))
		return false;
	return true;			/* "." and ".." end with a dot as well */
}

/* A group of a nested path; none starts with a dot, a dash or an underscore. */
static bool group_ok(struct rd r)
{
	return name_ok(r) && is_alnum(r.p[0]);
}

static bool split(struct rd path, struct segments *ret)
{
	struct rd seg;
	bool more;

	ret->n = 0;
	if (!rd_prefix(&path, "/"))
		return false;
	do {
		more = rd_has(path, '/');
		seg = rd_piece(&path, '/');
		if (!seg.n || ret->n == SEGMENTS_MAX)
			return false;
		ret->seg[ret->n++] = seg;
	} while (more);
	return true;
}

static bool ending_matches(const struct segments *s, const struct ending *e)
{
	for (size_t i = 0; i < e->n; i++)
		if (!rd_eq_str(s->seg[s->n - e->n + i], e->seg[i]))
			return false;
	return true;
}

/* The row whose ending stands behind a path of a permitted depth, and that depth. */
static const struct ending *ending_of(const struct segments *s, bool nested, size_t *ret_depth)
{
	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		const struct ending *e = &endings[i];

		if (s->n < e->n + 2 || !ending_matches(s, e))
			continue;
		*ret_depth = s->n - e->n;
		if (*ret_depth == 2 || (nested && *ret_depth <= GP_DEPTH_MAX))
			return e;
	}
	return NULL;
}

/* info/lfs/... behind a repository, whatever follows: no groups are called so. */
static bool is_lfs(const struct segments *s, bool nested, size_t *ret_depth)
{
	for (size_t i = 2; i + 2 < s->n && i <= (nested ? GP_DEPTH_MAX : 2); i++) {
		if (!rd_eq_str(s->seg[i], "info") || !rd_eq_str(s->seg[i + 1], "lfs"))
			continue;
		*ret_depth = i;
		return true;
	}
	return false;
}

/* One .git off the end of a name, if it is there. */
static struct rd without_git(struct rd name)
{
	struct rd head;

	if (name.n > 4 && rd_eq_str(rd_of(name.p + name.n - 4, 4), ".git") &&
	    rd_take(&name, name.n - 4, &head))
		return head;
	return name;
}

static bool repo_of(const struct segments *s, size_t depth, bool nested, char out[GP_REPO_MAX + 1])
{
	struct wr w = wr_of(out, GP_REPO_MAX);

	for (size_t i = 0; i < depth; i++) {
		bool last = i + 1 == depth;
		struct rd name = last ? without_git(s->seg[i]) : s->seg[i];

		if (!(last ? name_ok(name) : nested ? group_ok(name) : owner_ok(name)))
			return false;
		wr_rd_all(&w, name);
		if (!last)
			wr_str(&w, "/");
	}
	out[wr_ok(&w) ? w.n : 0] = '\0';
	return wr_ok(&w);
}

/* info/refs has exactly one parameter; everything else has none. */
static enum reason query_reason(bool has_query, struct rd query, struct gp_path *io)
{
	if (io->kind != GP_INFO_REFS)
		return has_query ? REASON_NOT_GIT : REASON_NONE;
	if (!has_query)
		return REASON_DUMB_HTTP_NOT_ALLOWED;
	if (rd_eq_str(query, "service=git-upload-pack"))
		io->service = GIT_SERVICE_UPLOAD_PACK;
	else if (rd_eq_str(query, "service=git-receive-pack"))
		io->service = GIT_SERVICE_RECEIVE_PACK;
	else
		return REASON_SERVICE_NOT_ALLOWED;
	return REASON_NONE;
}

/* ---- Git LFS ---- */

static bool hex_read(struct rd text, uint8_t *ret, size_t n)
{
	return rd_hex(&text, ret, n) && rd_done(&text);
}

/* What stands behind info/lfs. Objects have one spelling of their id: lower case. */
static enum gp_kind lfs_kind(const struct segments *s, size_t at, bool has_query, struct gp_path *io)
{
	size_t n = s->n - at;

	if (rd_eq_str(s->seg[at], "locks"))
		return GP_LFS_LOCKS;		/* and all below it */
	if (n < 2 || !rd_eq_str(s->seg[at], "objects"))
		return GP_LFS_OTHER;
	if (n == 2 && rd_eq_str(s->seg[at + 1], "batch"))
		return has_query ? GP_LFS_OTHER : GP_LFS_BATCH;
	if (!hex_read(s->seg[at + 1], io->oid, LFS_OID))
		return GP_LFS_OTHER;
	if (n == 2)
		return GP_LFS_OBJECT;
	return n == 3 && rd_eq_str(s->seg[at + 2], "verify") ? GP_LFS_VERIFY : GP_LFS_OTHER;
}

static void lfs_classify(const struct segments *s, size_t at, bool has_query, struct rd query,
			 struct gp_path *io)
{
	io->kind = lfs_kind(s, at, has_query, io);
	if ((io->kind == GP_LFS_OBJECT || io->kind == GP_LFS_VERIFY) && rd_prefix(&query, "link=") &&
	    !hex_read(query, io->link, LFS_LINK))
		memset(io->link, 0, sizeof(io->link));
}

static enum reason classify(struct rd target, bool nested, struct gp_path *io)
{
	bool has_query = rd_has(target, '?');
	struct rd path = rd_piece(&target, '?'), query = target;
	const struct ending *e = NULL;
	struct segments s;
	size_t depth;
	bool lfs;

	if (!only_path_bytes(path) || !split(path, &s))
		return REASON_NOT_GIT;
	lfs = is_lfs(&s, nested, &depth);
	if (!lfs)
		e = ending_of(&s, nested, &depth);
	if (!lfs && !e)
		return REASON_NOT_GIT;
	if (!repo_of(&s, depth, nested, io->repo)) {
		io->repo[0] = '\0';
		return REASON_NOT_GIT;
	}
	if (lfs) {
		lfs_classify(&s, depth + 2, has_query, query, io);
		return REASON_NONE;
	}
	if (e->reason != REASON_NONE)
		return e->reason;
	io->kind = e->kind;
	io->service = e->service;
	return query_reason(has_query, query, io);
}

enum parse gp_path_parse(struct rd target, bool nested, struct gp_path *ret,
			 enum reason *ret_reason)
{
	*ret = (struct gp_path){ 0 };
	*ret_reason = classify(target, nested, ret);
	if (*ret_reason == REASON_NONE)
		return PARSE_OK;
	ret->kind = GP_NONE;
	return PARSE_BAD;
}

bool gp_repo_valid(struct rd repo, bool nested)
{
	struct segments s;
	char again[GP_REPO_MAX + 1], path[GP_REPO_MAX + 2];
	struct wr w = wr_of(path, sizeof(path));

	wr_str(&w, "/");
	wr_rd_all(&w, repo);
	if (!wr_ok(&w) || !only_path_bytes(repo) || !split(wr_rd(&w), &s))
		return false;
	if (s.n < 2 || s.n > (nested ? GP_DEPTH_MAX : 2))
		return false;
	return repo_of(&s, s.n, nested, again) && rd_eq_str(repo, again);
}

/*
 * git_moved.c - where a git server says that a repository is now
 *
 * Theory of operation: a renamed repository answers with a redirect to the same request under its
 * new name. Only that form is known: https, the very host, its own port, and a path of git_path.c
 * that asks for the same thing. Another host, port or scheme, another service, a page to log in:
 * PARSE_BAD, and nothing of it is used. What is returned is a name, not a place: the caller has the
 * policy decide on it, and the request is built anew.
 * Input: an untrusted server's field. Allocates nothing. Fuzzed by tests/fuzz/fuzz_git_moved.c.
 */
#include "gitproxy/git_moved.h"

/* Takes the scheme and the authority off; a path alone stays as it is. */
static bool same_place(struct rd *io, const char *host)
{
	struct rd name, with_port;
	char canonical[POLICY_NAME_MAX + 1];
	size_t n = 0;

	if (io->n && io->p[0] == '/')
		return io->n < 2 || io->p[1] != '/';	/* "//host/path" names a host */
	if (!rd_prefix(io, "https://"))
		return false;
	while (n < io->n && io->p[n] != '/')
		n++;
	if (!rd_take(io, n, &name))
		return false;
	with_port = name;
	if (n > 4 && rd_eq_str(rd_of(name.p + n - 4, 4), ":443") &&
	    !rd_take(&with_port, n - 4, &name))
		return false;
	return name_canonical(name, canonical) && !strcmp(canonical, host);
}

enum parse gp_moved_parse(struct rd location, const char *host, enum gp_kind kind,
			  enum git_service service, char ret_repo[GP_REPO_MAX + 1])
{
	struct gp_path path;
	enum reason reason;

	ret_repo[0] = '\0';
	if (!same_place(&location, host) ||
	    gp_path_parse(location, true, &path, &reason) != PARSE_OK || path.kind != kind ||
	    path.service != service)
		return PARSE_BAD;
	memcpy(ret_repo, path.repo, sizeof(path.repo));
	return PARSE_OK;
}

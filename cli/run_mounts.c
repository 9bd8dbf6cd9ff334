/*
 * run_mounts.c - what a command in `cordon run` sees of the file system
 *
 * Theory of operation: the whole of / is bound read-only. On top come, parents before children,
 * private tmpfs where the host keeps run-time and scratch files, the writable directories, and
 * tmpfs over Cordon's own directories. A mask below something that is already private is left out.
 * Refused: a writable directory that is one of the private or masked ones, for it would open them
 * again. Reading a mount read-only does not stop connect(2) to a UNIX socket in it, and no list of
 * sockets says under which names they can be found: run_seccomp.c takes away connecting at all.
 */
#include "cli/run_mounts.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

/* Run-time and scratch files; and the host's interfaces, which sysfs shows whatever the namespace.
 */
static const char *const private_dirs[] = {
	"/tmp", "/run", "/var/tmp", "/var/run", "/sys/class/net", "/sys/devices/virtual/net"
};
static const char *const never_writable[] = { "/", "/dev", "/proc", "/sys", "/run", "/var/run" };

static bool below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return !strncmp(path, dir, n) && (path[n] == '/' || !path[n] || !strcmp(dir, "/"));
}

static int add(struct mounts *m, enum mount_kind kind, const char *path)
{
	if (m->n == MOUNTS_MAX)
		return cli_fail("run: more than %d directories", MOUNTS_MAX);
	m->m[m->n].kind = kind;
	m->m[m->n].path = strdup(path);
	return m->m[m->n++].path ? EXIT_DONE : cli_fail("out of memory");
}

/* The deepest mount that covers a path decides what is seen there; NULL: the read-only root. */
static const struct mount *cover(const struct mounts *m, const char *path)
{
	const struct mount *best = NULL;

	for (size_t i = 0; i < m->n; i++)
		if (below(path, m->m[i].path) &&
		    (!best || strlen(m->m[i].path) > strlen(best->path)))
			best = &m->m[i];
	return best;
}

static const struct mount *exactly(const struct mounts *m, const char *path)
{
	const struct mount *by = cover(m, path);

	return by && !strcmp(by->path, path) ? by : NULL;
}

static bool is_directory(const char *path, char real[PATH_MAX])
{
	struct stat st;

	if (!realpath(path, real) || stat(real, &st) < 0)
		return false;
	errno = ENOTDIR;
	return S_ISDIR(st.st_mode);
}

/* A private place: once, by its real name. */
static int add_empty(struct mounts *m, const char *path)
{
	char real[PATH_MAX];

	if (!path || !is_directory(path, real) || exactly(m, real) || !strcmp(real, "/"))
		return EXIT_DONE;
	return add(m, MOUNT_EMPTY, real);
}

static int plan_private(struct mounts *m)
{
	char user_dir[64];
	int r = EXIT_DONE;

	for (size_t i = 0; !r && i < ARRAY_SIZE(private_dirs); i++)
		r = add_empty(m, private_dirs[i]);
	snprintf(user_dir, sizeof(user_dir), "/run/user/%u", getuid());
	if (!r)
		r = add_empty(m, user_dir);
	return r ? r : add_empty(m, getenv("XDG_RUNTIME_DIR"));
}

static int plan_masks(const struct jail *j, struct mounts *m)
{
	char secrets[PATH_MAX + 16];
	const char *dirs[] = { j->config_dir,	j->cfg->profiles_dir, secrets,
			       j->cfg->run_dir, j->cfg->state_dir,    j->cfg->log_dir };
	int r = EXIT_DONE;

	snprintf(secrets, sizeof(secrets), "%s/secrets", j->config_dir);
	for (size_t i = 0; !r && i < ARRAY_SIZE(dirs); i++)
		r = add_empty(m, dirs[i]);
	return r;
}

static bool may_write(const struct mounts *m, const char *real)
{
	for (size_t i = 0; i < ARRAY_SIZE(never_writable); i++)
		if (!strcmp(real, never_writable[i]))
			return false;
	return !exactly(m, real) && !below(real, "/proc") && !below(real, "/sys") &&
	       !below(real, "/dev");
}

static bool is_writable(const struct mounts *m, const char *real)
{
	const struct mount *by = exactly(m, real);

	return by && by->kind == MOUNT_READ_WRITE;
}

static int plan_rw(struct mounts *m, const char *path)
{
	char real[PATH_MAX];

	if (!is_directory(path, real))
		return cli_misuse("run: --rw %s: %s: give a directory that the user can reach",
				  path, strerror(errno));
	if (is_writable(m, real))
		return EXIT_DONE;
	if (!may_write(m, real))
		return cli_misuse("run: --rw %s: holds things of the host or of Cordon: give a "
				  "directory below it",
				  real);
	return add(m, MOUNT_READ_WRITE, real);
}

static int plan_writable(const struct jail *j, struct mounts *m)
{
	int r = EXIT_DONE;

	for (size_t i = 0; !r && i < j->rw->n; i++)
		r = plan_rw(m, j->rw->text[i]);
	if (r || is_writable(m, j->cwd))
		return r;
	if (may_write(m, j->cwd))
		return add(m, MOUNT_READ_WRITE, j->cwd);
	cli_warn("run: the working directory %s is %s inside: it holds things of the host or of "
		 "Cordon",
		 j->cwd, exactly(m, j->cwd) ? "empty" : "read-only");
	return EXIT_DONE;
}

/* Masks of places that are private anyway would only tell their names. */
static bool is_hidden(const struct mounts *m, const struct mount *one)
{
	const struct mount *by;
	char parent[PATH_MAX];
	char *slash;

	snprintf(parent, sizeof(parent), "%s", one->path);
	slash = strrchr(parent, '/');
	slash[slash == parent] = 0;
	by = cover(m, parent);
	return one->kind == MOUNT_EMPTY && by && by->kind == MOUNT_EMPTY;
}

static void drop_hidden(struct mounts *m)
{
	bool hidden[MOUNTS_MAX];
	size_t kept = 0;

	for (size_t i = 0; i < m->n; i++)
		hidden[i] = is_hidden(m, &m->m[i]);
	for (size_t i = 0; i < m->n; i++)
		if (hidden[i])
			free(m->m[i].path);
		else
			m->m[kept++] = m->m[i];
	m->n = kept;
}

static int by_depth(const void *a, const void *b)
{
	const struct mount *x = a, *y = b;
	size_t nx = strlen(x->path), ny = strlen(y->path);

	return nx < ny ? -1 : nx > ny ? 1 : strcmp(x->path, y->path);
}

int run_mounts_plan(const struct jail *j, struct mounts *ret)
{
	int r = plan_private(ret);

	if (!r)
		r = plan_masks(j, ret);
	if (!r)
		r = plan_writable(j, ret);
	if (r)
		return r;
	qsort(ret->m, ret->n, sizeof(ret->m[0]), by_depth);
	drop_hidden(ret);
	return EXIT_DONE;
}

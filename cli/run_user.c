/*
 * run_user.c - who called `cordon run` through sudo
 *
 * Theory of operation: sudo leaves the caller in SUDO_UID and SUDO_GID. A root caller is refused,
 * for a command that runs as root of the host's files is not what anybody wants in a sandbox;
 * --as-root (for containers whose only user is root) runs it as a number that owns nothing. Groups
 * are the user's own from the group database, not those of the process.
 */
#include "cli/run_user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static bool id_of(const char *variable, unsigned *ret)
{
	const char *text = getenv(variable);
	char *end;
	unsigned long v;

	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || *end || v >= (unsigned)-1)
		return false;
	*ret = (unsigned)v;
	return true;
}

static void nobody(struct run_user *u, uid_t uid, gid_t gid)
{
	*u = (struct run_user){ .uid = uid, .gid = gid, .n_groups = 1, .groups = { gid } };
	snprintf(u->name, sizeof(u->name), "%u", uid);
	snprintf(u->home, sizeof(u->home), "/tmp");
	snprintf(u->shell, sizeof(u->shell), "/bin/sh");
}

static void from_database(struct run_user *u)
{
	const struct passwd *pw = getpwuid(u->uid);
	int n = RUN_GROUPS_MAX;

	if (!pw)
		return;
	snprintf(u->name, sizeof(u->name), "%s", pw->pw_name);
	snprintf(u->home, sizeof(u->home), "%s", pw->pw_dir);
	if (*pw->pw_shell)
		snprintf(u->shell, sizeof(u->shell), "%s", pw->pw_shell);
	if (getgrouplist(u->name, u->gid, u->groups, &n) >= 0)
		u->n_groups = n;
}

int run_user_of_caller(bool as_root, struct run_user *ret)
{
	unsigned uid = 0, gid = 0;
	bool known = id_of("SUDO_UID", &uid) && id_of("SUDO_GID", &gid);

	if (as_root) {
		nobody(ret, RUN_UID_AS_ROOT, RUN_UID_AS_ROOT);
		return EXIT_DONE;
	}
	if (!known || !uid)
		return cli_fail(
			"run: the calling user is root: call it as a user through sudo, or give "
			"--as-root to run the command as an unprivileged user");
	nobody(ret, uid, gid);
	from_database(ret);
	return EXIT_DONE;
}

int run_user_become(const struct run_user *u)
{
	uid_t r, e, s;

	if (setgroups((size_t)u->n_groups, u->groups) < 0 ||
	    setresgid(u->gid, u->gid, u->gid) < 0 || setresuid(u->uid, u->uid, u->uid) < 0)
		return -errno;
	if (getresuid(&r, &e, &s) < 0 || r != u->uid || e != u->uid || s != u->uid || !u->uid)
		return -EPERM;
	return 0;
}

/*
 * repository.c - every object of a repository, by git's own programs
 *
 * Theory of operation: `git rev-list` lists what references lead to, oldest commit first and each
 * object after the first commit that has it; its lines go straight into `git cat-file --batch`, whose
 * answers are read here: a header line, then so many bytes. Blobs, commits and tags are scanned,
 * trees are not (the paths of what is in them are). Both run without a network, without lazy
 * fetching, replacement objects and the caller's or the system's configuration; the repository's own
 * can then start nothing. Git itself refuses another user's repository.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/proc.h"
#include "gitproxy/scan/files/source.h"

static const char *const environment[] = {
	"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/nonexistent", "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1",
	"GIT_CONFIG_GLOBAL=/dev/null", "GIT_ALLOW_PROTOCOL=none", "GIT_TERMINAL_PROMPT=0",
	"GIT_NO_REPLACE_OBJECTS=1", "GIT_NO_LAZY_FETCH=1", "GIT_OPTIONAL_LOCKS=0", NULL,
};

static bool has(const char *path, const char *name)
{
	AUTO(mem) char *full = NULL;

	return asprintf(&full, "%s/%s", path, name) >= 0 && access(full, F_OK) == 0;
}

bool source_is_repository(const char *path)
{
	return has(path, ".git") || (has(path, "HEAD") && has(path, "objects") && has(path, "refs"));
}

/* git ARGS in the repository, stdin and stdout as given. */
static pid_t start(const char *const *argv, int in, int out)
{
	const struct proc_fd fds[] = { { in, 0 }, { out, 1 } };
	struct proc_spec spec = {
		.path = "/usr/bin/git", .argv = argv, .envp = environment, .fds = in < 0 ? fds + 1 : fds,
		.nfds = in < 0 ? 1 : 2, .die_with_parent = true,
	};
	pid_t pid = -1;
	int pidfd = -1;

	if (proc_spawn(&spec, &pid, &pidfd) < 0)
		return -1;
	close(pidfd);
	return pid;
}

static bool ended_well(pid_t pid)
{
	int status = -1;

	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && WIFEXITED(status) && !WEXITSTATUS(status);
}

struct header { char oid[65], type[8]; uint64_t size; const char *path; };

/* "OID TYPE SIZE PATH\n": all but the path is git's. False: "OID missing", or no such line. */
static bool parse_header(char *line, struct header *h)
{
	int at = 0;

	line[strcspn(line, "\n")] = 0;
	if (sscanf(line, "%64[0-9a-f] %7[a-z] %" SCNu64 "%n", h->oid, h->type, &h->size, &at) != 3 || !at)
		return false;
	h->path = line[at] == ' ' ? line + at + 1 : line + at;
	return true;
}

static bool skip(const struct source *s, FILE *from, uint64_t n, bool scan)
{
	while (n) {
		size_t want = n < SOURCE_PIECE ? (size_t)n : SOURCE_PIECE;
		size_t got = fread(s->piece, 1, want, from);

		if (scan)
			report_bytes(s->report, s->scratch, rd_of(s->piece, got));
		if (got < want)
			return false;
		n -= want;
	}
	return fgetc(from) == '\n';
}

static bool scan_object(const struct source *s, FILE *from, const struct header *h)
{
	bool tree = !strcmp(h->type, "tree"), commit = !strcmp(h->type, "commit"), whole;

	if (commit)
		memcpy(s->report->commit, h->oid, sizeof(h->oid));
	if (tree)
		return skip(s, from, h->size, false);
	report_begin(s->report, s->scratch, commit ? "(commit)" : *h->path ? h->path : "(no path)");
	whole = skip(s, from, h->size, true);
	report_end(s->report, s->scratch);
	return whole;
}

/* False: the stream broke off. */
static bool scan_all(const struct source *s, FILE *from)
{
	AUTO(mem) char *line = NULL;
	size_t cap = 0;
	bool ok = true;

	while (ok && getline(&line, &cap, from) > 0) {
		struct header h = { 0 };

		if (parse_header(line, &h))
			ok = scan_object(s, from, &h);
		else
			report_fail(s->report, line, "this object is not there (a partial clone?): not scanned");
	}
	return ok && !ferror(from);
}

void source_repository(const struct source *s, const char *path)
{
	const char *list[] = { "git", "-C", path, "rev-list", "--objects", "--in-commit-order", "--reverse",
			       "--all", NULL };
	const char *cat[] = { "git", "-C", path, "cat-file", "--buffer",
			      "--batch=%(objectname) %(objecttype) %(objectsize) %(rest)", NULL };
	int names[2] = { -1, -1 }, objects[2] = { -1, -1 };
	pid_t lister, reader;
	bool ok = false;
	FILE *from = NULL;

	if (pipe2(names, O_CLOEXEC) < 0 || pipe2(objects, O_CLOEXEC) < 0) {
		report_fail(s->report, path, strerror(errno));
		return;
	}
	lister = start(list, -1, names[1]);
	reader = lister > 0 ? start(cat, names[0], objects[1]) : -1;
	close(names[0]);
	close(names[1]);
	close(objects[1]);
	from = fdopen(objects[0], "r");
	if (from && reader > 0) {
		setvbuf(from, (char *)s->buffer, _IOFBF, SOURCE_BUFFER);
		ok = scan_all(s, from);
	}
	if (from)
		fclose(from);
	*s->report->commit = 0;
	/* Both ends are awaited, whatever the first says. */
	ok &= ended_well(lister);
	ok &= ended_well(reader);
	if (!ok)
		report_fail(s->report, path, "git could not read all of it; what it says is above");
}

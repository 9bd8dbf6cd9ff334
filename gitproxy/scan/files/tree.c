/*
 * tree.c - every file below a path
 *
 * Theory of operation: symbolic links are not followed, what they point at is scanned as a text;
 * .git of a work tree is left out, as its objects are compressed (scan the repository for them);
 * devices, sockets and FIFOs hold no bytes of their own.
 */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gitproxy/scan/files/source.h"

static void scan_file(const struct source *s, const char *path)
{
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	ssize_t n = 1;

	if (fd < 0 || fstat(fd, &st) < 0) {
		report_fail(s->report, path, strerror(errno));
		return;
	}
	if (!S_ISREG(st.st_mode))
		return;
	report_begin(s->report, s->scratch, path);
	while (n > 0 || (n < 0 && errno == EINTR)) {
		n = read(fd, s->piece, SOURCE_PIECE);
		if (n > 0)
			report_bytes(s->report, s->scratch, rd_of(s->piece, (size_t)n));
	}
	if (n < 0)
		report_fail(s->report, path, strerror(errno));
	report_end(s->report, s->scratch);
}

static void scan_link(const struct source *s, const char *path)
{
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof(target));

	if (n < 0) {
		report_fail(s->report, path, strerror(errno));
		return;
	}
	report_begin(s->report, s->scratch, path);
	report_bytes(s->report, s->scratch, rd_of(target, (size_t)n));
	report_end(s->report, s->scratch);
}

void source_files(const struct source *s, const char *path)
{
	char *const paths[] = { (char *)path, NULL };
	FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	FTSENT *e;

	if (!walk) {
		report_fail(s->report, path, strerror(errno));
		return;
	}
	errno = 0;
	for (; (e = fts_read(walk)); errno = 0) {
		if (e->fts_info == FTS_D && e->fts_level && !strcmp(e->fts_name, ".git"))
			fts_set(walk, e, FTS_SKIP);
		else if (e->fts_info == FTS_F)
			scan_file(s, e->fts_path);
		else if (e->fts_info == FTS_SL || e->fts_info == FTS_SLNONE)
			scan_link(s, e->fts_path);
		else if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR || e->fts_info == FTS_NS)
			report_fail(s->report, e->fts_path, strerror(e->fts_errno));
	}
	if (errno)
		report_fail(s->report, path, strerror(errno));
	fts_close(walk);
}

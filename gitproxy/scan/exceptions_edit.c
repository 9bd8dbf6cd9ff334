/*
 * exceptions_edit.c - add and remove an entry of the exceptions' file
 *
 * Theory of operation: lines are put in or cut out and all others stay as they are, so that comments
 * survive; then the new text is parsed, and is written only when it holds exactly what was wanted.
 * Written beside, synced and renamed, under a lock of the directory: a reader sees the old file or
 * the new one. Only a reader of the old text decides, so a text that cannot be edited by lines
 * (a list in one line) is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gitproxy/scan/exceptions.h"
#include "policy/file.h"

enum { FILE_MAX = 4 << 20 };

static const char empty[] = "# Accepted findings of the secret scanner: cordon exception add|ls|rm\n"
			    "version: 1\nexceptions:\n";

struct edit {
	const char *file;
	struct diag *d;
	int lock;			/* of the directory */
	char *text;
	size_t n;
	struct scan_exceptions *was;
};

static void auto_free_edit(struct edit *e)
{
	free(e->text);
	scan_exceptions_free(e->was);
	if (e->lock >= 0)
		close(e->lock);
}

static int lock_directory(const char *file)
{
	AUTO(mem) char *copy = strdup(file);
	AUTO(fd) int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd < 0)
		return copy ? -errno : -ENOMEM;
	return flock(fd, LOCK_EX) < 0 ? -errno : STEAL_FD(fd);
}

static int edit_begin(struct edit *e)
{
	int err;

	e->lock = lock_directory(e->file);
	if (e->lock < 0) {
		diag_error(e->d, e->file, 0, 0, "its directory cannot be opened: %s", strerror(-e->lock));
		return e->lock;
	}
	err = scan_exceptions_load(e->file, e->d, &e->was);
	if (err)
		return err;
	if (access(e->file, F_OK) == 0)
		return file_read(e->file, FILE_MAX, e->d, &e->text, &e->n);
	e->n = sizeof(empty) - 1;
	e->text = strdup(empty);
	return e->text ? 0 : -ENOMEM;
}

static int fill(const char *path, const char *text, size_t n)
{
	AUTO(fd) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);

	if (fd < 0)
		return -errno;
	for (size_t at = 0; at < n;) {
		ssize_t put = write(fd, text + at, n - at);

		if (put < 0 && errno != EINTR)
			return -errno;
		at += put > 0 ? (size_t)put : 0;
	}
	return fchmod(fd, 0644) < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int replace(const struct edit *e, const char *text, size_t n)
{
	AUTO(mem) char *beside = NULL;
	int err;

	if (asprintf(&beside, "%s.new", e->file) < 0)
		return -ENOMEM;
	unlink(beside);		/* under the lock: of one that was killed */
	err = fill(beside, text, n);
	if (!err && rename(beside, e->file) < 0)
		err = -errno;
	if (!err && fsync(e->lock) < 0)
		err = -errno;
	if (err) {
		unlink(beside);
		diag_error(e->d, e->file, 0, 0, "cannot be written: %s", strerror(-err));
	}
	return err;
}

/* Does the new text say what the old one did, but for this fingerprint, which is there or not? */
static int edit_end(const struct edit *e, const char *text, size_t n, const char *fingerprint, bool there)
{
	AUTO(scan_exceptions) struct scan_exceptions *is = NULL;
	AUTO(diag) struct diag *hidden = NULL;
	bool same = !diag_new(&hidden) && !scan_exceptions_parse(e->file, text, n, hidden, &is) &&
		    is->n == e->was->n + there - !there && !!scan_exceptions_find(is, fingerprint) == there;

	for (size_t i = 0; same && i < e->was->n; i++) {
		const struct scan_exception *a = &e->was->item[i], *b;

		b = scan_exceptions_find(is, a->fingerprint);
		same = b ? !strcmp(a->expires, b->expires) && !strcmp(a->comment, b->comment) :
			   !there && !strcmp(a->fingerprint, fingerprint);
	}
	if (same)
		return replace(e, text, n);
	diag_error(e->d, e->file, 0, 0, "its form cannot be changed line by line; edit it by hand");
	return -EINVAL;
}

static void put_quoted(FILE *to, const char *text)
{
	fputc('"', to);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', to);
		fputc(*text, to);
	}
	fputs("\"\n", to);
}

int scan_exceptions_add(const char *file, const struct scan_exception *x, struct diag *d)
{
	__attribute__((cleanup(auto_free_edit))) struct edit e = { .file = file, .d = d, .lock = -1 };
	AUTO(mem) char *text = NULL;
	size_t n = 0;
	int err = edit_begin(&e), indent;
	FILE *f;

	if (err)
		return err;
	if (scan_exceptions_find(e.was, x->fingerprint))
		return -EEXIST;
	f = open_memstream(&text, &n);
	if (!f)
		return -ENOMEM;
	indent = e.was->column ? (int)e.was->column - 1 : 2;
	fwrite(e.text, 1, e.n, f);
	if (e.n && e.text[e.n - 1] != '\n')
		fputc('\n', f);
	fprintf(f, "%*s- fingerprint: \"%s\"\n", indent, "", x->fingerprint);
	fprintf(f, "%*s  expires: %s\n%*s  comment: ", indent, "", x->expires, indent, "");
	put_quoted(f, x->comment);
	if (fclose(f))
		return -ENOMEM;
	return edit_end(&e, text, n, x->fingerprint, true);
}

static size_t line_start(const struct edit *e, size_t line)
{
	size_t at = 0;

	while (line > 1 && at < e->n)
		line -= e->text[at++] == '\n';
	return at;
}

int scan_exceptions_rm(const char *file, const char *fingerprint, struct diag *d)
{
	__attribute__((cleanup(auto_free_edit))) struct edit e = { .file = file, .d = d, .lock = -1 };
	const struct scan_exception *x;
	size_t from, to;
	int err = edit_begin(&e);

	if (err)
		return err;
	x = scan_exceptions_find(e.was, fingerprint);
	if (!x)
		return -ENOENT;
	from = line_start(&e, x->line);
	to = line_start(&e, x->last + 1);
	memmove(e.text + from, e.text + to, e.n - to);
	return edit_end(&e, e.text, e.n - (to - from), fingerprint, false);
}

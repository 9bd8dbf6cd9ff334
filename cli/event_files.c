/*
 * event_files.c - the files of the log directory, merged by time
 *
 * Theory of operation: each part appends to LOG/PART.jsonl, one write a line, so a file is sorted
 * by itself. Every file has one line read ahead; the earliest of them is the next event. A file
 * that has no whole line is asked again at the next call: that is all following needs. A file whose
 * name leads to another inode was rotated: it is read to its end, then the new one from its
 * beginning. The old one is still in the directory under another name: which inodes were opened is
 * remembered, so that it is not read twice. Rotated files are read like the others; the present
 * ones come first when there are too many.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/audit_last.h"
#include "cli/event.h"

struct file {
	char *path;
	bool old; /* by its name: nothing is written to it any more */
	FILE *f;
	ino_t inode;
	char *line; /* getline's */
	size_t cap;
	struct event ahead; /* json NULL: none */
};

struct inode {
	dev_t device;
	ino_t number;
};

struct event_files {
	char *dir;
	struct file file[EVENT_FILES_MAX];
	size_t n, broken, left_out;
	struct inode *seen;
	size_t n_seen;
};

static bool seen(const struct event_files *fs, const struct stat *st)
{
	for (size_t i = 0; i < fs->n_seen; i++)
		if (fs->seen[i].number == st->st_ino && fs->seen[i].device == st->st_dev)
			return true;
	return false;
}

/* Without memory it may be shown twice: better than not at all. */
static void see(struct event_files *fs, const struct stat *st)
{
	struct inode *more;

	if (seen(fs, st))
		return;
	more = reallocarray(fs->seen, fs->n_seen + 1, sizeof(*more));
	if (!more)
		return;
	fs->seen = more;
	more[fs->n_seen++] = (struct inode){ st->st_dev, st->st_ino };
}

static void file_close(struct file *f)
{
	if (f->f)
		fclose(f->f);
	f->f = NULL;
}

static void file_reopen(struct event_files *fs, struct file *f, bool at_end)
{
	struct stat st;

	file_close(f);
	f->f = fopen(f->path, "re");
	if (!f->f || fstat(fileno(f->f), &st) < 0)
		return;
	f->inode = st.st_ino;
	see(fs, &st);
	if (at_end)
		fseek(f->f, 0, SEEK_END);
}

static bool file_known(const struct event_files *fs, const char *path)
{
	for (size_t i = 0; i < fs->n; i++)
		if (!strcmp(fs->file[i].path, path))
			return true;
	return false;
}

/* PART.jsonl, or what it became by rotation. */
static bool is_wanted(const char *name, bool old)
{
	size_t letters = strspn(name, "abcdefghijklmnopqrstuvwxyz");
	char src[32];

	if (!letters || letters >= sizeof(src))
		return false;
	memcpy(src, name, letters);
	src[letters] = '\0';
	return old ? audit_is_rotated(name, src) : !strcmp(name + letters, ".jsonl");
}

static void scan_entry(struct event_files *fs, const char *name, bool old, bool at_end)
{
	char path[1024];
	struct stat st;
	struct file *f;

	if (snprintf(path, sizeof(path), "%s/%s", fs->dir, name) >= (int)sizeof(path) ||
	    file_known(fs, path) || stat(path, &st) < 0 || seen(fs, &st))
		return;
	if (fs->n == EVENT_FILES_MAX) {
		fs->left_out++;
		return;
	}
	f = &fs->file[fs->n];
	*f = (struct file){ .path = strdup(path), .old = old };
	if (!f->path)
		return;
	file_reopen(fs, f, at_end);
	fs->n++;
}

/* New files are read from their beginning: they did not exist when `at_end` was asked for. */
static int scan(struct event_files *fs, bool at_end)
{
	DIR *d = opendir(fs->dir);
	struct dirent *e;

	if (!d)
		return -errno;
	fs->left_out = 0;
	for (int old = 0; old < 2; old++, rewinddir(d))
		while ((e = readdir(d)))
			if (is_wanted(e->d_name, old))
				scan_entry(fs, e->d_name, old, at_end);
	closedir(d);
	return 0;
}

int event_files_open(const struct host_config *c, bool at_end, struct event_files **ret)
{
	AUTO(event_files) struct event_files *fs = calloc(1, sizeof(*fs));
	int r;

	if (!fs)
		return -ENOMEM;
	fs->dir = strdup(c->log_dir);
	if (!fs->dir)
		return -ENOMEM;
	r = scan(fs, at_end);
	if (r < 0)
		return r;
	*ret = STEAL(fs);
	return 0;
}

void event_files_close(struct event_files *fs)
{
	if (!fs)
		return;
	for (size_t i = 0; i < fs->n; i++) {
		file_close(&fs->file[i]);
		event_done(&fs->file[i].ahead);
		free(fs->file[i].path);
		free(fs->file[i].line);
	}
	free(fs->seen);
	free(fs->dir);
	free(fs);
}

size_t event_broken(const struct event_files *fs)
{
	return fs->broken;
}

size_t event_left_out(const struct event_files *fs)
{
	return fs->left_out;
}

/* A line without its end is put back: its writer is not done. */
static ssize_t read_line(struct file *f)
{
	long at = ftell(f->f);
	ssize_t n;

	clearerr(f->f);
	n = getline(&f->line, &f->cap, f->f);
	if (n > 0 && f->line[n - 1] == '\n')
		return n - 1;
	if (n > 0)
		fseek(f->f, at, SEEK_SET);
	return -1;
}

/* logrotate shifts names: what is called .1 now was read under another name. */
static bool rotated(const struct event_files *fs, const struct file *f)
{
	struct stat st;

	return !stat(f->path, &st) && (!f->f || st.st_ino != f->inode) &&
	       !(f->old && seen(fs, &st));
}

static void look_ahead(struct event_files *fs, struct file *f)
{
	ssize_t n;

	while (!f->ahead.json) {
		n = f->f ? read_line(f) : -1;
		if (n < 0 && rotated(fs, f)) {
			file_reopen(fs, f, false);
			n = f->f ? read_line(f) : -1;
		}
		if (n < 0)
			return;
		if (n && !event_parse(f->line, (size_t)n, &f->ahead))
			fs->broken++;
	}
}

bool event_next(struct event_files *fs, struct event *ret)
{
	struct file *first = NULL;

	for (size_t i = 0; i < fs->n; i++) {
		struct file *f = &fs->file[i];

		look_ahead(fs, f);
		if (f->ahead.json && (!first || strcmp(f->ahead.ts, first->ahead.ts) < 0))
			first = f;
	}
	if (!first) {
		scan(fs, false);
		return false;
	}
	*ret = first->ahead;
	first->ahead = (struct event){ 0 };
	return true;
}

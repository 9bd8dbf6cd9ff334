/*
 * event_files.c - the files of the log directory, merged by time
 *
 * Theory of operation: each part appends to LOG/PART.jsonl, one write a line, so a file is sorted
 * by itself. Every file has one line read ahead; the earliest of them is the next event. A file
 * that has no whole line is asked again at the next call: that is all following needs. A file whose
 * name leads to another inode was rotated: it is read to its end, then the new one from its
 * beginning.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/event.h"

struct file {
	char *path;
	FILE *f;
	ino_t inode;
	char *line; /* getline's */
	size_t cap;
	struct event ahead; /* json NULL: none */
};

struct event_files {
	char *dir;
	struct file file[EVENT_FILES_MAX];
	size_t n, broken;
};

static void file_close(struct file *f)
{
	if (f->f)
		fclose(f->f);
	f->f = NULL;
}

static void file_reopen(struct file *f, bool at_end)
{
	struct stat st;

	file_close(f);
	f->f = fopen(f->path, "re");
	if (!f->f || fstat(fileno(f->f), &st) < 0)
		return;
	f->inode = st.st_ino;
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

static void scan_entry(struct event_files *fs, const char *name, bool at_end)
{
	static const char end[] = ".jsonl";
	size_t n = strlen(name);
	char path[1024];
	struct file *f;

	if (n < sizeof(end) || strcmp(name + n - (sizeof(end) - 1), end) ||
	    fs->n == EVENT_FILES_MAX)
		return;
	if (snprintf(path, sizeof(path), "%s/%s", fs->dir, name) >= (int)sizeof(path) ||
	    file_known(fs, path))
		return;
	f = &fs->file[fs->n];
	*f = (struct file){ .path = strdup(path) };
	if (!f->path)
		return;
	file_reopen(f, at_end);
	fs->n++;
}

/* New files are read from their beginning: they did not exist when `at_end` was asked for. */
static int scan(struct event_files *fs, bool at_end)
{
	DIR *d = opendir(fs->dir);
	struct dirent *e;

	if (!d)
		return -errno;
	while ((e = readdir(d)))
		scan_entry(fs, e->d_name, at_end);
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
	free(fs->dir);
	free(fs);
}

size_t event_broken(const struct event_files *fs)
{
	return fs->broken;
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

static bool rotated(const struct file *f)
{
	struct stat st;

	return !stat(f->path, &st) && (!f->f || st.st_ino != f->inode);
}

static void look_ahead(struct event_files *fs, struct file *f)
{
	ssize_t n;

	while (!f->ahead.json) {
		n = f->f ? read_line(f) : -1;
		if (n < 0 && rotated(f)) {
			file_reopen(f, false);
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

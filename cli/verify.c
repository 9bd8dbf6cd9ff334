/*
 * verify.c - check the hash chain of audit files
 *
 * Theory of operation: every line carries in `prev` the SHA-256 of the raw line before it
 * (base/audit.c) and the next `seq`. A changed, removed or inserted line breaks the chain at the
 * line after it. A source's chain goes on over its rotated files, so they are read in the order of
 * their first lines' numbers, and a missing one in the middle is a break as well. The first line of
 * the oldest file has nothing before it here (its predecessor may have been shipped and deleted, or
 * compressed), and nothing can be said about lines cut off at the end; both are what shipping the
 * log elsewhere is for.
 */
#include "cli/verify.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/audit_last.h"
#include "base/mem.h"
#include "cli/cli.h"

enum { HASH_HEX = 65 };

struct chain {
	const char *file;
	size_t line;
	char hash[HASH_HEX]; /* of the line before, perhaps of the file before; "" at the first */
	json_int_t seq;
	size_t breaks;
};

struct log_file {
	char name[NAME_MAX + 1];
	char src[32];
	json_int_t first; /* seq of its first line; 0: none */
	bool old;	  /* rotated: nothing is written to it any more */
};

static bool hash_line(const char *text, size_t n, char ret[HASH_HEX])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (!EVP_Digest(text, n, md, &len, EVP_sha256(), NULL) || len != 32)
		return false;
	bytes_hex(md, len, ret);
	return true;
}

static void broken(struct chain *c, const char *what)
{
	c->breaks++;
	printf("%s:%zu: %s\n", c->file, c->line, what);
}

static void check_links(struct chain *c, const json_t *j)
{
	const char *prev = json_string_value(json_object_get(j, "prev"));
	json_int_t seq = json_integer_value(json_object_get(j, "seq"));

	if (*c->hash && (!prev || strcmp(prev, c->hash)))
		broken(c, c->line > 1 ? "the hash of the line before does not match: that line was "
					"changed, removed or added"
				      : "does not continue the file before: one is missing, or its "
					"end was changed");
	else if (*c->hash && c->seq && seq != c->seq + 1)
		broken(c, "a number is missing or there twice");
	c->seq = seq;
}

/* A line that is no JSON is part of the chain like any other: the writer tells of it by itself. */
static int check_line(struct chain *c, const char *text, size_t n)
{
	json_t *j = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);

	c->line++;
	if (j)
		check_links(c, j);
	else
		broken(c, "not JSON");
	json_decref(j);
	return hash_line(text, n, c->hash) ? 0 : -ENOMEM;
}

/* A line without an end is still being written, but for a rotated file's. */
static int check_file(struct chain *c, FILE *f, bool old)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	int r = 0;

	while (!r && (n = getline(&line, &cap, f)) > 0)
		if (line[n - 1] == '\n')
			r = check_line(c, line, (size_t)n - 1);
		else if (old)
			r = check_line(c, line, (size_t)n);
	free(line);
	return r;
}

static int verify_file(const char *dir, const struct log_file *lf, struct chain *c)
{
	char path[PATH_MAX];
	size_t breaks = c->breaks;
	FILE *f;
	int r;

	snprintf(path, sizeof(path), "%s/%s", dir, lf->name);
	f = fopen(path, "re");
	if (!f)
		return cli_fail("%s: %s: use sudo", path, strerror(errno));
	c->file = path;
	c->line = 0;
	r = check_file(c, f, lf->old);
	fclose(f);
	if (r < 0)
		return cli_fail("%s: %s", path, strerror(-r));
	if (c->breaks != breaks)
		return EXIT_REFUSED;
	printf("%s: %zu lines, unbroken\n", path, c->line);
	return EXIT_DONE;
}

static json_int_t first_seq(const char *dir, const char *name)
{
	char path[PATH_MAX];
	json_t *j = NULL;
	char *line = NULL;
	json_int_t seq = 0;
	size_t cap = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "re");
	if (f && getline(&line, &cap, f) > 0)
		j = json_loads(line, 0, NULL);
	if (j)
		seq = json_integer_value(json_object_get(j, "seq"));
	json_decref(j);
	free(line);
	if (f)
		fclose(f);
	return seq;
}

static bool log_file_of(const char *dir, const char *name, struct log_file *ret)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz");

	*ret = (struct log_file){ 0 };
	if (!n || n >= sizeof(ret->src) || strlen(name) >= sizeof(ret->name))
		return false;
	memcpy(ret->src, name, n);
	strcpy(ret->name, name);
	ret->old = strcmp(name + n, ".jsonl") != 0;
	if (ret->old && !audit_is_rotated(name, ret->src))
		return false;
	ret->first = first_seq(dir, name);
	return true;
}

/* By source, then as they were written; what is empty or does not begin with a line of ours last. */
static int by_age(const void *a, const void *b)
{
	const struct log_file *x = a, *y = b;
	int r = strcmp(x->src, y->src);

	if (r || x->first == y->first)
		return r ? r : strcmp(x->name, y->name);
	if (!x->first || !y->first)
		return x->first ? -1 : 1;
	return x->first < y->first ? -1 : 1;
}

static int verify_all(const char *dir, const struct log_file *files, size_t n)
{
	struct chain c = { 0 };
	int r = EXIT_DONE;

	for (size_t i = 0; i < n; i++) {
		if (!i || strcmp(files[i].src, files[i - 1].src))
			c = (struct chain){ 0 };
		if (verify_file(dir, &files[i], &c))
			r = EXIT_REFUSED;
	}
	return r;
}

int verify_directory(const char *dir)
{
	AUTO(mem) struct log_file *files = NULL;
	struct dirent **names = NULL;
	int n = scandir(dir, &names, NULL, alphasort);
	size_t found = 0;

	if (n < 0)
		return cli_fail("log: %s: %s", dir, strerror(errno));
	files = calloc((size_t)n + 1, sizeof(*files));
	for (int i = 0; i < n; i++) {
		if (files && log_file_of(dir, names[i]->d_name, &files[found]))
			found++;
		free(names[i]);
	}
	free(names);
	if (!files)
		return cli_fail("log: out of memory");
	qsort(files, found, sizeof(*files), by_age);
	return verify_all(dir, files, found);
}

/*
 * verify.c - check the hash chain of audit files
 *
 * Theory of operation: every line carries in `prev` the SHA-256 of the raw line before it
 * (base/audit.c) and the next `seq`. A changed, removed or inserted line breaks the chain at the
 * line after it. The first line of a file has nothing before it here (its predecessor may be in a
 * rotated file), and nothing can be said about lines cut off at the end; both are what shipping the
 * log elsewhere is for.
 */
#include "cli/verify.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

enum { HASH_HEX = 65 };

struct chain {
	const char *file;
	size_t line;
	char hash[HASH_HEX]; /* of the line before; "" at the first */
	json_int_t seq;
	size_t breaks;
};

static bool hash_line(const char *text, size_t n, char ret[HASH_HEX])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (!EVP_Digest(text, n, md, &len, EVP_sha256(), NULL) || len != 32)
		return false;
	for (unsigned i = 0; i < len; i++)
		snprintf(ret + 2 * i, 3, "%02x", md[i]);
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
		broken(c, "the hash of the line before does not match: that line was changed, "
			  "removed or added");
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

static int verify_file(const char *path)
{
	struct chain c = { .file = path };
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	int r = 0;

	if (!f)
		return cli_fail("%s: %s: use sudo", path, strerror(errno));
	while (!r && (n = getline(&line, &cap, f)) > 0)
		if (line[n - 1] == '\n')
			r = check_line(&c, line, (size_t)n - 1);
	free(line);
	fclose(f);
	if (r < 0)
		return cli_fail("%s: %s", path, strerror(-r));
	if (!c.breaks)
		printf("%s: %zu lines, unbroken\n", path, c.line);
	return c.breaks ? EXIT_REFUSED : EXIT_DONE;
}

static int only_jsonl(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return n > 6 && !strcmp(e->d_name + n - 6, ".jsonl");
}

int verify_directory(const char *dir)
{
	struct dirent **names = NULL;
	int n = scandir(dir, &names, only_jsonl, alphasort), r = EXIT_DONE;

	if (n < 0)
		return cli_fail("log: %s: %s", dir, strerror(errno));
	for (int i = 0; i < n; i++) {
		char path[1024];

		snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
		if (verify_file(path))
			r = EXIT_REFUSED;
		free(names[i]);
	}
	free(names);
	return r;
}

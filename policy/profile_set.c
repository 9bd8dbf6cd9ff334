/*
 * profile_set.c - every profile of a host: the files of profiles/
 *
 * Theory of operation: a profile's name is its file's, so the directory is the list. Files that do
 * not end in .yaml are left alone (editors leave them); one that does and whose name cannot be a
 * profile's is an error rather than a profile that is silently missing. All files are compiled even
 * after errors, so that one run shows everything. The set's hash covers names and hashes in sorted
 * order.
 */
#include <dirent.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "policy/file.h"
#include "policy/host_config.h"
#include "policy/schema_type.h"

static const char suffix[] = ".yaml";

static bool is_yaml(const char *file)
{
	size_t n = strlen(file);

	return *file != '.' && n >= sizeof(suffix) - 1 &&
	       !strcmp(file + n - (sizeof(suffix) - 1), suffix);
}

int policy_compile_file(const char *path, const struct policy_site *site, struct diag *d,
			struct policy **ret)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	size_t n = strlen(base);
	AUTO(mem) char *name = NULL, *text = NULL;
	uint64_t unused;
	int err;

	name = strndup(base, is_yaml(base) ? n - (sizeof(suffix) - 1) : n);
	if (!name)
		return -ENOMEM;
	if (!schema_type_parse(SCHEMA_LABEL, name, &unused)) {
		diag_error(d, path, 0, 0, "a profile's file is named NAME.yaml, with NAME %s",
			   schema_type_name(SCHEMA_LABEL));
		return -EINVAL;
	}
	err = file_read(path, POLICY_TEXT_MAX, d, &text, &n);
	return err ? err : policy_compile(name, path, text, n, site, d, ret);
}

static int set_filter(const struct dirent *e)
{
	return is_yaml(e->d_name);
}

static int set_order(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int policy_order(const void *a, const void *b)
{
	return strcmp(policy_name(*(struct policy *const *)a),
		      policy_name(*(struct policy *const *)b));
}

static int set_hash(struct profile_set *s)
{
	AUTO(mem) char *lines = NULL;
	size_t n = 0;
	FILE *to = open_memstream(&lines, &n);
	uint8_t sum[32];

	if (!to)
		return -ENOMEM;
	for (size_t i = 0; i < s->n; i++)
		fprintf(to, "%s %s\n", policy_name(s->policies[i]), policy_sha256(s->policies[i]));
	if (fclose(to) || !EVP_Digest(lines, n, sum, NULL, EVP_sha256(), NULL))
		return -ENOMEM;
	bytes_hex(sum, sizeof(sum), s->sha256);
	return 0;
}

/* One file; what is wrong with it is in d. Only -ENOMEM ends the set. */
static int set_add(struct profile_set *s, const struct host_config *c, const char *file,
		   struct diag *d)
{
	struct policy_site site = host_config_site(c);
	AUTO(mem) char *path = NULL;
	int err;

	if (asprintf(&path, "%s/%s", c->profiles_dir, file) < 0)
		return -ENOMEM;
	err = policy_compile_file(path, &site, d, &s->policies[s->n]);
	s->n += !err;
	return err == -ENOMEM ? err : 0;
}

static int set_fill(struct profile_set *s, const struct host_config *c, struct dirent **files,
		    size_t n, struct diag *d)
{
	int err = 0;

	s->policies = calloc(n + 1, sizeof(struct policy *));
	if (!s->policies)
		return -ENOMEM;
	for (size_t i = 0; i < n && !err; i++)
		err = set_add(s, c, files[i]->d_name, d);
	if (!err && s->n)
		qsort(s->policies, s->n, sizeof(struct policy *), policy_order);
	return err ? err : set_hash(s);
}

int profile_set_load(const struct host_config *c, struct diag *d, struct profile_set *ret)
{
	struct profile_set s = { 0 };
	struct dirent **files = NULL;
	size_t errors = diag_errors(d);
	int n = scandir(c->profiles_dir, &files, set_filter, set_order), err;

	if (n < 0) {
		diag_error(d, c->profiles_dir, 0, 0, "the profiles cannot be read: %s",
			   strerror(errno));
		return -EINVAL;
	}
	if (!n)
		diag_warn(d, c->profiles_dir, 0, 0,
			  "has no profile (NAME.yaml): no sandbox can be added");
	err = set_fill(&s, c, files, (size_t)n, d);
	for (int i = 0; i < n; i++)
		free(files[i]);
	free(files);
	if (!err && diag_errors(d) == errors)
		host_credentials_warn(c, s.policies, s.n, d);
	if (!err && diag_errors(d) != errors)
		err = -EINVAL;
	if (err)
		profile_set_done(&s);
	else
		*ret = s;
	return err;
}

void profile_set_done(struct profile_set *s)
{
	for (size_t i = 0; i < s->n; i++)
		policy_unref(s->policies[i]);
	free(s->policies);
	*s = (struct profile_set){ 0 };
}

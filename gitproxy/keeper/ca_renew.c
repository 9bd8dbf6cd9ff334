/*
 * ca_renew.c - what `cordon ca renew` has cordon-keeper do, as a program of its own
 *
 * Theory of operation: keys are made and moved by this program alone, so that no other one has code
 * that touches them; the command starts it as root, once a step, and tells the keeper that serves
 * (cli/ca.c). It reads nothing but the configuration and the CA's files, and ends.
 */
#include "gitproxy/keeper/ca_renew.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/proc.h"

enum { DONE = 0, REFUSED = 1, MISUSED = 2 };

int ca_place_of(const struct host_config *c, struct ca_place *ret)
{
	char *dir, *public_path;

	if (asprintf(&dir, "%s/ca", c->state_dir) < 0)
		return -ENOMEM;
	if (asprintf(&public_path, "%s/ca.pem", c->state_dir) < 0) {
		free(dir);
		return -ENOMEM;
	}
	*ret = (struct ca_place){ .dir = dir, .public_path = public_path,
				  .uid = proc_role_uid(ROLE_KEEPER), .gid = proc_group() };
	return 0;
}

void ca_place_done(struct ca_place *p)
{
	free((char *)(uintptr_t)p->dir);
	free((char *)(uintptr_t)p->public_path);
	*p = (struct ca_place){ 0 };
}

static int refuse(const char *what)
{
	fprintf(stderr, "cordon: ca renew: %s\n", what);
	return REFUSED;
}

static int finish(const struct ca_place *p, int r)
{
	if (r < 0)
		fprintf(stderr, "cordon: ca renew: %s: %s\n", p->dir,
			r == -EINVAL ? "next.pem and next.key are damaged, expired or of two CAs: "
				       "cordon ca renew --discard" :
			r == -ENOENT ? "next.key is missing: cordon ca renew --discard" :
			r == -EPERM  ? "others can read next.key: cordon ca renew --discard" :
				       strerror(-r));
	return r < 0 ? REFUSED : DONE;
}

static int step_next(const struct host_config *c, const struct ca_place *p)
{
	int r;

	if (ca_files_have(p, CA_NEXT))
		return refuse("one waits already: --activate puts it in force, --discard throws it "
			      "away");
	if (!c->n_ca_names)
		return refuse("ca.names of the configuration is empty: name the hosts");
	r = ca_files_make(p, CA_NEXT, (const char *const *)c->ca_names, c->n_ca_names);
	return finish(p, r ? r : ca_files_publish(p));
}

static int step_activate(const struct host_config *c, const struct ca_place *p)
{
	(void)c;
	return finish(p, ca_files_activate(p));
}

static int step_discard(const struct host_config *c, const struct ca_place *p)
{
	(void)c;
	return finish(p, ca_files_discard(p));
}

static const struct {
	const char *name;
	bool needs_next;
	int (*fn)(const struct host_config *c, const struct ca_place *p);
} steps[] = {
	{ "next", false, step_next },
	{ "activate", true, step_activate },
	{ "discard", true, step_discard },
};

static int run(const struct host_config *c, const struct ca_place *p, size_t i)
{
	AUTO(fd) int lock = ca_files_lock(p);
	int r;

	if (lock < 0 && lock != -ENOENT)
		return finish(p, lock);
	r = lock < 0 ? 0 : ca_files_mend(p);
	if (r < 0)
		return finish(p, r);
	if (!ca_files_have(p, CA_CURRENT))
		return refuse("there is no CA yet: the first sudo cordon up makes it");
	if (steps[i].needs_next && !ca_files_have(p, CA_NEXT))
		return refuse("no next one waits: cordon ca renew makes it");
	return steps[i].fn(c, p);
}

int ca_renew(const struct host_config *c, const char *step)
{
	struct ca_place p;
	size_t i = 0;
	int status;

	while (i < ARRAY_SIZE(steps) && strcmp(steps[i].name, step))
		i++;
	if (i == ARRAY_SIZE(steps))
		return MISUSED;
	if (ca_place_of(c, &p) < 0)
		return refuse(strerror(ENOMEM));
	status = run(c, &p, i);
	ca_place_done(&p);
	return status;
}

/*
 * host_mirrors.c - git.mirrors of the host configuration
 *
 * Theory of operation: the list names single repositories, each with its host: a pattern would say
 * nothing about what there is to fetch. Upstream is asked by the path: it keeps its case, unless the host
 * ignores that and all spellings are one.
 */
#include "policy/host_mirrors.h"

#include <errno.h>
#include <string.h>

#include "policy/doc.h"
#include "policy/host_config.h"
#include "policy/repo.h"
#include "policy/schema.h"

static const char list_key[] = "git.mirrors.prewarm";

static bool nested(const struct host_config *c, const char *host)
{
	for (size_t i = 0; i < c->n_nested_groups; i++)
		if (!strcmp(c->nested_groups[i], host))
			return true;
	return false;
}

static char *without_git(const char *path)
{
	size_t n = strlen(path);

	return strndup(path, n > 4 && !strcmp(path + n - 4, ".git") ? n - 4 : n);
}

bool host_repository_parse(const struct host_config *c, const char *text, struct host_repository *ret)
{
	char host[POLICY_NAME_MAX + 1], folded[REPO_PATH_MAX + 1];
	const char *slash = strchr(text, '/');

	*ret = (struct host_repository){ 0 };
	if (!slash || !name_canonical(rd_of(text, (size_t)(slash - text)), host))
		return false;
	ret->path = without_git(slash + 1);
	ret->host = strdup(host);
	if (ret->path && ret->host && repo_fold(ret->path, nested(c, host), folded)) {
		if (host_config_ignores_case(c, host))
			memcpy(ret->path, folded, strlen(folded));
		return true;
	}
	host_repository_done(ret);
	return false;
}

void host_repository_done(struct host_repository *r)
{
	free(r->host);
	free(r->path);
	*r = (struct host_repository){ 0 };
}

static int load_list(struct host_config *c, const struct node *list, struct diag *d)
{
	struct host_mirrors *m = &c->mirrors;

	m->prewarm = calloc(list->n + 1, sizeof(*m->prewarm));
	if (!m->prewarm)
		return -ENOMEM;
	for (size_t i = 0; i < list->n; i++) {
		const struct node *at = list->items[i];

		if (at->bad)
			continue;
		if (host_repository_parse(c, at->text, &m->prewarm[m->n_prewarm]))
			m->n_prewarm++;
		else
			diag_error(d, c->file, at->line, at->column,
				   "%s: \"%.80s\" is not one repository with its host, such as github.com/acme/widgets",
				   list_key, at->text);
	}
	return 0;
}

int host_mirrors_load(struct host_config *c, const struct node *root, struct diag *d)
{
	const struct node *list = node_at(root, list_key);
	struct host_mirrors *m = &c->mirrors;

	m->max_bytes = schema_number(SCHEMA_HOST, root, "", "git.mirrors.max_bytes");
	m->window_ms = (uint32_t)schema_number(SCHEMA_HOST, root, "", "git.mirrors.window");
	m->prewarm_every_ms = (uint32_t)schema_number(SCHEMA_HOST, root, "", "git.mirrors.prewarm_every");
	return list && !list->bad && list->kind == NODE_LIST ? load_list(c, list, d) : 0;
}

void host_mirrors_free(struct host_config *c)
{
	for (size_t i = 0; i < c->mirrors.n_prewarm; i++)
		host_repository_done(&c->mirrors.prewarm[i]);
	free(c->mirrors.prewarm);
}

bool host_mirrors_prewarms(const struct host_mirrors *m, const char *host, const char *repo)
{
	for (size_t i = 0; i < m->n_prewarm; i++)
		if (!strcmp(m->prewarm[i].host, host) && !strcmp(m->prewarm[i].path, repo))
			return true;
	return false;
}

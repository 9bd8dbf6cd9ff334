/*
 * names.c - index -> name
 *
 * Theory of operation: netd gives each name one index of the synthetic pools and tells it before any
 * packet can carry that address. An array of pointers: one look-up per packet, memory for the names
 * that exist. A name that is not canonical is refused: it could never equal what a hello names, and
 * saying so at once is better than refusing every flow later.
 * Invariants: changed only by netd's messages, never on the packet path.
 */
#include "netd/inspect/names.h"

#include <errno.h>
#include <string.h>

#include "netd/inspect/hello.h"

struct names {
	struct pool pool;
	uint32_t size;
	char **at;		/* owned strings; NULL where there is none */
};

int names_new(const struct pool *pool, struct names **ret)
{
	AUTO(names) struct names *n = calloc(1, sizeof(*n));
	uint32_t size = pool_size(pool);

	if (!n)
		return -ENOMEM;
	n->pool = *pool;
	n->size = size < NAMES_MAX ? size : NAMES_MAX;
	n->at = calloc(n->size ? n->size : 1, sizeof(*n->at));
	if (!n->at)
		return -ENOMEM;
	*ret = STEAL(n);
	return 0;
}

void names_free(struct names *n)
{
	if (!n)
		return;
	for (uint32_t i = 0; n->at && i < n->size; i++)
		free(n->at[i]);
	free(n->at);
	free(n);
}

int names_set(struct names *n, const struct msg_name *m)
{
	char canonical[HELLO_NAME_MAX];
	char *copy;

	if (m->index < POOL_FIRST_NAME || m->index >= n->size)
		return -ERANGE;
	if (!msg_text_ok(m->name, sizeof(m->name)))
		return -EINVAL;
	if (hello_name(rd_str(m->name), canonical) != PARSE_OK || strcmp(canonical, m->name))
		return -EINVAL;
	copy = strdup(canonical);
	if (!copy)
		return -ENOMEM;
	free(n->at[m->index]);
	n->at[m->index] = copy;
	return 0;
}

int names_unset(struct names *n, const struct msg_name *m)
{
	if (m->index >= n->size)
		return -ERANGE;
	free(n->at[m->index]);
	n->at[m->index] = NULL;
	return 0;
}

const char *names_of(const struct names *n, const struct addr *synthetic)
{
	uint32_t index;

	if (!pool_index(&n->pool, synthetic, &index) || index >= n->size)
		return NULL;
	return n->at[index];
}

/*
 * doc.h - a YAML file as a tree whose every key and value knows its line and column
 *
 * Only what a configuration needs: one document of mappings, lists and scalars. Anchors, aliases,
 * tags, byte order marks, tabs, duplicate keys and a second document are errors. For policy/ and the
 * scanner's files.
 */
#ifndef POLICY_DOC_H
#define POLICY_DOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/diag.h"

enum { DOC_DEPTH_MAX = 16, DOC_NODES_MAX = 400000, DOC_KEYS_MAX = 4096 };

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct node {
	enum node_kind kind;
	size_t line, column; /* from 1 */
	char *key;	     /* of a mapping's member, else NULL */
	size_t key_line, key_column;
	char *text; /* of a scalar, UTF-8 without NUL, else NULL */
	bool plain; /* a scalar without quotes: the only kind that can be a number or a bool */
	struct node **items;
	size_t n;
	bool bad;	/* already complained about: do not read further */
	uint64_t value; /* filled by schema_check(): number, bytes, milliseconds or 0/1 */
};

/*
 * 0 with a tree (errors may be in d all the same: compare diag_errors()), -EINVAL with errors in d,
 * or -ENOMEM.
 */
int doc_parse(const char *file, const char *text, size_t n, struct diag *d, struct node **ret);
void node_free(struct node *nd);
DEFINE_AUTO(node, struct node *, node_free)

/* The member of a mapping, or NULL (also when nd is NULL or no mapping). */
struct node *node_member(const struct node *nd, const char *key, size_t n);
/* Down a path such as "sandbox.network.allow"; NULL when a step is missing. */
struct node *node_at(const struct node *nd, const char *path);
/* A scalar without text and quotes: what `key:` alone gives. */
bool node_is_null(const struct node *nd);

#endif

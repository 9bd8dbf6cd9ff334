/*
 * tree.h - the entries of a tree
 */
#ifndef GITPROXY_GATE_TREE_H
#define GITPROXY_GATE_TREE_H

#include "gitproxy/gate/dotgit.h"
#include "gitproxy/gate/fault.h"
#include "gitproxy/oid.h"

enum tree_kind { TREE_NONE = 0, TREE_DIRECTORY, TREE_FILE, TREE_EXECUTABLE, TREE_LINK, TREE_SUBMODULE };

struct tree_entry {
	enum tree_kind kind;
	struct rd name;			/* borrowed */
	const uint8_t *oid;		/* of oid_size() bytes, borrowed */
	size_t size;			/* bytes it takes in the tree */
};

/* The next one, whatever it is called. False: the bytes are none (or none are left: ask rd_left() before). */
bool tree_next(struct rd *bytes, size_t oid_size, struct tree_entry *ret);
/* The same for a tree that upstream has already: any mode that git reads. */
bool tree_next_lenient(struct rd *bytes, size_t oid_size, struct tree_entry *ret);
/* What is wrong with it by itself. *ret_dotgit: whether it is one of git's own files. */
enum fault tree_entry_fault(const struct tree_entry *e, size_t oid_size, enum dotgit *ret_dotgit);
/* Why tree_next() refused these bytes. */
enum fault tree_bad_entry(struct rd bytes);

/* As git sorts: a directory as if it ended in a slash. Less than, equal to or greater than zero. */
int tree_order(struct rd a, bool a_directory, struct rd b, bool b_directory);

#endif

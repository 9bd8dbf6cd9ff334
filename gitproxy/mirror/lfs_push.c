/*
 * lfs_push.c - objects of Git LFS that a push needs
 *
 * Theory of operation: a pointer whose object upstream never gets would leave a repository that nobody can
 * check out, and one that went around the scanner would leave it with a secret. So before the references
 * go, upstream must have each object, from before or from here.
 * Not yet there: uploads. A push with pointers is refused.
 */
#include "gitproxy/mirror/lfs.h"

enum reason lfs_push(const struct lfs_push *p, char ret_text[MIRROR_DETAIL])
{
	ret_text[0] = '\0';
	if (!p->n)
		return REASON_NONE;
	msg_plain_set(ret_text, MIRROR_DETAIL, "objects of Git LFS cannot be pushed yet");
	return REASON_LFS_OBJECT_MISSING;
}

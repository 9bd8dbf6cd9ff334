/*
 * lfs_echo.h - the secrets in a step that upstream named, should they come back
 */
#ifndef GITPROXY_KEEPER_LFS_ECHO_H
#define GITPROXY_KEEPER_LFS_ECHO_H

#include "gitproxy/keeper/echo.h"
#include "gitproxy/keeper/lfs_answer.h"

/* What to look for in its answer; echo_free() it. 0, -ENOMEM, -EINVAL. */
int lfs_echo_new(const struct lfs_action *a, struct echo **ret);

#endif

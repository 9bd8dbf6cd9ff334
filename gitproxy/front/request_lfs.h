/*
 * request_lfs.h - requests of Git LFS. Private to request*.c
 */
#ifndef GITPROXY_FRONT_REQUEST_LFS_H
#define GITPROXY_FRONT_REQUEST_LFS_H

#include "gitproxy/front/request_kind.h"
#include "gitproxy/keeper_ipc.h"

/* As those of struct request_kind, for a request whose path is of such a kind. */
enum reason lfs_judge(const struct session *s, struct request *rq);
enum step lfs_perform(struct session *s, struct input *in, struct request *rq);
void lfs_describe(const struct request *rq, bool many, struct audit_line *l, struct wr *key);

/*
 * request_git.c. What the policy says of the path's repository and service; from here on it is spelled as the
 * policy spells it.
 */
enum reason git_decide(const struct session *s, struct request *rq);
/* The request as the keeper will make it: from parsed fields alone. False: a name does not fit. */
bool git_build(const struct session *s, const struct request *rq, struct keeper_open *o);

#endif

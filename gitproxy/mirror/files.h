/*
 * files.h - the folder of one mirror
 */
#ifndef GITPROXY_MIRROR_FILES_H
#define GITPROXY_MIRROR_FILES_H

#include <stdint.h>

#include "gitproxy/mirror_ipc.h"

struct files_about {			/* of what the folder is a mirror */
	char host[MSG_NAME], path[GP_REPO_MAX + 1], credential[MIRROR_CREDENTIAL];
};

/* DIR/about. 0, -ENOENT, -EBADMSG, -errno. Writing replaces it in one step. */
int files_about_read(const char *dir, struct files_about *ret);
int files_about_write(const char *dir, const struct files_about *a);
/*
 * A mark is a file that is there or not. FILES_REFUSED: upstream's last word on it was no. FILES_DOUBTED: what is
 * here may be another's. When one cannot be made, `about` goes: no mirror then. 0 or -errno.
 */
#define FILES_REFUSED "refused"
#define FILES_DOUBTED "doubted"
bool files_marked(const char *dir, const char *mark);
int files_mark(const char *dir, const char *mark, bool on);
/* A folder with all that is in it. Links are removed, not followed. 0 or -errno; none is no error. */
int files_remove(const char *dir);
/* Remove the lock files that killed programs left in a repository that nobody writes to. 0 or -errno. */
int files_unlock(const char *git);
/* The same, and what programs that write packs left unfinished. Nobody may be writing. 0 or -errno. */
int files_sweep(const char *git);
/* When DIR/NAME was last touched, wall clock, s; 0: it is not there. Touching makes it if need be. */
int64_t files_time(const char *dir, const char *name);
void files_touch(const char *dir, const char *name);
/* Bytes that all files in it take on disk. */
uint64_t files_bytes(const char *dir);

#endif

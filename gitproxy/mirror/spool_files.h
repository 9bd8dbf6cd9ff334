/*
 * spool_files.h - the files of the spool
 */
#ifndef GITPROXY_MIRROR_SPOOL_FILES_H
#define GITPROXY_MIRROR_SPOOL_FILES_H

#include "gitproxy/mirror/spool.h"

enum { SPOOL_NAME = 4 * SPOOL_ID + 2 };		/* two digests in hexadecimal, a dot, a NUL */

struct spool_found { struct spool_key key; uint64_t size; int64_t used; };

void spool_name(const struct spool_key *key, char ret[SPOOL_NAME]);
void spool_name_unfinished(uint64_t number, char ret[SPOOL_NAME]);
/* 0 or -errno. */
int spool_file_create(int dir_fd, const char *name, int *ret_fd);
/* For reading only. -ESTALE: it is not the file that was written. */
int spool_file_read(int dir_fd, const char *name, uint64_t min_size, int *ret_fd);
/* Finished answers, oldest first, heap; everything unfinished is removed. */
int spool_files_scan(int dir_fd, struct spool_found **ret, size_t *ret_n);

#endif

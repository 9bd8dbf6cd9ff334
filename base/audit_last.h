/*
 * audit_last.h - the file that a source's audit log was in before the present one
 */
#ifndef BASE_AUDIT_LAST_H
#define BASE_AUDIT_LAST_H

#include <stdbool.h>

/*
 * Whether a file's name is that of a rotated part of SRC.jsonl, as `cordon log --rotate`
 * (SRC-TIME.jsonl) or logrotate (SRC.jsonl.1, SRC.jsonl-20261122) leaves it. Compressed ones are
 * not: nobody reads them here.
 */
bool audit_is_rotated(const char *name, const char *src);
/* The one that was written last, open for reading. -ENOENT: there is none; or -errno. */
int audit_last_open(const char *dir, const char *src);

#endif

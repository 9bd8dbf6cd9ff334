/*
 * wipe.h - keep secrets off the disk and out of freed memory
 */
#ifndef GITPROXY_KEEPER_WIPE_H
#define GITPROXY_KEEPER_WIPE_H

/* As root, before the first thread: all memory of this process, now and later, stays in memory. A
 * limit that cannot be raised is told of in the log; secrets themselves are locked all the same. */
void wipe_lock_memory(void);
/* libcurl and jansson wipe what they free: headers pass through them. 0 or -errno. */
int wipe_libraries(void);

#endif

/*
 * confine.h - the system calls and files that cordon-mirror, and git below it, may use
 */
#ifndef GITPROXY_MIRROR_CONFINE_H
#define GITPROXY_MIRROR_CONFINE_H

/*
 * Before the first thread. `folder`: the only place that may be written. judge_fd: cordon-scan,
 * which may be run; -1: there is none. 0 or -errno.
 */
int mirror_confine(const char *folder, int judge_fd);

#endif

/*
 * confine.h - the system calls and files that cordon-mirror, and git below it, may use
 */
#ifndef GITPROXY_MIRROR_CONFINE_H
#define GITPROXY_MIRROR_CONFINE_H

/*
 * Before the first thread. `folder`: the only place that may be written. judge: cordon-scan, which
 * may be run ("": there is none). 0 or -errno.
 */
int mirror_confine(const char *folder, const char *judge);

#endif

/*
 * confine.h - the system calls that the front may make
 */
#ifndef GITPROXY_FRONT_CONFINE_H
#define GITPROXY_FRONT_CONFINE_H

int front_confine(void);	/* before the first thread. 0 or -errno */

#endif

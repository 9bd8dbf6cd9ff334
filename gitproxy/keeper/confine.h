/*
 * confine.h - the system calls that the keeper may make
 */
#ifndef GITPROXY_KEEPER_CONFINE_H
#define GITPROXY_KEEPER_CONFINE_H

int keeper_confine(void);	/* for every thread, existing and to come. 0 or -errno */

#endif

/*
 * request.h - the requests on one connection
 */
#ifndef GITPROXY_FRONT_REQUEST_H
#define GITPROXY_FRONT_REQUEST_H

#include "gitproxy/front/session.h"

/*
 * Serve requests until one of them ends the connection. True: end it properly; false: reset it (an
 * answer is incomplete).
 */
bool request_loop(struct session *s);

#endif

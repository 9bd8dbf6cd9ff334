/*
 * transfer_http.h - what an upgrade shares with other requests that are none of git's. Private to upstream*.c
 */
#ifndef GITPROXY_KEEPER_TRANSFER_HTTP_H
#define GITPROXY_KEEPER_TRANSFER_HTTP_H

#include "gitproxy/keeper/transfer.h"

enum { STATUS_SWITCHING = 101 };

/*
 * An answer is about to come: makes t->http, which upstream.c frees. `switches`: it is a 101 that fits
 * the handshake. False: no memory.
 */
bool transfer_http_begin(struct transfer *t, bool switches);
/*
 * Its fields have been given to transfer_http.header(): judge them and the status, tell the front.
 * False: the transfer is over.
 */
bool transfer_http_answer(struct transfer *t, unsigned status);

#endif

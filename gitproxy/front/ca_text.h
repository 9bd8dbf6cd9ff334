/*
 * ca_text.h - what guests must trust, as http://cordon.internal/ca.pem gives it
 */
#ifndef GITPROXY_FRONT_CA_TEXT_H
#define GITPROXY_FRONT_CA_TEXT_H

#include <stdio.h>

enum { CA_TEXT_MAX = 65536 };

struct ca_text;
/* From a file. 0 or -errno; -EFBIG: more than CA_TEXT_MAX bytes. */
int ca_text_new(const char *path, struct ca_text **ret);
/* Another one, whole, from a descriptor (borrowed). 0 or -errno: the old one stays. */
int ca_text_replace(struct ca_text *t, int fd);
/* Thread-safe, as is the above. 0 or -EIO. */
int ca_text_write(struct ca_text *t, FILE *to);

#endif

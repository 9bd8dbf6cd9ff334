/*
 * fingerprint.h - what stands for a secret in logs, reports and exceptions
 */
#ifndef GITPROXY_SCAN_FINGERPRINT_H
#define GITPROXY_SCAN_FINGERPRINT_H

#include <stdbool.h>

#include "base/bytes.h"

enum { SCAN_FINGERPRINT_MAX = 33 };	/* 32 hex digits and NUL */

/*
 * Of a rule and a secret, wherever it is found: white space in it (also written as \n, \r) does not
 * count, so that a key is the same with any line ends. False: out of memory, or a secret longer
 * than 4096 bytes.
 */
bool scan_fingerprint(const char *rule, struct rd secret, char ret[SCAN_FINGERPRINT_MAX]);
/* 32 lower case hex digits? */
bool scan_fingerprint_ok(const char *text);

#endif

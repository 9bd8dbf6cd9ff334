/*
 * exceptions.h - findings that the host's operator accepts, by fingerprint
 *
 * They are in a file of the host's, never in what is scanned: whoever pushes cannot exempt himself.
 */
#ifndef GITPROXY_SCAN_EXCEPTIONS_H
#define GITPROXY_SCAN_EXCEPTIONS_H

#include <stdint.h>
#include <time.h>

#include "gitproxy/scan/fingerprint.h"
#include "policy/diag.h"

#define SCAN_EXCEPTIONS "/etc/cordon/exceptions.yaml"

enum { SCAN_EXCEPTIONS_MAX = 10000, SCAN_COMMENT_MAX = 256, SCAN_DATE = 11 };

struct scan_exception {
	char fingerprint[SCAN_FINGERPRINT_MAX];
	char expires[SCAN_DATE];	/* YYYY-MM-DD: good through that day, UTC */
	time_t until;			/* the second after it */
	char *comment;
	size_t line, last;		/* of the file, from 1 */
};

struct scan_exceptions {
	struct scan_exception *item;
	size_t n;
	size_t column;			/* of the first one's dash, from 1; 0: none */
};

/*
 * 0, or -EINVAL, -errno with what is wrong in d. No file: none. Refused: one that others than root
 * or the caller may write.
 */
int scan_exceptions_load(const char *file, struct diag *d, struct scan_exceptions **ret);
int scan_exceptions_parse(const char *file, const char *text, size_t n, struct diag *d,
			  struct scan_exceptions **ret);
void scan_exceptions_free(struct scan_exceptions *e);
DEFINE_AUTO(scan_exceptions, struct scan_exceptions *, scan_exceptions_free)

const struct scan_exception *scan_exceptions_find(const struct scan_exceptions *e, const char *fingerprint);
/* The one that counts now, or NULL. */
const struct scan_exception *scan_exceptions_accept(const struct scan_exceptions *e, const char *fingerprint,
						    time_t now);

/* A date that exists; ret_until is the second after that day. */
bool scan_date_parse(const char *text, time_t *ret_until);

/*
 * Rewrite the file, whole or not at all; what stands in it otherwise stays, comments too. -EEXIST,
 * -ENOENT; -EINVAL with the reason in d when the file's form does not let them: it is to be edited
 * by hand then.
 */
int scan_exceptions_add(const char *file, const struct scan_exception *x, struct diag *d);
int scan_exceptions_rm(const char *file, const char *fingerprint, struct diag *d);

#endif

/*
 * names.h - which name each synthetic address stands for
 */
#ifndef INSPECT_NAMES_H
#define INSPECT_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/mem.h"
#include "base/msg.h"
#include "policy/address.h"

enum { NAMES_MAX = 1 << 20 };		/* more than any pool that is used */

struct names;
int names_new(const struct pool *pool, struct names **ret);	/* 0 or -errno */
void names_free(struct names *n);
DEFINE_AUTO(names, struct names *, names_free)

/* NAME_IS and NAME_GONE. 0, -ERANGE for an index outside of the pool, -EINVAL for a bad name, -ENOMEM. */
int names_set(struct names *n, const struct msg_name *m);
int names_unset(struct names *n, const struct msg_name *m);
/* The canonical name of a synthetic address; NULL when it has none. Valid until the table changes. */
const char *names_of(const struct names *n, const struct addr *synthetic);

#endif

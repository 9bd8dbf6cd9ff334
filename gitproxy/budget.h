/*
 * budget.h - what a sandbox may take per second
 */
#ifndef GITPROXY_BUDGET_H
#define GITPROXY_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

struct budget;
int budget_new(struct budget **ret);	/* 0 or -ENOMEM; kept for good */
/* One of the sandbox's `per_second`; a second's worth may be saved up. False: none is left. */
bool budget_take(struct budget *b, uint16_t sandbox, uint32_t per_second);

#endif

/*
 * host_proxy.h - git.upstream_proxy of the host configuration
 */
#ifndef POLICY_HOST_PROXY_H
#define POLICY_HOST_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "policy/policy.h"

struct host_proxy {
	uint16_t port;			/* 0: none */
	char name[POLICY_NAME_MAX + 1];	/* "" when it is given by its address */
	struct addr addr;
};
/* http://NAME:PORT, http://ADDRESS:PORT or http://[ADDRESS]:PORT, and nothing behind it. */
bool host_proxy_parse(const char *text, struct host_proxy *ret);

#endif

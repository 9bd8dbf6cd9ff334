/*
 * special.h - what .gitmodules and .gitattributes may hold
 */
#ifndef GITPROXY_GATE_SPECIAL_H
#define GITPROXY_GATE_SPECIAL_H

#include "gitproxy/gate/fault.h"
#include "base/bytes.h"

enum { MODULES_BYTES_MAX = 16 << 20, ATTRIBUTES_BYTES_MAX = 100 << 20, ATTRIBUTES_LINE_MAX = 2048 };

enum fault special_modules(struct rd text);
enum fault special_attributes(struct rd text);

#endif

/*
 * config_text.h - git's configuration syntax, as in .gitmodules
 */
#ifndef GITPROXY_GATE_CONFIG_TEXT_H
#define GITPROXY_GATE_CONFIG_TEXT_H

#include "base/bytes.h"

/*
 * One setting. The name is git's: "section.subsection.key", section and key in lower case. no_value: it
 * stood without a "=". Borrowed until the call returns; false ends the reading.
 */
struct config_text_to {
	bool (*setting)(struct config_text_to *to, struct rd name, struct rd value, bool no_value);
};

/* OK: read to the end. BAD: not this syntax, a NUL in it, no memory, or `setting` said so. */
enum parse config_text(struct rd text, struct config_text_to *to);

#endif

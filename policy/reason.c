/*
 * reason.c - reasons as text and back
 *
 * Theory of operation: one table made from REASONS(); an unknown value reads as internal_error, so
 * a forgotten case is seen in the log and never printed as an empty word.
 */
#include "policy/reason.h"

#include <string.h>

#include "base/mem.h"

static const struct {
	const char *text, *sentence;
} reasons[REASON_COUNT] = { [REASON_NONE] = { "", "" },
#define X(name, text, sentence) [REASON_##name] = { text, sentence },
			    REASONS(X)
#undef X
};

static enum reason reason_known(enum reason r)
{
	return (unsigned)r < REASON_COUNT ? r : REASON_INTERNAL_ERROR;
}

const char *reason_text(enum reason r)
{
	return reasons[reason_known(r)].text;
}

const char *reason_sentence(enum reason r)
{
	return reasons[reason_known(r)].sentence;
}

enum reason reason_of_text(const char *text)
{
	for (size_t i = REASON_NONE + 1; i < ARRAY_SIZE(reasons); i++)
		if (!strcmp(text, reasons[i].text))
			return (enum reason)i;
	return REASON_NONE;
}

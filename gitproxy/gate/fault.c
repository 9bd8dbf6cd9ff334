/*
 * fault.c - what is wrong with one object's bytes, as text
 */
#include "gitproxy/gate/fault.h"

#include "base/mem.h"

static const struct {
	const char *word, *text;
} faults[FAULT_COUNT] = {
	[FAULT_UNKNOWN] = { "", "an unknown fault" },
	[FAULT_NONE] = { "", "" },
#define X(name, word, sentence) [FAULT_##name] = { word, sentence },
	FAULTS(X)
#undef X
};

static enum fault known(enum fault f)
{
	return (unsigned)f < FAULT_COUNT ? f : FAULT_UNKNOWN;
}

const char *fault_text(enum fault f)
{
	return faults[known(f)].text;
}

const char *fault_word(enum fault f)
{
	return faults[known(f)].word;
}

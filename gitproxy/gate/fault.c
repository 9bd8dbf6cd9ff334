/*
 * fault.c - what is wrong with one object's bytes, as text
 */
#include "gitproxy/gate/fault.h"

#include "base/mem.h"

static const char *const texts[FAULT_COUNT] = {
	[FAULT_UNKNOWN] = "an unknown fault",
	[FAULT_NONE] = "",
#define X(name, word, sentence) [FAULT_##name] = sentence,
	FAULTS(X)
#undef X
};

const char *fault_text(enum fault f)
{
	return texts[(unsigned)f < FAULT_COUNT ? f : FAULT_UNKNOWN];
}

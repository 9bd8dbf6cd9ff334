/*
 * fuzz.h - the one function of a fuzzer, called by libFuzzer or by replay.c
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* One input. Returns 0. A property that does not hold is an abort(). */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#endif

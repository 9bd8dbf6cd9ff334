/*
 * check.h - the unit tests' harness: included once by each tests/unit/test_<thing>.c, which it
 * gives a main
 *
 * Theory of operation: TEST(name) { ... } registers itself before main() runs. A CHECK that fails
 * prints file, line, test, the row's `what`, what came and what was wanted, marks the test as
 * failed and goes on, so that a table shows all of its wrong rows at once. Parsers get their input
 * from check_exact(), so that the address sanitizer sees the first byte too many. Arguments of the
 * program name the tests to run.
 */
#ifndef UNIT_CHECK_H
#define UNIT_CHECK_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct check_test {
	const char *name;
	void (*fn)(void);
	struct check_test *next;
};
static struct check_test *check_tests, **check_tail = &check_tests;
static const char *check_name;
static bool check_bad;

#define TEST(test) \
	static void test_##test(void); \
	__attribute__((constructor)) static void check_add_##test(void) \
	{ \
		static struct check_test t = { #test, test_##test, NULL }; \
		*check_tail = &t; \
		check_tail = &t.next; \
	} \
	static void test_##test(void)

#define CHECK_FAIL(fmt, ...) \
	do { \
		printf("%s:%d: %s: " fmt "\n", __FILE__, __LINE__, check_name, __VA_ARGS__); \
		check_bad = true; \
	} while (0)

/* Any condition. */
#define CHECK(what, cond) \
	do { \
		if (!(cond)) \
			CHECK_FAIL("%s: not %s", what, #cond); \
	} while (0)

/* Integers, enums and booleans. */
#define CHECK_EQ(what, got, want) \
	do { \
		intmax_t got_ = (intmax_t)(got), want_ = (intmax_t)(want); \
		if (got_ != want_) \
			CHECK_FAIL("%s: %s is %jd, want %jd", what, #got, got_, want_); \
	} while (0)

#define CHECK_STR(what, got, want) \
	do { \
		const char *got_ = (got), *want_ = (want); \
		if (!got_ || strcmp(got_, want_)) \
			CHECK_FAIL("%s: %s is \"%s\", want \"%s\"", what, #got, \
				   got_ ? got_ : "(null)", want_); \
	} while (0)

/* A heap copy of exactly n bytes: AUTO(mem) void *in = check_exact(p, n); */
static inline void *check_exact(const void *p, size_t n)
{
	void *copy = malloc(n);

	if (!copy && n)
		abort();
	if (n)
		memcpy(copy, p, n);
	return copy;
}

/* Bytes and length of a literal, inner NULs included. */
#define W(s) (s), sizeof(s) - 1

static bool check_wanted(int argc, char **argv, const char *name)
{
	bool wanted = argc < 2;

	for (int i = 1; i < argc; i++)
		wanted |= !strcmp(argv[i], name);
	return wanted;
}

int main(int argc, char **argv)
{
	unsigned passed = 0, failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (struct check_test *t = check_tests; t; t = t->next) {
		if (!check_wanted(argc, argv, t->name))
			continue;
		check_name = t->name;
		check_bad = false;
		t->fn();
		check_bad ? failed++ : passed++;
	}
	printf("%u passed, %u failed\n", passed, failed);
	return failed || !passed;
}

#endif

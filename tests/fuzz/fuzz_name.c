/*
 * fuzz_name.c - what name_canonical() lets through is a fixed point inside the alphabet, and no address
 */
#include "tests/fuzz/fuzz.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "policy/name.h"

static void expect(bool ok)
{
	if (!ok)
		abort();
}

static void check_name(const char *name)
{
	char again[POLICY_NAME_MAX + 1];
	struct in_addr a;
	size_t n = strlen(name);

	expect(n >= 1 && n <= POLICY_NAME_MAX);
	expect(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == n);
	expect(name[0] != '.' && name[n - 1] != '.' && !strstr(name, ".."));
	expect(!inet_aton(name, &a));
	expect(name_canonical(rd_str(name), again) && !strcmp(again, name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char name[POLICY_NAME_MAX + 1], host[NAME_PATTERN_TEXT];
	struct name_pattern p, again;
	AUTO(mem) char *text = NULL;

	if (name_canonical(rd_of(data, n), name))
		check_name(name);
	else
		expect(!name[0]);
	text = rd_has(rd_of(data, n), 0) ? NULL : strndup((const char *)data, n);
	if (!text || name_pattern_parse(text, &p))
		return 0;
	check_name(p.base);
	name_pattern_format(&p, host);
	expect(!name_pattern_parse(host, &again) && again.kind == p.kind && !strcmp(again.base, p.base));
	return 0;
}

/*
 * schema_type.c - the scalar types of the schema: a table of parsers
 *
 * Theory of operation: each parser takes the text of one scalar and says whether it is one of its
 * kind. Numbers have one spelling: no sign, no leading zero (YAML 1.1 would read it as octal), no
 * exponent. Host patterns and repositories are read where they are compiled, since their errors say
 * more.
 */
#include "policy/schema_type.h"

#include <net/if.h>
#include <string.h>

#include "base/addr.h"
#include "policy/policy.h"

static bool type_digits(const char *text, size_t n, uint64_t *ret)
{
	uint64_t v = 0;

	if (n < 1 || n > 18 || (n > 1 && *text == '0'))
		return false;
	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(text[i] - '0');
	}
	*ret = v;
	return true;
}

struct unit {
	const char *name;
	uint64_t factor;
};
static const struct unit sizes[] = {
	{ "KiB", 1ull << 10 },
	{ "MiB", 1ull << 20 },
	{ "GiB", 1ull << 30 },
	{ "", 1 },
};
static const struct unit times[] = {
	{ "ms", 1 },
	{ "s", 1000 },
	{ "m", 60000 },
	{ "h", 3600000 },
};

static bool type_units(const struct unit *units, size_t n, const char *text, uint64_t *ret)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t v;

	if (!type_digits(text, digits, &v))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!strcmp(text + digits, units[i].name))
			return !__builtin_mul_overflow(v, units[i].factor, ret);
	return false;
}

static bool type_int(const char *text, uint64_t *ret)
{
	return type_digits(text, strlen(text), ret);
}
static bool type_size(const char *text, uint64_t *ret)
{
	return type_units(sizes, ARRAY_SIZE(sizes), text, ret);
}
static bool type_time(const char *text, uint64_t *ret)
{
	return type_units(times, ARRAY_SIZE(times), text, ret);
}

static bool type_bool(const char *text, uint64_t *ret)
{
	*ret = !strcmp(text, "true");
	return *ret || !strcmp(text, "false");
}

static bool type_text(const char *text, uint64_t *ret)
{
	(void)ret;
	return *text;
}

/* Names of sandboxes and profiles. */
static bool type_label(const char *text, uint64_t *ret)
{
	size_t n = strlen(text);

	(void)ret;
	return n >= 1 && n <= 63 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-") == n;
}

static bool type_family(const char *text, uint8_t family)
{
	struct addr a;

	return addr_parse(text, &a) && (!family || a.family == family);
}
static bool type_addr(const char *text, uint64_t *ret)
{
	(void)ret;
	return type_family(text, 0);
}
static bool type_addr4(const char *text, uint64_t *ret)
{
	(void)ret;
	return type_family(text, 4);
}
static bool type_addr6(const char *text, uint64_t *ret)
{
	(void)ret;
	return type_family(text, 6);
}

static bool type_network(const char *text, uint8_t family)
{
	struct prefix p;

	return prefix_parse(text, &p) && (!family || p.addr.family == family);
}
static bool type_prefix(const char *text, uint64_t *ret)
{
	(void)ret;
	return type_network(text, 0);
}
static bool type_prefix4(const char *text, uint64_t *ret)
{
	(void)ret;
	return type_network(text, 4);
}
static bool type_prefix6(const char *text, uint64_t *ret)
{
	(void)ret;
	return type_network(text, 6);
}

/* Absolute, and nothing that has to be escaped in a rule file or a command line. */
static bool type_path(const char *text, uint64_t *ret)
{
	(void)ret;
	return *text == '/' && strlen(text) < 4096 && !strstr(text, "/../") &&
	       !strpbrk(text, "\n\"\\");
}

/* What dev_valid_name() of the kernel takes, less what would need quoting; one * may end a pattern.
 */
static bool type_interface(const char *text, uint64_t *ret)
{
	size_t n = strlen(text);
	size_t named =
		strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");

	(void)ret;
	if (named < 1 || n >= IFNAMSIZ || !strcmp(text, ".") || !strcmp(text, ".."))
		return false;
	return named == n || (named + 1 == n && text[named] == '*');
}

static bool type_mac(const char *text, uint64_t *ret)
{
	(void)ret;
	if (strlen(text) != 17)
		return false;
	for (size_t i = 0; i < 17; i++)
		if (i % 3 == 2 ? text[i] != ':' : !strchr("0123456789abcdefABCDEF", text[i]))
			return false;
	return true;
}

static const struct {
	const char *name;
	bool (*parse)(const char *text, uint64_t *ret);
	bool plain;
} types[SCHEMA_TYPES] = {
	[SCHEMA_MAP] = { "a mapping", NULL, false },
	[SCHEMA_BOOL] = { "true or false", type_bool, true },
	[SCHEMA_INT] = { "a whole number", type_int, true },
	[SCHEMA_SIZE] = { "a size such as 512KiB, 1MiB or 2GiB", type_size, true },
	[SCHEMA_TIME] = { "a time such as 800ms, 10s, 15m or 6h", type_time, true },
	[SCHEMA_WORD] = { "a word", type_text, false },
	[SCHEMA_TEXT] = { "a text", type_text, false },
	[SCHEMA_LABEL] = { "a name of at most 63 of a-z, 0-9, _ and -", type_label, false },
	[SCHEMA_NAME] = { "a host name", type_text, false },
	[SCHEMA_PATTERN] = { "a host name or wildcard", type_text, false },
	[SCHEMA_REPO] = { "a repository", type_text, false },
	[SCHEMA_ADDR4] = { "an IPv4 address", type_addr4, false },
	[SCHEMA_ADDR6] = { "an IPv6 address", type_addr6, false },
	[SCHEMA_ADDR] = { "an address", type_addr, false },
	[SCHEMA_PREFIX4] = { "an IPv4 network such as 10.1.0.0/16", type_prefix4, false },
	[SCHEMA_PREFIX6] = { "an IPv6 network such as fd00:1::/48", type_prefix6, false },
	[SCHEMA_PREFIX] = { "a network such as 10.1.0.0/16 or fd00:1::/48", type_prefix, false },
	[SCHEMA_PATH] = { "an absolute path", type_path, false },
	[SCHEMA_INTERFACE] = { "an interface", type_interface, false },
	[SCHEMA_MAC] = { "an Ethernet address such as 06:00:ac:10:00:02", type_mac, false },
	[SCHEMA_SERVER] = { "an address, an address with port, or system", type_text, false },
};

const char *schema_type_name(enum schema_type t)
{
	return types[t].name;
}

bool schema_type_plain(enum schema_type t)
{
	return types[t].plain;
}

bool schema_type_network(enum schema_type t)
{
	return t == SCHEMA_PREFIX || t == SCHEMA_PREFIX4 || t == SCHEMA_PREFIX6;
}

bool schema_type_parse(enum schema_type t, const char *text, uint64_t *ret_value)
{
	*ret_value = 0;
	return types[t].parse && types[t].parse(text, ret_value);
}

void schema_format(const struct schema_row *row, uint64_t v, char out[32])
{
	const struct unit *units = row->type == SCHEMA_SIZE ? sizes : times, *best = NULL;
	size_t n = row->type == SCHEMA_SIZE ? ARRAY_SIZE(sizes) : ARRAY_SIZE(times);

	for (size_t i = 0; i < n; i++)
		if (v % units[i].factor == 0 && (!best || units[i].factor > best->factor))
			best = &units[i];
	if (row->type == SCHEMA_BOOL)
		snprintf(out, 32, "%s", v ? "true" : "false");
	else if (row->type == SCHEMA_SIZE || row->type == SCHEMA_TIME)
		snprintf(out, 32, "%llu%s", (unsigned long long)(v / best->factor), best->name);
	else
		snprintf(out, 32, "%llu", (unsigned long long)v);
}

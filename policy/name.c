/*
 * name.c - one canonical form of host names, for matching and for use
 *
 * Theory of operation: name_canonical() is the only way a name from traffic gets in: it
 * lower-cases, takes one trailing dot away and refuses whatever is left outside [a-z0-9_-] labels,
 * so a NUL, a line end, a slash, an @ or a bracket cannot be carried along. A name whose last label
 * is a number (decimal, octal or 0x) is an IPv4 address to inet_aton(3) and to browsers, hence
 * refused in every spelling. Policy files may write IDN and one wildcard at the front; libidn2
 * converts (UTS 46, non-transitional) and the result goes through name_canonical() as well, so
 * full-width digits end as the address they are. Spec: RFC 1035 s2.3.4, RFC 5890, threats A13
 * (CVE-2022-24825, CVE-2022-29188). Fuzzed by tests/fuzz/fuzz_name.c.
 */
#include "policy/name.h"

#include <idn2.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"

enum { LABEL_MAX = 63, NAME_TEXT_MAX = 1024 };

/* Lower case; false for a byte that no name has. */
static bool name_fold(uint8_t *c)
{
	if (*c >= 'A' && *c <= 'Z')
		*c += 'a' - 'A';
	return (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '-' || *c == '_' ||
	       *c == '.';
}

/* What inet_aton() would take as (part of) an address: 7, 0177, 0x7f, 0x. */
static bool label_is_number(const char *label)
{
	if (label[0] == '0' && label[1] == 'x')
		return !label[2 + strspn(label + 2, "0123456789abcdef")];
	return !label[strspn(label, "0123456789")];
}

static bool ends_in_number(const char *name)
{
	const char *dot = strrchr(name, '.');

	return label_is_number(dot ? dot + 1 : name);
}

static bool name_fill(struct rd raw, struct wr *w)
{
	size_t label = 0;
	uint8_t c;

	while (rd_left(&raw)) {
		if (!rd_u8(&raw, &c) || !name_fold(&c))
			return false;
		if (c != '.') {
			if (++label > LABEL_MAX)
				return false;
		} else if (!label) {
			return false; /* an empty label */
		} else if (!rd_left(&raw)) {
			break; /* the one trailing dot */
		} else {
			label = 0;
		}
		wr_u8(w, c);
	}
	return rd_ok(&raw) && label && wr_u8(w, 0);
}

bool name_canonical(struct rd raw, char out[POLICY_NAME_MAX + 1])
{
	struct wr w = wr_of(out, POLICY_NAME_MAX + 1);

	if (name_fill(raw, &w) && !ends_in_number(out))
		return true;
	out[0] = 0;
	return false;
}

bool name_is_below(const char *name, const char *base)
{
	size_t n = strlen(name), b = strlen(base);

	if (n < b || strcmp(name + (n - b), base))
		return false;
	return n == b || name[n - b - 1] == '.';
}

bool name_pattern_matches(const struct name_pattern *p, const char *name)
{
	const char *dot = strchr(name, '.');

	if (p->kind == PATTERN_EXACT)
		return !strcmp(name, p->base);
	if (p->kind == PATTERN_ONE)
		return dot && !strcmp(dot + 1, p->base);
	return name_is_below(name, p->base) && strcmp(name, p->base);
}

void name_pattern_format(const struct name_pattern *p, char out[NAME_PATTERN_TEXT])
{
	static const char *const fronts[] = {
		[PATTERN_EXACT] = "", [PATTERN_ONE] = "*.", [PATTERN_ANY] = "**."
	};

	snprintf(out, NAME_PATTERN_TEXT, "%s%s", fronts[p->kind], p->base);
}

/* IDN to A-labels; plain ASCII stays as it is (libidn2 would refuse the underscore). */
static bool name_to_ascii(const char *text, char out[NAME_TEXT_MAX])
{
	char *ascii = NULL;
	size_t n = strlen(text), plain = 0;
	bool ok;

	while (plain < n && (uint8_t)text[plain] < 0x80)
		plain++;
	if (plain == n)
		return snprintf(out, NAME_TEXT_MAX, "%s", text) < NAME_TEXT_MAX;
	if (idn2_lookup_u8((const uint8_t *)text, (uint8_t **)&ascii,
			   IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return false;
	ok = snprintf(out, NAME_TEXT_MAX, "%s", ascii) < NAME_TEXT_MAX;
	idn2_free(ascii);
	return ok;
}

/* Is it an address in some spelling? Brackets and prefix lengths count. */
static bool looks_like_address(const char *text)
{
	struct addr a;
	struct prefix p;
	char fold[NAME_TEXT_MAX];
	struct wr w = wr_of(fold, sizeof(fold));

	if (*text == '[' || addr_parse(text, &a) || prefix_parse(text, &p))
		return true;
	return name_fill(rd_str(text), &w) && ends_in_number(fold);
}

static const struct {
	const char *bytes, *why;
} faults[] = {
	{ "/?#", "is a URL; write only its host name" },
	{ "@", "has a user; write only the host name" },
	{ ":", "has a port; write it under ports" },
	{ " \r\n", "has white space" },
	{ "*",
	  "has a wildcard that is not at its front: *.name (one label) or **.name (any depth)" },
};

static const char *name_fault(const char *text)
{
	if (looks_like_address(text))
		return "is an address; names are granted here (addresses only by cidr, which is "
		       "not "
		       "supported yet)";
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		if (strpbrk(text, faults[i].bytes))
			return faults[i].why;
	if (*text == '.')
		return "begins with a dot; write **.name for every name below it";
	return "is not a host name: labels of 1 to 63 of a-z, 0-9, - and _, at most 253 in all";
}

/* Names that the resolver answers itself. */
static const char *name_reserved(const struct name_pattern *p)
{
	if (name_is_below(p->base, CORDON_INTERNAL))
		return "is Cordon's own; every sandbox reaches it";
	if (name_is_below(p->base, "localhost"))
		return "is the sandbox itself";
	return NULL;
}

const char *name_pattern_parse(const char *text, struct name_pattern *ret)
{
	struct name_pattern p = { .kind = PATTERN_EXACT };
	char ascii[NAME_TEXT_MAX];
	struct rd name;

	if (!strcmp(text, "*") || !strcmp(text, "**"))
		return "would allow every name; list the hosts";
	if (!name_to_ascii(text, ascii))
		return "is not a valid internationalised name";
	name = rd_str(ascii);
	if (rd_prefix(&name, "**."))
		p.kind = PATTERN_ANY;
	else if (rd_prefix(&name, "*."))
		p.kind = PATTERN_ONE;
	if (!name_canonical(name, p.base))
		return name_fault(p.kind == PATTERN_EXACT ? ascii : strchr(ascii, '.') + 1);
	if (p.kind != PATTERN_EXACT && !strchr(p.base, '.'))
		return "covers a whole top-level domain; name what is needed";
	if (p.kind != PATTERN_EXACT && known_public_suffix(p.base))
		return "covers a public suffix, under which anyone can register; name what is "
		       "needed";
	if (name_reserved(&p))
		return name_reserved(&p);
	*ret = p;
	return NULL;
}

/*
 * test_internal_page.c - which page of cordon.internal a request asks for, and in which form
 */
#include "gitproxy/front/internal.h"

#include "tests/unit/check.h"

static const struct { const char *target; enum internal_page want; } targets[] = {
	{ "/", INTERNAL_POLICY },
	{ "/refusals", INTERNAL_REFUSALS },
	{ "/ca.pem", INTERNAL_CA },
	{ "", INTERNAL_NONE },
	{ "//", INTERNAL_NONE },
	{ "/?", INTERNAL_NONE },
	{ "/refusals/", INTERNAL_NONE },
	{ "/refusals?all", INTERNAL_NONE },
	{ "/refusal", INTERNAL_NONE },
	{ "/Refusals", INTERNAL_NONE },
	{ "/%72efusals", INTERNAL_NONE },
	{ "/ca.pem/../", INTERNAL_NONE },
	{ "refusals", INTERNAL_NONE },
};

TEST(targets)
{
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		size_t n = strlen(targets[i].target);
		AUTO(mem) void *in = check_exact(targets[i].target, n);

		CHECK_EQ(targets[i].target, internal_page_of(rd_of(in, n)), targets[i].want);
	}
}

static const struct { const char *accept; bool json; } accepts[] = {
	{ "", false },
	{ "*/*", false },
	{ "text/html, */*;q=0.8", false },
	{ "application/json", true },
	{ "Application/JSON", true },
	{ "text/html, application/json;q=0.9", true },
	{ " application/json ; charset=utf-8 ", true },
	{ ",,application/json", true },
	{ "application/jsonp", false },
	{ "application/problem+json", false },
	{ "text/plain;x=application/json", false },
	{ ";,;", false },
	{ ",", false },
};

TEST(accept)
{
	for (size_t i = 0; i < ARRAY_SIZE(accepts); i++) {
		size_t n = strlen(accepts[i].accept);
		AUTO(mem) void *in = check_exact(accepts[i].accept, n);

		CHECK_EQ(accepts[i].accept, internal_wants_json(rd_of(in, n)), accepts[i].json);
	}
	CHECK("absent", !internal_wants_json((struct rd){ 0 }));
}

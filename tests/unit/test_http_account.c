/*
 * test_http_account.c - which requests bring an account of their own
 */
#include "gitproxy/http_account.h"

#include "tests/unit/check.h"

TEST(fields_of_one_name)
{
	static const struct { const char *a, *b; bool same; } rows[] = {
		{ "X-Api-Key", "x-api-key", true }, { "X_API_KEY", "x-api-key", true }, { "X-Api-Key", "X_Api_Key", true },
		{ "X-Api-Ke", "x-api-key", false }, { "X-Api-Keys", "x-api-key", false }, { "X Api-Key", "x-api-key", false },
		{ "", "x", false }, { "x", "", false }, { "", "", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(mem) void *a = check_exact(rows[i].a, strlen(rows[i].a));

		CHECK_EQ(rows[i].a, http_field_is(rd_of(a, strlen(rows[i].a)), rows[i].b), rows[i].same);
	}
	CHECK("a NUL is no end", !http_field_is(rd_of("ab\0", 3), "ab"));
}

TEST(accounts)
{
	static const struct { const char *query, *block, *ours; bool own; } rows[] = {
		{ "", "", "Authorization", false }, { "a=b", "Accept: x\nX-One: 1\n", "Authorization", false },
		{ "", "Authorization: Bearer x\n", "Authorization", false },
		{ "", "authorization: Bearer x\n", "X-Api-Key", true }, { "", "X-Api-Key: x\n", "X-Api-Key", false },
		{ "", "X-Api-Key: x\n", "Authorization", true }, { "", "A: b\nCookie: x\n", "Authorization", true },
		{ "", "PRIVATE-TOKEN: x\n", "Authorization", true }, { "", "Authorization: \n", "X-Api-Key", true },
		{ "", "Private-Token-Not: x\n", "Authorization", false },
		{ "", "npm-auth-type: web\nX-CSRF-Token: x\n", "Authorization", false },
		{ "a=b&access_token=x", "", "Authorization", true }, { "api_key", "", "Authorization", true },
		{ "acce%73s_token=x", "", "Authorization", true }, { "a=b;private_token=x", "", "Authorization", true },
		{ "access_tokens=x&xaccess_token=y&page_token=z", "", "Authorization", false },
		{ "X-Amz-Credential=x", "", "Authorization", true },
		{ "Access_Token=x", "", "Authorization", true }, { "a=b&ACCESS.TOKEN=x", "", "Authorization", true },
		{ "access_token[]=x", "", "Authorization", true }, { "access_token%5B0%5d=x", "", "Authorization", true },
		{ "+access+token=x", "", "Authorization", true }, { "%20access%20token+=x", "", "Authorization", true },
		{ "accessToken=x", "", "Authorization", true }, { "Api-Key=x", "", "Authorization", true },
		{ "[access_token]=x&=access_token&a=access_token", "", "Authorization", false },
		{ "access_toke=x&access__token=x&ccess_token=x&access_token2=x", "", "Authorization", false },
		{ "", "X-Auth: x\n", "Authorization", true }, { "", "X-User-Token: x\n", "Authorization", true },
		{ "", "token: x\n", "Authorization", true }, { "", "X_Authentication_Token: x\n", "Authorization", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(mem) void *query = check_exact(rows[i].query, strlen(rows[i].query));
		AUTO(mem) void *block = check_exact(rows[i].block, strlen(rows[i].block));

		if (http_has_account(rd_of(query, strlen(rows[i].query)), rd_of(block, strlen(rows[i].block)),
				     rows[i].ours) != rows[i].own)
			CHECK_FAIL("%s %s", rows[i].query, rows[i].block);
	}
}

TEST(has_field)
{
	CHECK("there", http_has_field(rd_str("A: b\nX_Key: 1\n"), "x-key"));
	CHECK("not there", !http_has_field(rd_str("A: X-Key\n"), "x-key"));
	CHECK("none", !http_has_field(rd_str(""), "x-key"));
}

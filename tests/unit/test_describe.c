/*
 * test_describe.c - a compiled profile as JSON
 */
#include "policy/describe.h"

#include <jansson.h>

#include "tests/unit/check.h"
#include "tests/unit/policy_fixture.h"

static const char profile[] = "version: 1\n"
			      "sandbox:\n"
			      "  network:\n"
			      "    allow:\n"
			      "      - {host: \"**.cdn.example\"}\n"
			      "      - {host: db.example, ports: [5432], protocol: tcp, private: true}\n"
			      "      - {cidr: 10.20.0.0/16, ports: [9000]}\n";

/* Every profile's form is JSON, and numbers, words and sizes are what they should be. */
TEST(a_profile)
{
	AUTO(policy) struct policy *p = fixture_policy(profile);
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);
	json_t *root, *sandbox, *row;

	CHECK_EQ("describe", policy_describe_json(p, f), 0);
	fclose(f);
	root = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
	CHECK("JSON", root);
	CHECK_EQ("version", json_integer_value(json_object_get(root, "version")), 1);
	sandbox = json_object_get(root, "sandbox");
	CHECK("size", json_is_string(json_object_get(json_object_get(sandbox, "limits"), "request_bytes")));
	CHECK("bool", json_is_boolean(json_object_get(json_object_get(sandbox, "git"), "enabled")));
	row = json_array_get(json_object_get(json_object_get(sandbox, "network"), "allow"), 1);
	CHECK_STR("host", json_string_value(json_object_get(row, "host")), "db.example");
	CHECK("private", json_is_true(json_object_get(row, "private")));
	CHECK_EQ("port", json_integer_value(json_array_get(json_object_get(row, "ports"), 0)), 5432);
	json_decref(root);
	free(text);
}

TEST(strings)
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	describe_json_string(f, "a\"b\\c\n\x1b\x7f/");
	fclose(f);
	CHECK_STR("escaped", text, "\"a\\\"b\\\\c\\u000a\\u001b\\u007f/\"");
	free(text);
}

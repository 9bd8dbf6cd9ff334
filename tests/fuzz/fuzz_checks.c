/*
 * fuzz_checks.c - a whole push: any objects that point to each other anyhow
 *
 * Input: a byte of flags, then objects, each of a byte (type, where it is) and a byte of length,
 * and its bytes. Ids are not hashes here: object n has bytes of n, so that inputs can point at
 * will, in circles too. In the bytes of trees, commits and tags a byte 0xe0 to 0xef stands for the
 * raw id of object 0 to 15, and 0xf0 to 0xff for it in hexadecimal. No circle is possible in life;
 * here it must end as well.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "gitproxy/gate/checks.h"
#include "tests/unit/fake_objects.h"

enum { OBJECTS_MAX = 16, BYTES_MAX = 2048 };

static struct oid id(uint8_t n)
{
	struct oid oid = { 0 };

	memset(oid.byte, n + 1, 20);
	return oid;
}

static size_t expand(struct rd in, uint8_t *out)
{
	struct wr w = wr_of(out, BYTES_MAX);
	uint8_t c;

	while (rd_left(&in) && rd_u8(&in, &c)) {
		struct oid oid = id(c & 15);

		if (c >= 0xf0)
			oid_write(&w, &oid, OBJECT_SHA1);
		else if (c >= 0xe0)
			wr_put(&w, oid.byte, 20);
		else
			wr_u8(&w, c);
	}
	return w.n;
}

static void read_objects(struct rd in, struct objects *o)
{
	static uint8_t bytes[BYTES_MAX];
	uint8_t kind, length;
	struct rd body;

	for (uint8_t i = 0; i < OBJECTS_MAX && rd_left(&in) > 1; i++) {
		struct oid oid = id(i);
		enum object_type type;

		if (!rd_u8(&in, &kind) || !rd_u8(&in, &length) ||
		    !rd_take(&in, length < rd_left(&in) ? length : rd_left(&in), &body))
			return;
		type = (enum object_type)(kind % 4 + 1);
		fake_add(o, &oid, type, rd_of(bytes, expand(body, bytes)), kind / 4 % 3 + 1);
	}
}

static void on_refused(struct checks_sink *s, uint32_t command, enum reason reason, const char *text)
{
	(void)s, (void)command;
	if (reason == REASON_NONE || !text)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct {
		struct push_list list;
		struct push_command command[3];
	} push = { .list = { .n_commands = 3 },
		   .command = { { .ref = "refs/heads/a" }, { .ref = "refs/tags/b" }, { .ref = "refs/heads/c" } } };
	struct push_rules rules = { .allowed = 1, .create = 1, .force = 1, .n_refs = 1, .refs = { "refs/**" }, .n_denied = 3,
				    .denied = { "a/b/", "**/c*", "d" } };
	struct checks_sink sink = { .refused = on_refused };
	struct objects o = { 0 };
	struct checks_spec spec = { .objects = &o, .list = &push.list, .rules = &rules, .sink = &sink };
	struct checks *c;
	struct oid missing;

	if (n < 1)
		return 0;
	rules.n_denied = data[0] & 3;
	push.command[0].new = id(data[0] >> 2 & 3);
	push.command[1].new = id(data[0] >> 4 & 3);
	push.command[2].new = id(0);
	push.command[2].old = id(data[0] >> 6);
	read_objects(rd_of(data + 1, n - 1), &o);
	fake_ready(&o);
	if (checks_new(&spec, &c) < 0)
		abort();
	for (size_t i = 0; i < o.n; i++) {
		char text[CHECKS_TEXT];
		struct wr w = wr_of(text, sizeof(text));

		if (o.all[i].where & FAKE_PACK)
			checks_object(c, &o.all[i].oid, o.all[i].type, rd_of(o.all[i].bytes, o.all[i].n), &w);
	}
	checks_run(c, &missing);
	for (size_t i = 0; i < o.n; i++) {
		struct checks_place p = { .object = o.all[i].oid };

		checks_find(c, &p);
		free(p.path);
	}
	checks_free(c);
	fake_free(&o);
	return 0;
}

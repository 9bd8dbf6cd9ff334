/*
 * gate_check.c - the push gate's checks, run on objects that come on the standard input
 *
 * Lines of words, and after an "object" line its bytes and a newline:
 *	format sha1|sha256
 *	denied PATTERN ; nothing is denied otherwise. Refs: all of refs/ is allowed, but "noforce", "nodelete", "nocreate"
 *	command OLD NEW REF
 *	limit NAME NUMBER ; of struct checks_limits
 *	find ID
 *	object pack|mirror|both ID TYPE SIZE
 * What comes out, one line each:
 *	object ID REASON TEXT ; refused by itself
 *	refused INDEX|push REASON TEXT
 *	op INDEX OP ; pointer ID SIZE ; place ID COMMIT BEFORE PATH
 *	verdict failed|clean|refused|missing [ID]
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include "gitproxy/gate/checks.h"
#include "tests/unit/fake_objects.h"

enum { COMMANDS = 4096, FINDS = 64 };

static struct objects objects;
static struct push_rules rules = { .allowed = 1, .create = 1, .force = 1, .del = 1, .n_refs = 1, .refs = { "refs/**" } };
static struct checks_limits limits;
static struct oid finds[FINDS];
static size_t n_finds;
static enum object_format format;
static struct {
	struct push_list list;
	struct push_command command[COMMANDS];
} push;

static struct oid id_of(const char *text)
{
	struct oid oid;

	if (!oid_parse(rd_str(text), format, &oid))
		exit(2);
	return oid;
}

static const char *hex(const struct oid *oid)
{
	static char text[4][OID_HEX_MAX + 1];
	static unsigned next;
	char *to = text[next++ % 4];
	struct wr w = wr_of(to, OID_HEX_MAX);

	oid_write(&w, oid, format);
	to[w.n] = '\0';
	return to;
}

static const char *const types[] = { "none", "commit", "tree", "blob", "tag" };

static void on_object(const char *args)
{
	char where[8], id[OID_HEX_MAX + 1], type[8];
	size_t n, t = 0;
	uint8_t *bytes;
	struct oid oid;

	if (sscanf(args, "%7s %64s %7s %zu", where, id, type, &n) != 4)
		exit(2);
	while (t < ARRAY_SIZE(types) && strcmp(types[t], type))
		t++;
	bytes = malloc(n + 1);
	if (!bytes || t == ARRAY_SIZE(types) || fread(bytes, 1, n, stdin) != n || getchar() != '\n')
		exit(2);
	oid = id_of(id);
	fake_add(&objects, &oid, (enum object_type)t, rd_of(bytes, n),
		 !strcmp(where, "pack") ? FAKE_PACK : !strcmp(where, "mirror") ? FAKE_MIRROR : FAKE_PACK | FAKE_MIRROR);
	free(bytes);
}

static void on_command(const char *args)
{
	char old[OID_HEX_MAX + 1], new[OID_HEX_MAX + 1];
	struct push_command *c = &push.command[push.list.n_commands++];

	if (push.list.n_commands == COMMANDS || sscanf(args, "%64s %64s %255s", old, new, c->ref) != 3)
		exit(2);
	c->old = id_of(old);
	c->new = id_of(new);
}

static void on_limit(const char *args)
{
	char name[32];
	uint64_t v;

	if (sscanf(args, "%31s %" SCNu64, name, &v) != 2)
		exit(2);
#define LIMIT(field) \
	if (!strcmp(name, #field)) \
		limits.field = (__typeof__(limits.field))v
	LIMIT(inflated);
	LIMIT(paths);
	LIMIT(steps);
	LIMIT(message);
	LIMIT(parents);
	LIMIT(entries);
	LIMIT(path);
	LIMIT(depth);
}

static void on_line(char *line)
{
	char *args = strchr(line, ' ');

	if (args)
		*args++ = '\0';
	if (!strcmp(line, "format"))
		format = !strcmp(args, "sha256") ? OBJECT_SHA256 : OBJECT_SHA1;
	else if (!strcmp(line, "denied"))
		snprintf(rules.denied[rules.n_denied++], PUSH_PATTERN_MAX, "%s", args);
	else if (!strcmp(line, "command"))
		on_command(args);
	else if (!strcmp(line, "limit"))
		on_limit(args);
	else if (!strcmp(line, "find"))
		finds[n_finds++] = id_of(args);
	else if (!strcmp(line, "object"))
		on_object(args);
	else if (!strcmp(line, "noforce"))
		rules.force = 0;
	else if (!strcmp(line, "nodelete"))
		rules.del = 0;
	else if (!strcmp(line, "nocreate"))
		rules.create = 0;
	else
		exit(2);
}

/* ---- what comes out ---- */

static void on_refused(struct checks_sink *s, uint32_t command, enum reason reason, const char *text)
{
	(void)s;
	if (command == UINT32_MAX)
		printf("refused push %s %s\n", reason_text(reason), text);
	else
		printf("refused %u %s %s\n", command, reason_text(reason), text);
}

static void on_op(struct checks_sink *s, uint32_t command, enum push_op op)
{
	(void)s;
	printf("op %u %s\n", command, push_op_text(op));
}

static void on_pointer(struct checks_sink *s, const struct oid *blob, const uint8_t sha256[32], uint64_t size)
{
	(void)s, (void)sha256;
	printf("pointer %s %" PRIu64 "\n", hex(blob), size);
}

static struct checks *checks;
static pthread_mutex_t out = PTHREAD_MUTEX_INITIALIZER;

/* Half of the objects each. */
static void *feed(void *half)
{
	for (size_t i = half ? 1 : 0; i < objects.n; i += 2) {
		const struct fake_object *f = &objects.all[i];
		char text[CHECKS_TEXT];
		struct wr w = wr_of(text, sizeof(text));
		enum reason reason;

		if (!(f->where & FAKE_PACK))
			continue;
		reason = checks_object(checks, &f->oid, f->type, rd_of(f->bytes, f->n), &w);
		if (reason == REASON_NONE)
			continue;
		pthread_mutex_lock(&out);
		printf("object %s %s %.*s\n", hex(&f->oid), reason_text(reason), (int)w.n, text);
		pthread_mutex_unlock(&out);
	}
	return NULL;
}

int main(void)
{
	static const char *const verdicts[] = { "failed", "clean", "refused", "missing" };
	struct checks_sink sink = { on_refused, on_op, on_pointer, NULL };
	struct checks_spec spec = { .objects = &objects, .list = &push.list, .rules = &rules, .sink = &sink };
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	pthread_t other;
	enum checks_verdict v;
	struct oid missing;

	while ((n = getline(&line, &cap, stdin)) > 0) {
		line[n - 1] = '\0';
		on_line(line);
	}
	free(line);
	fake_ready(&objects);
	spec.format = format;
	spec.limits = limits;
	push.list.format = format;
	if (checks_new(&spec, &checks) < 0 || pthread_create(&other, NULL, feed, &objects))
		return 2;
	feed(NULL);
	pthread_join(other, NULL);
	v = checks_run(checks, &missing);
	for (size_t i = 0; i < n_finds; i++) {
		struct checks_place p = { .object = finds[i] };
		int r = checks_find(checks, &p);

		if (r < 0)
			printf("place %s %s\n", hex(&finds[i]), strerror(-r));
		else
			printf("place %s %s %s %s\n", hex(&p.object), hex(&p.commit), hex(&p.before), p.path ? p.path : "-");
		free(p.path);
	}
	printf("verdict %s %s\n", verdicts[v], v == CHECKS_MISSING ? hex(&missing) : "");
	checks_free(checks);
	fake_free(&objects);
	return 0;
}

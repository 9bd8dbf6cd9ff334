/*
 * push_request.c - a push as its client sends it: commands, options, then the pack
 *
 * Theory of operation: the bytes come in pieces of any size. Commands are pkt-lines up to a flush; where
 * push options were asked for, those are too; what follows is the pack, which is passed on and never looked
 * into. So where the pack begins is counted, not searched for. Capabilities stand behind a NUL on the first
 * line alone. What breaks the grammar ends the reading; what is of the grammar but not offered here (a
 * capability) is noted and read on, so that each reference can be told why.
 * Invariants: at most one packet is held; commands and options are bounded in number and size.
 * Spec: gitprotocol-pack(5) "Reference Update Request", gitprotocol-capabilities(5). Fuzzed by
 * tests/fuzz/fuzz_push_request.c.
 */
#include "gitproxy/mirror/push_request.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "gitproxy/refname.h"

enum { FIRST_CAP = sizeof(struct push_list) + 8 * sizeof(struct push_command) };

int push_request_new(struct push_request **ret)
{
	AUTO(push_request) struct push_request *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	q->cap = FIRST_CAP;
	q->list = calloc(1, q->cap);
	if (!q->list)
		return -ENOMEM;
	*ret = STEAL(q);
	return 0;
}

void push_request_free(struct push_request *q)
{
	if (q)
		free(q->list);
	free(q);
}

/* ---- why not ---- */

/* The first reason is the one that is told. */
static void note(struct push_request *q, enum reason reason, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void note(struct push_request *q, enum reason reason, const char *fmt, ...)
{
	va_list ap;

	if (q->reason != REASON_NONE)
		return;
	q->reason = reason;
	va_start(ap, fmt);
	vsnprintf(q->why, sizeof(q->why), fmt, ap);
	va_end(ap);
}

static bool malformed(struct push_request *q, const char *why)
{
	q->reason = REASON_NONE;		/* this one says what matters */
	note(q, REASON_REQUEST_MALFORMED, "%s", why);
	return !(q->bad = true);
}

/* ---- the list grows ---- */

/* Room behind what there is, zeroed; NULL: no memory. */
static void *room(struct push_request *q, size_t n)
{
	size_t have = push_list_size(q->list), cap = q->cap;
	struct push_list *more = q->list;

	while (have + n > cap)
		cap *= 2;
	if (cap > q->cap)
		more = realloc(q->list, cap);
	if (!more) {
		note(q, REASON_INTERNAL_ERROR, "out of memory");
		q->bad = true;
		return NULL;
	}
	q->list = more;
	q->cap = cap;
	return memset((uint8_t *)more + have, 0, n);
}

/* ---- capabilities ---- */

static void shown(struct rd word, char to[PUSH_WHY / 2])
{
	char all[4 * (PUSH_WHY / 16) + 4];

	bytes_escape(word, PUSH_WHY / 16, all, sizeof(all));
	snprintf(to, PUSH_WHY / 2, "%s", all);
}

static bool object_format(struct push_request *q, struct rd name)
{
	q->list->format = rd_eq_str(name, "sha256") ? OBJECT_SHA256 : OBJECT_SHA1;
	return q->list->format == OBJECT_SHA256 || rd_eq_str(name, "sha1");
}

/* Those that have a value. */
static bool known_value(struct push_request *q, struct rd word)
{
	return rd_prefix(&word, "object-format=") ? object_format(q, word) : rd_prefix(&word, "agent=");
}

static void capability(struct push_request *q, struct rd word)
{
	unsigned asked = push_capability(word);
	char text[PUSH_WHY / 2];

	q->report_status |= asked == PUSH_REPORT_STATUS;
	q->side_band |= asked == PUSH_SIDE_BAND;
	q->options |= asked == PUSH_OPTIONS;
	q->list->atomic |= asked == PUSH_ATOMIC;
	q->list->quiet |= asked == PUSH_QUIET;
	if ((asked && asked != PUSH_NO_THIN) || known_value(q, word))
		return;
	shown(word, text);
	note(q, REASON_CAPABILITY_NOT_ALLOWED, "%s is not offered", text);
}

static void capabilities(struct push_request *q, struct rd words)
{
	struct rd word;

	while (rd_left(&words)) {
		word = rd_piece(&words, ' ');
		if (rd_left(&word))
			capability(q, word);
	}
}

/* ---- lines ---- */

/* An id and the blank behind it. */
static bool take_id(struct push_request *q, struct rd *line, struct oid *ret)
{
	struct rd text;

	return rd_until(line, ' ', &text) && oid_parse(text, (enum object_format)q->list->format, ret);
}

static bool command(struct push_request *q, struct rd line)
{
	struct push_command c = { 0 }, *to;

	if (!take_id(q, &line, &c.old) || !take_id(q, &line, &c.new))
		return malformed(q, "a command is not two ids of objects and a name");
	if (rd_left(&line) >= sizeof(c.ref) || !refname_ok_onelevel(line))
		return malformed(q, "the name of a reference is none that git takes, or longer than 255 bytes");
	if (push_command_creates(&c) && push_command_deletes(&c))
		return malformed(q, "a command from nothing to nothing");
	if (q->list->n_commands == PUSH_COMMANDS_MAX)
		return malformed(q, "more than 20000 references in one push");
	memcpy(c.ref, line.p, line.n);
	to = room(q, sizeof(c));
	if (!to)
		return false;
	*to = c;
	q->list->n_commands++;
	q->list->has_pack |= !push_command_deletes(&c);
	return true;
}

/*
 * Where the client's own history ends. Not passed on: whoever judges wants all that is pushed to be complete
 * with what upstream has, whatever the client has of it, and upstream looks itself.
 */
static bool shallow(struct push_request *q, struct rd line)
{
	struct oid oid;

	if (++q->shallows > PUSH_SHALLOWS_MAX)
		return malformed(q, "too many shallow lines");
	return oid_parse(line, OBJECT_SHA1, &oid) || oid_parse(line, OBJECT_SHA256, &oid) ||
	       malformed(q, "a shallow line without the id of an object");
}

/* The first command's line: capabilities come before what they say of it. */
static bool first_command(struct push_request *q, struct rd line)
{
	struct rd head = rd_piece(&line, '\0');
	bool ok;

	capabilities(q, line);
	ok = command(q, head);
	q->began = ok || q->report_status || q->side_band;
	return ok;
}

static bool command_line(struct push_request *q, const struct pkt *pkt)
{
	struct rd line = pkt_text(pkt);

	if (!q->list->n_commands && rd_prefix(&line, "push-cert"))
		return malformed(q, "signed pushes are not taken: git push --no-signed");
	if (rd_prefix(&line, "shallow "))
		return q->list->n_commands ? malformed(q, "a shallow line behind a command") : shallow(q, line);
	return q->list->n_commands ? command(q, line) : first_command(q, line);
}

static bool option_line(struct push_request *q, const struct pkt *pkt)
{
	struct rd line = pkt_text(pkt), left = line;
	uint8_t c;
	char *to;

	if (q->list->n_options == PUSH_OPTIONS_MAX || line.n >= PUSH_OPTION)
		return malformed(q, "more than 64 push options, or one of more than 1023 bytes");
	while (rd_left(&left))
		if (!rd_u8(&left, &c) || c < 0x20 || c == 0x7f)
			return malformed(q, "a control character in a push option");
	to = room(q, PUSH_OPTION);
	if (!to)
		return false;
	if (line.n)
		memcpy(to, line.p, line.n);
	q->list->n_options++;
	return true;
}

/* ---- sections ---- */

static bool end_of_section(struct push_request *q)
{
	if (q->section == PUSH_SECTION_COMMANDS && !q->list->n_commands) {
		if (q->probe || q->shallows || q->reason != REASON_NONE)
			return malformed(q, "no commands");
		return q->probe = true;
	}
	if (q->section == PUSH_SECTION_COMMANDS && !push_list_names_differ(q->list))
		return malformed(q, "one reference twice");
	q->section = q->section == PUSH_SECTION_COMMANDS && q->options ? PUSH_SECTION_OPTIONS : PUSH_SECTION_PACK;
	return true;
}

static bool packet(struct push_request *q, const struct pkt *pkt)
{
	if (q->probe)
		return malformed(q, "something behind a flush");
	switch (pkt->type) {
	case PKT_DATA:
		return q->section == PUSH_SECTION_COMMANDS ? command_line(q, pkt) : option_line(q, pkt);
	case PKT_FLUSH:
		return end_of_section(q);
	case PKT_DELIM:
	case PKT_RESPONSE_END:
		break;
	}
	return malformed(q, "a packet of another protocol version");
}

/* ---- pieces ---- */

enum parse push_request_next(struct push_request *q, struct rd data, struct rd *ret_pack)
{
	struct pkt pkt;
	enum parse r;

	*ret_pack = (struct rd){ 0 };
	while (!q->bad && q->section != PUSH_SECTION_PACK) {
		r = pkt_stream_next(&q->packets, &data, &pkt);
		if (r == PARSE_MORE)
			return PARSE_MORE;
		if (r == PARSE_BAD)
			malformed(q, "not pkt-lines");
		else
			packet(q, &pkt);
	}
	q->pack += rd_left(&data);
	if (!q->bad && rd_left(&data) && !q->list->has_pack)
		malformed(q, "something behind a push that only deletes");
	if (q->bad)
		return PARSE_BAD;
	*ret_pack = data;
	return PARSE_OK;
}

enum parse push_request_end(struct push_request *q)
{
	if (!q->bad && !(q->probe && !q->packets.n) && q->section != PUSH_SECTION_PACK)
		malformed(q, "it ends within its commands");
	if (!q->bad && q->list->has_pack && !q->pack)
		malformed(q, "there is no pack");
	return q->bad ? PARSE_BAD : PARSE_OK;
}

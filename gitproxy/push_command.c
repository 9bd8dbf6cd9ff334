/*
 * push_command.c - what one push asks for, as the gate and the keeper hand it to each other
 *
 * Theory of operation: a head with counts, then arrays of fixed structs. The size must be what the counts
 * say, every text must end within its field with nothing behind it, and names follow git's rules; so a
 * list that passed push_list_ok() is indexed without further checks. The two who exchange it do not trust
 * each other: the gate has read hostile bytes, and the keeper has the credential.
 * Spec: gitprotocol-pack(5), gitprotocol-capabilities(5). Fuzzed by tests/fuzz/fuzz_push_list.c.
 */
#include "gitproxy/push_command.h"

#include <errno.h>
#include <stdlib.h>

#include "base/ipc.h"
#include "gitproxy/pkt.h"
#include "gitproxy/refname.h"

enum { CAPABILITIES_BYTES = 256 };

/* ---- capabilities ---- */

/* In the order in which they are written. */
static const struct { const char *word; unsigned bit; } words[] = {
	{ "report-status", PUSH_REPORT_STATUS }, { "side-band-64k", PUSH_SIDE_BAND }, { "quiet", PUSH_QUIET },
	{ "delete-refs", PUSH_DELETE_REFS },	 { "atomic", PUSH_ATOMIC },	      { "push-options", PUSH_OPTIONS },
	{ "ofs-delta", PUSH_OFS_DELTA },	 { "no-thin", PUSH_NO_THIN },
};

unsigned push_capability(struct rd word)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (rd_eq_str(word, words[i].word))
			return words[i].bit;
	return 0;
}

bool push_capabilities_write(struct wr *w, unsigned set, enum object_format format)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (set & words[i].bit) {
			wr_str(w, words[i].word);
			wr_u8(w, ' ');
		}
	if (set & PUSH_OBJECT_FORMAT)
		wr_fmt(w, "object-format=%s ", object_format_name(format));
	return wr_str(w, "agent=git/cordon-" CORDON_VERSION);
}

/* ---- what is in a list ---- */

static bool oid_is_zero(const struct oid *o)
{
	static const struct oid zero;

	return !memcmp(o, &zero, sizeof(zero));
}

bool push_command_creates(const struct push_command *c)
{
	return oid_is_zero(&c->old);
}

bool push_command_deletes(const struct push_command *c)
{
	return oid_is_zero(&c->new);
}

size_t push_list_size(const struct push_list *l)
{
	return sizeof(*l) + l->n_commands * sizeof(struct push_command) + (size_t)l->n_options * PUSH_OPTION;
}

const struct push_command *push_list_command(const struct push_list *l, size_t i)
{
	return (const struct push_command *)(l + 1) + i;
}

const char *push_list_option(const struct push_list *l, size_t i)
{
	return (const char *)push_list_command(l, l->n_commands) + i * PUSH_OPTION;
}

/* ---- is it one ---- */

/* The text of a field that ends in it, with zeros behind. */
static bool field_text(const char *p, size_t cap, struct rd *ret)
{
	size_t n = strnlen(p, cap);

	*ret = rd_of(p, n);
	for (size_t i = n; i < cap; i++)
		if (p[i])
			return false;
	return n < cap;
}

static bool tail_ok(const struct oid *o, enum object_format format)
{
	for (size_t i = oid_size(format); i < OID_MAX; i++)
		if (o->byte[i])
			return false;
	return true;
}

static bool command_ok(const struct push_command *c, enum object_format format)
{
	struct rd name;

	return field_text(c->ref, sizeof(c->ref), &name) && refname_ok_onelevel(name) && tail_ok(&c->old, format) &&
	       tail_ok(&c->new, format) && !(push_command_creates(c) && push_command_deletes(c));
}

/* Printable, or of UTF-8. */
static bool option_ok(const char *p)
{
	struct rd text;
	uint8_t c;

	if (!field_text(p, PUSH_OPTION, &text))
		return false;
	while (rd_left(&text))
		if (!rd_u8(&text, &c) || c < 0x20 || c == 0x7f)
			return false;
	return true;
}

static int by_name(const void *a, const void *b)
{
	const struct push_command *const *x = a, *const *y = b;

	return strcmp((*x)->ref, (*y)->ref);
}

bool push_list_names_differ(const struct push_list *l)
{
	AUTO(mem) const struct push_command **p = calloc(l->n_commands, sizeof(*p));

	for (size_t i = 0; p && i < l->n_commands; i++)
		p[i] = push_list_command(l, i);
	if (p)
		qsort(p, l->n_commands, sizeof(*p), by_name);
	for (size_t i = 1; p && i < l->n_commands; i++)
		if (!by_name(&p[i - 1], &p[i]))
			return false;
	return p != NULL;
}

static bool head_ok(const struct push_list *l)
{
	static const uint8_t none[sizeof(l->pad_)];

	return l->n_commands && l->n_commands <= PUSH_COMMANDS_MAX && l->n_options <= PUSH_OPTIONS_MAX &&
	       l->format <= OBJECT_SHA256 && l->atomic <= 1 && l->quiet <= 1 && l->has_pack <= 1 &&
	       l->upstream <= PUSH_CAPABILITIES && !memcmp(l->pad_, none, sizeof(none)) &&
	       (!l->atomic || l->upstream & PUSH_ATOMIC) && (!l->n_options || l->upstream & PUSH_OPTIONS) &&
	       (l->format == OBJECT_SHA1 || l->upstream & PUSH_OBJECT_FORMAT);
}

bool push_list_ok(struct rd bytes)
{
	const struct push_list *l = (const void *)bytes.p;
	bool pack = false;

	if (bytes.failed || bytes.n < sizeof(*l) || !head_ok(l) || bytes.n != push_list_size(l))
		return false;
	for (size_t i = 0; i < l->n_commands; i++) {
		const struct push_command *c = push_list_command(l, i);
		bool deletes = push_command_deletes(c);

		if (!command_ok(c, (enum object_format)l->format) || (deletes && !(l->upstream & PUSH_DELETE_REFS)))
			return false;
		pack |= !deletes;
	}
	for (size_t i = 0; i < l->n_options; i++)
		if (!option_ok(push_list_option(l, i)))
			return false;
	return pack == l->has_pack && push_list_names_differ(l);
}

/* ---- as a file ---- */

int push_list_file(const struct push_list *l)
{
	return ipc_memfd("push", l, push_list_size(l));
}

int push_list_read(int fd, struct push_list **ret)
{
	AUTO(mem) char *text = NULL;
	size_t n;
	int r = ipc_memfd_read(fd, PUSH_LIST_MAX, &text, &n);

	if (r < 0)
		return r;
	if (!push_list_ok(rd_of(text, n)))
		return -EBADMSG;
	*ret = (struct push_list *)(void *)STEAL(text);
	return 0;
}

/* ---- as git has it ---- */

/* What is asked of upstream, which offers it: what the gate wants, and of the rest what the client does. */
static unsigned asked(const struct push_list *l)
{
	return l->upstream & (PUSH_REPORT_STATUS | PUSH_SIDE_BAND | PUSH_OBJECT_FORMAT | (l->quiet ? PUSH_QUIET : 0) |
			      (l->atomic ? PUSH_ATOMIC : 0) | (l->n_options ? PUSH_OPTIONS : 0));
}

static bool command_write(struct wr *w, const struct push_list *l, size_t i)
{
	const struct push_command *c = push_list_command(l, i);
	enum object_format format = (enum object_format)l->format;
	uint8_t line[2 * OID_HEX_MAX + PUSH_REF + CAPABILITIES_BYTES];
	struct wr text = wr_of(line, sizeof(line));

	oid_write(&text, &c->old, format);
	wr_u8(&text, ' ');
	oid_write(&text, &c->new, format);
	wr_u8(&text, ' ');
	wr_str(&text, c->ref);
	if (!i) {
		wr_put(&text, "\0 ", 2);
		push_capabilities_write(&text, asked(l), format);
	}
	return wr_ok(&text) && pkt_write(w, wr_rd(&text));
}

bool push_list_write(struct wr *w, const struct push_list *l)
{
	for (size_t i = 0; i < l->n_commands; i++)
		if (!command_write(w, l, i))
			return false;
	pkt_flush(w);
	for (size_t i = 0; i < l->n_options; i++)
		pkt_write(w, rd_str(push_list_option(l, i)));
	if (l->n_options)
		pkt_flush(w);
	return wr_ok(w);
}

size_t push_list_bound(const struct push_list *l)
{
	return CAPABILITIES_BYTES + l->n_commands * (PKT_HEAD + 2 * OID_HEX_MAX + 2 + PUSH_REF) +
	       l->n_options * (PKT_HEAD + PUSH_OPTION) + 2 * PKT_HEAD;
}

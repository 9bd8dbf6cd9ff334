/*
 * push_advert.c - what upstream says that may be pushed to it, and what of that its client is told
 *
 * Theory of operation: the answer to info/refs for pushes: references, with capabilities behind the first.
 * References go on when git takes their names; `.have` lines, which name objects that no reference of this
 * repository holds, do not, nor what git's own server does not send. Of the capabilities those go on that the
 * gate itself can honour (it makes the report, whatever upstream can) or that upstream and this parser know.
 * Never: push certificates, since the gate cannot say what a signature covers.
 * Spec: gitprotocol-pack(5) "Reference Discovery", gitprotocol-http(5). Fuzzed by tests/fuzz/fuzz_push_advert.c.
 */
#include "gitproxy/mirror/push_advert.h"

#include "gitproxy/pkt.h"
#include "gitproxy/refname.h"

enum { HEAD_BYTES = 1024, OURS = PUSH_REPORT_STATUS | PUSH_SIDE_BAND | PUSH_QUIET };

/* ---- capabilities ---- */

static bool format_of(struct rd name, struct push_advert *a)
{
	a->upstream |= PUSH_OBJECT_FORMAT;
	a->format = rd_eq_str(name, "sha256") ? OBJECT_SHA256 : OBJECT_SHA1;
	return a->format == OBJECT_SHA256 || rd_eq_str(name, "sha1");
}

static bool capability(struct rd word, struct push_advert *a)
{
	a->upstream |= push_capability(word);
	return !rd_prefix(&word, "object-format=") || format_of(word, a);
}

static bool capabilities(struct rd words, struct push_advert *a)
{
	while (rd_left(&words))
		if (!capability(rd_piece(&words, ' '), a))
			return false;
	return true;
}

/* ---- lines ---- */

/* The next line's text; *ret_flush: or a flush. */
static bool next_text(struct rd *io, struct rd *ret, bool *ret_flush)
{
	struct pkt p;

	if (pkt_read(io, &p) != PARSE_OK || (p.type != PKT_DATA && p.type != PKT_FLUSH))
		return false;
	*ret_flush = p.type == PKT_FLUSH;
	*ret = p.type == PKT_DATA ? pkt_text(&p) : (struct rd){ 0 };
	return true;
}

/* An id and a name, without what is behind a NUL. */
static bool split(struct rd line, enum object_format format, struct oid *ret_oid, struct rd *ret_name)
{
	struct rd head = rd_piece(&line, '\0'), text;

	if (!rd_until(&head, ' ', &text) || !oid_parse(text, format, ret_oid))
		return false;
	*ret_name = head;
	return rd_left(&head) > 0;
}

static bool first_line(struct rd line, struct push_advert *a)
{
	struct rd head;

	return rd_until(&line, '\0', &head) && capabilities(line, a);
}

/* What is no reference of the repository. */
static bool is_shallow(struct rd line)
{
	return rd_prefix(&line, "shallow ");
}

/* Upstream's greeting over HTTP, which other ways to it have not. */
static bool skip_service(struct rd *io)
{
	struct rd at = *io, line;
	bool flush;

	if (!next_text(&at, &line, &flush) || flush)
		return false;
	if (!rd_eq_str(line, "# service=git-receive-pack"))
		return true;
	if (!next_text(&at, &line, &flush) || !flush)
		return false;
	*io = at;
	return true;
}

static bool check_lines(struct rd text, struct push_advert *a, struct rd *ret_refs)
{
	struct rd line, name, begin = text;
	struct oid oid;
	bool flush;

	for (size_t i = 0; next_text(&text, &line, &flush); i++) {
		if (flush) {
			*ret_refs = rd_of(begin.p, begin.n - text.n);
			return i && !rd_left(&text);
		}
		if (!i && !first_line(line, a))
			return false;
		if (!is_shallow(line) && !split(line, a->format, &oid, &name))
			return false;
	}
	return false;
}

enum parse push_advert_parse(struct rd text, struct push_advert *ret)
{
	struct push_advert a = { 0 }, count;
	struct oid oid;
	struct rd name;

	if (!skip_service(&text) || !check_lines(text, &a, &a.refs))
		return PARSE_BAD;
	count = a;
	while (push_advert_next(&count, &oid, &name))
		a.n_refs++;
	*ret = a;
	return PARSE_OK;
}

bool push_advert_next(struct push_advert *io, struct oid *ret_oid, struct rd *ret_name)
{
	struct rd line;
	bool flush;

	while (next_text(&io->refs, &line, &flush) && !flush)
		if (!is_shallow(line) && split(line, io->format, ret_oid, ret_name) && refname_ok(*ret_name))
			return true;
	return false;
}

/* ---- for the client ---- */

static bool write_line(struct wr *w, const struct push_advert *a, const struct oid *oid, struct rd name, bool first)
{
	uint8_t line[OID_HEX_MAX + REFNAME_MAX + HEAD_BYTES / 2];
	struct wr text = wr_of(line, sizeof(line));

	oid_write(&text, oid, a->format);
	wr_u8(&text, ' ');
	wr_rd_all(&text, name);
	if (first) {
		wr_u8(&text, '\0');
		push_capabilities_write(&text, a->upstream | OURS, a->format);
	}
	wr_u8(&text, '\n');
	return wr_ok(&text) && pkt_write(w, wr_rd(&text));
}

bool push_advert_write(struct wr *w, const struct push_advert *advert)
{
	struct push_advert a = *advert;
	static const struct oid none;
	struct oid oid;
	struct rd name;
	bool first = true;

	pkt_line(w, "# service=git-receive-pack");
	pkt_flush(w);
	for (; push_advert_next(&a, &oid, &name); first = false)
		write_line(w, advert, &oid, name, first);
	if (first)
		write_line(w, advert, &none, rd_str("capabilities^{}"), true);
	return pkt_flush(w);
}

/* A line of ours is upstream's with at most a line feed more. */
size_t push_advert_bound(struct rd text)
{
	return text.n + text.n / 32 + HEAD_BYTES;
}

/*
 * fetch_request.c - a request of protocol v2, parsed
 *
 * Theory of operation: one pass over the pkt-lines: the command, its capabilities, a delimiter, its
 * arguments, a flush, and nothing behind it. Capabilities and arguments are tables; one that is not
 * in its table, or that the mirror does not advertise, refuses the request with a sentence that
 * names it. Ids are kept as bytes by the object format, texts as slices of the body. At the end
 * every list is sorted and equal entries fall together, so that clients that ask for the same thing
 * are seen to. Every list has its bound; the body's size is the caller's.
 * Spec: gitprotocol-v2(5). Fuzzed by tests/fuzz/fuzz_fetch_request.c.
 */
#include "gitproxy/mirror/fetch_request.h"

#include <errno.h>
#include <stdlib.h>

#include "gitproxy/mirror/fetch_filter.h"
#include "gitproxy/pkt.h"
#include "gitproxy/refname.h"

enum { NAME_SHOWN = 24 };

struct parser {
	struct fetch_request *q;
	struct fetch_error *error;
	unsigned seen;			/* capabilities */
	bool no_memory;
};

struct argument {
	const char *name;		/* a space or '=' at its end: a value follows */
	bool (*take)(struct parser *p, const struct argument *a, struct rd value);
	unsigned detail;
};

static bool refuse(struct parser *p, const char *sentence)
{
	struct wr w = wr_of(p->error->text, sizeof(p->error->text));

	if (!wr_str(&w, sentence) || !wr_u8(&w, 0))
		p->error->text[0] = 0;
	return false;
}

/* The same, with the beginning of what the client wrote. */
static bool refuse_text(struct parser *p, const char *sentence, struct rd text)
{
	struct wr w = wr_of(p->error->text, sizeof(p->error->text));
	char shown[4 * NAME_SHOWN + 4];

	bytes_escape(text, NAME_SHOWN, shown, sizeof(shown));
	return wr_fmt(&w, "%s: %s", sentence, shown) ? false : refuse(p, sentence);
}

/* Room for one more entry of `size` bytes. */
static bool list_grow(struct parser *p, void **list, size_t n, size_t *cap, size_t size)
{
	size_t want = *cap ? 2 * *cap : 16;
	void *more;

	if (n < *cap)
		return true;
	more = reallocarray(*list, want, size);
	if (!more) {
		p->no_memory = true;
		return false;
	}
	*list = more;
	*cap = want;
	return true;
}

static bool take_flag(struct parser *p, const struct argument *a, struct rd value)
{
	(void)value;
	p->q->flags |= a->detail;
	return true;
}

static bool take_id(struct parser *p, const struct argument *a, struct rd value)
{
	struct fetch_ids_list *l = &p->q->ids[a->detail];
	size_t all = 0;
	void *list = l->oid;

	for (size_t i = 0; i < FETCH_IDS; i++)
		all += p->q->ids[i].n;
	if (all >= FETCH_OIDS_MAX)
		return refuse(p, "too many objects are named in one request");
	if (!list_grow(p, &list, l->n, &l->cap, sizeof(*l->oid)))
		return false;
	l->oid = list;
	if (!oid_parse(value, p->q->format, &l->oid[l->n]))
		return refuse_text(p, "this is no object id of the repository's format", value);
	l->n++;
	return true;
}

static bool take_text(struct parser *p, enum fetch_texts which, struct rd value, size_t max)
{
	struct fetch_text_list *l = &p->q->texts[which];
	void *list = l->text;

	if (l->n >= max)
		return refuse(p, "too many names are in one request");
	if (!list_grow(p, &list, l->n, &l->cap, sizeof(*l->text)))
		return false;
	l->text = list;
	l->text[l->n++] = value;
	return true;
}

static bool take_not(struct parser *p, const struct argument *a, struct rd value)
{
	if (!refname_ok_onelevel(value))
		return refuse_text(p, "this is no name of a reference", value);
	return take_text(p, (enum fetch_texts)a->detail, value, FETCH_NOTS_MAX);
}

static bool take_prefix(struct parser *p, const struct argument *a, struct rd value)
{
	struct rd left = value;
	uint8_t c;

	while (rd_left(&left))
		if (value.n > FETCH_TEXT_MAX || !rd_u8(&left, &c) || c <= ' ' || c == 0x7f)
			return refuse_text(p, "this is no prefix of a reference", value);
	return take_text(p, (enum fetch_texts)a->detail, value, FETCH_PREFIXES_MAX);
}

static bool take_depth(struct parser *p, const struct argument *a, struct rd value)
{
	uint64_t depth;

	(void)a;
	if (p->q->depth || !fetch_number(value, INT32_MAX, &depth))
		return refuse_text(p, "this is no depth, or a second one", value);
	p->q->depth = (uint32_t)depth;
	return true;
}

static bool take_since(struct parser *p, const struct argument *a, struct rd value)
{
	(void)a;
	if (p->q->since || !fetch_number(value, INT64_MAX, &p->q->since))
		return refuse_text(p, "this is no time, or a second one", value);
	return true;
}

static bool take_filter(struct parser *p, const struct argument *a, struct rd value)
{
	(void)a;
	if (p->q->filter.n || value.n > FETCH_TEXT_MAX || !fetch_filter_ok(value))
		return refuse_text(p, "this filter is not supported", value);
	p->q->filter = value;
	return true;
}

static bool not_advertised(struct parser *p, const struct argument *a, struct rd value)
{
	(void)value;
	return refuse_text(p, "this was not advertised", rd_str(a->name));
}

static const struct argument of_fetch[] = {
	{ "have ", take_id, FETCH_HAVES },
	{ "want ", take_id, FETCH_WANTS },
	{ "shallow ", take_id, FETCH_SHALLOWS },
	{ "done", take_flag, FETCH_DONE },
	{ "thin-pack", take_flag, FETCH_THIN_PACK },
	{ "no-progress", take_flag, FETCH_NO_PROGRESS },
	{ "include-tag", take_flag, FETCH_INCLUDE_TAG },
	{ "ofs-delta", take_flag, FETCH_OFS_DELTA },
	{ "wait-for-done", take_flag, FETCH_WAIT_FOR_DONE },
	{ "deepen ", take_depth, 0 },
	{ "deepen-relative", take_flag, FETCH_DEEPEN_RELATIVE },
	{ "deepen-since ", take_since, 0 },
	{ "deepen-not ", take_not, FETCH_NOTS },
	{ "filter ", take_filter, 0 },
	{ "want-ref ", not_advertised, 0 },
	{ "sideband-all", not_advertised, 0 },
	{ "packfile-uris ", not_advertised, 0 },
	{ NULL, NULL, 0 },
};

static const struct argument of_ls_refs[] = {
	{ "peel", take_flag, FETCH_PEEL },
	{ "symrefs", take_flag, FETCH_SYMREFS },
	{ "unborn", take_flag, FETCH_UNBORN },
	{ "ref-prefix ", take_prefix, FETCH_PREFIXES },
	{ NULL, NULL, 0 },
};

enum { CAP_FORMAT, CAP_AGENT, CAP_SESSION };

/* Each at most once. What a client says of itself is checked for its form and then forgotten. */
static bool take_capability(struct parser *p, const struct argument *a, struct rd value)
{
	if (p->seen & 1u << a->detail)
		return refuse_text(p, "this capability is there twice", rd_str(a->name));
	p->seen |= 1u << a->detail;
	if (a->detail != CAP_FORMAT)
		return true;
	p->q->format = rd_eq_str(value, "sha256") ? OBJECT_SHA256 : OBJECT_SHA1;
	return rd_eq_str(value, object_format_name(p->q->format)) ||
	       refuse_text(p, "this object format is not known", value);
}

static const struct argument capabilities[] = {
	{ "agent=", take_capability, CAP_AGENT },
	{ "object-format=", take_capability, CAP_FORMAT },
	{ "session-id=", take_capability, CAP_SESSION },
	{ "server-option=", not_advertised, 0 },
	{ "command=", not_advertised, 0 },
	{ NULL, NULL, 0 },
};

static bool matches(const struct argument *a, struct rd *io)
{
	size_t n = strlen(a->name);
	bool valued = a->name[n - 1] == ' ' || a->name[n - 1] == '=';

	return valued ? rd_prefix(io, a->name) : rd_eq_str(*io, a->name);
}

static bool take_line(struct parser *p, const struct argument *table, struct rd line)
{
	for (const struct argument *a = table; a->name; a++) {
		struct rd value = line;

		if (matches(a, &value))
			return a->take(p, a, value);
	}
	return refuse_text(p, "this is not known", line);
}

/* Lines of one table up to what is no line. */
static bool take_lines(struct parser *p, const struct argument *table, struct rd *io,
		       enum pkt_type *ret_end)
{
	struct pkt pkt;

	for (;;) {
		if (pkt_read(io, &pkt) != PARSE_OK)
			return refuse(p, "the request is cut short or malformed");
		if (pkt.type != PKT_DATA) {
			*ret_end = pkt.type;
			return true;
		}
		if (!take_line(p, table, pkt_text(&pkt)))
			return false;
	}
}

static const struct { const char *name; enum fetch_command command; const struct argument *table; }
commands[] = {
	{ "fetch", FETCH_OBJECTS, of_fetch },
	{ "ls-refs", FETCH_LS_REFS, of_ls_refs },
};

static const struct argument *take_command(struct parser *p, const struct pkt *pkt)
{
	struct rd text = pkt_text(pkt);

	if (pkt->type != PKT_DATA || !rd_prefix(&text, "command=")) {
		refuse(p, "the request does not begin with a command");
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (rd_eq_str(text, commands[i].name)) {
			p->q->command = commands[i].command;
			return commands[i].table;
		}
	refuse_text(p, "this command was not advertised", text);
	return NULL;
}

static bool take_all(struct parser *p, struct rd body)
{
	const struct argument *table;
	enum pkt_type end;
	struct pkt pkt;

	if (pkt_read(&body, &pkt) != PARSE_OK)
		return refuse(p, "the request is cut short or malformed");
	if (pkt.type == PKT_FLUSH && rd_done(&body))
		return true;				/* git asks so whether a large body may come */
	table = take_command(p, &pkt);
	if (!table || !take_lines(p, capabilities, &body, &end))
		return false;
	if (end == PKT_DELIM && !take_lines(p, table, &body, &end))
		return false;
	if (end != PKT_FLUSH || !rd_done(&body))
		return refuse(p, "the request does not end where it should");
	return true;
}

static bool consistent(struct parser *p)
{
	struct fetch_request *q = p->q;

	if (q->command != FETCH_OBJECTS)
		return true;
	if (!q->ids[FETCH_WANTS].n && !(q->flags & FETCH_WAIT_FOR_DONE))
		return refuse(p, "the request wants nothing");
	if (q->depth && (q->since || q->texts[FETCH_NOTS].n))
		return refuse(p, "deepen goes with neither deepen-since nor deepen-not");
	if (!q->depth)
		q->flags &= ~(unsigned)FETCH_DEEPEN_RELATIVE;	/* git ignores it too */
	return true;
}

int fetch_request_parse(struct rd body, struct fetch_request *ret, struct fetch_error *ret_error)
{
	struct fetch_request q = { 0 };
	struct parser p = { .q = &q, .error = ret_error };

	*ret = q;
	if (!take_all(&p, body) || !consistent(&p)) {
		fetch_request_done(&q);
		return p.no_memory ? -ENOMEM : -EBADMSG;
	}
	fetch_request_sort(&q);
	*ret = q;
	return 0;
}

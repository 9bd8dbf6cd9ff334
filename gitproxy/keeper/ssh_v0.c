/*
 * ssh_v0.c - protocol v2 for a server that speaks v0 alone
 *
 * Theory of operation: an sshd passes GIT_PROTOCOL on where it was told to, and Debian's was not, so
 * git answers in v0 there: all references at once, with capabilities behind a NUL in the first line.
 * That holds what ls-refs asks for; a fetch is said in v0's words, wants, haves and done at once, so
 * that one line (ACK or NAK) and the pack answer it. Only what cordon-mirror asks is translated: it
 * asks for whole objects, never for shallow or partial ones, since it makes those answers itself.
 * Names are held to git's rules here, as they become files of the mirror. Allocates nothing.
 * Spec: gitprotocol-pack(5), gitprotocol-v2(5). Fuzzed by tests/fuzz/fuzz_ssh_v0.c.
 */
#include "gitproxy/keeper/ssh_v0.h"

#include "gitproxy/pkt.h"
#include "gitproxy/refname.h"

enum { FIXED_MAX = 1024, PREFIXES_MAX = 64 };

/* ---- the advertisement ---- */

/* The next word of a list with blanks between. */
static bool next_word(struct rd *io, struct rd *ret)
{
	while (rd_left(io) && io->p[0] == ' ')
		if (!rd_skip(io, 1))
			return false;
	*ret = rd_piece(io, ' ');
	return rd_left(ret) > 0;
}

/* "NAME" or "NAME=VALUE"; the value, which may be empty. */
static bool has_cap(struct rd caps, const char *name, struct rd *ret_value)
{
	struct rd word;

	while (next_word(&caps, &word))
		if (rd_prefix(&word, name) && (!rd_left(&word) || rd_prefix(&word, "="))) {
			*ret_value = word;
			return true;
		}
	return false;
}

static bool has(const struct v0_advert *a, const char *name)
{
	struct rd value;

	return has_cap(a->caps, name, &value);
}

static bool take_format(struct v0_advert *a)
{
	struct rd value;

	if (!has_cap(a->caps, "object-format", &value))
		return true;
	a->format = rd_eq_str(value, "sha256") ? OBJECT_SHA256 : OBJECT_SHA1;
	return rd_eq_str(value, "sha256") || rd_eq_str(value, "sha1");
}

struct v0_ref { struct oid oid; struct rd name; bool peeled; };

static bool drop_suffix(struct rd *io, const char *suffix)
{
	size_t n = strlen(suffix);

	if (io->n < n || memcmp(io->p + (io->n - n), suffix, n))
		return false;
	io->n -= n;
	return true;
}

static bool ref_parse(struct rd line, enum object_format format, struct v0_ref *ret)
{
	struct rd oid;

	if (!rd_until(&line, ' ', &oid) || !oid_parse(oid, format, &ret->oid))
		return false;
	ret->name = line;
	ret->peeled = drop_suffix(&ret->name, "^{}");
	return rd_eq_str(ret->name, "HEAD") || rd_eq_str(ret->name, ".have") || refname_ok(ret->name);
}

static bool line_ok(struct rd line, enum object_format format)
{
	struct v0_ref ref;
	struct oid oid;

	if (rd_prefix(&line, "shallow "))
		return oid_parse(line, format, &oid);
	return ref_parse(line, format, &ref);
}

/* Nothing there but capabilities. */
static bool is_empty_mark(struct rd line)
{
	return line.n > 16 && drop_suffix(&line, " capabilities^{}");
}

static bool first_line(struct rd *text, struct v0_advert *a, struct rd *ret_line)
{
	struct rd line;
	struct pkt pkt;

	if (pkt_read(text, &pkt) != PARSE_OK || pkt.type != PKT_DATA)
		return false;
	line = pkt_text(&pkt);
	if (!rd_until(&line, '\0', ret_line))
		return false;
	a->caps = line;
	return take_format(a);
}

/* The first line of `lines` is what stands before the NUL: read again by next_ref(). */
enum parse v0_advert_parse(struct rd text, struct v0_advert *ret)
{
	struct v0_advert a = { .lines = text };
	struct rd line;
	struct pkt pkt;
	bool empty;

	if (rd_eq_str(text, "0000")) {			/* what git says of an empty one */
		*ret = (struct v0_advert){ 0 };
		return PARSE_OK;
	}
	if (!first_line(&text, &a, &line))
		return PARSE_BAD;
	empty = is_empty_mark(line);
	if (!empty && !line_ok(line, a.format))
		return PARSE_BAD;
	for (;;) {
		if (pkt_read(&text, &pkt) != PARSE_OK)
			return PARSE_BAD;
		if (pkt.type == PKT_FLUSH)
			break;
		if (pkt.type != PKT_DATA || !line_ok(pkt_text(&pkt), a.format))
			return PARSE_BAD;
	}
	if (!rd_done(&text))
		return PARSE_BAD;
	if (empty)
		a.lines = (struct rd){ 0 };
	*ret = a;
	return PARSE_OK;
}

/* The next reference of an advertisement that was checked. */
static bool next_ref(struct rd *io, enum object_format format, struct v0_ref *ret)
{
	struct rd text, line;
	struct pkt pkt;

	while (rd_left(io) && pkt_read(io, &pkt) == PARSE_OK && pkt.type == PKT_DATA) {
		text = pkt_text(&pkt);
		line = rd_piece(&text, '\0');
		if (!rd_prefix(&line, "shallow ") && ref_parse(line, format, ret) &&
		    !rd_eq_str(ret->name, ".have"))
			return true;
	}
	return false;
}

bool v0_write_advert(const struct v0_advert *a, struct wr *w)
{
	return pkt_line(w, "# service=git-upload-pack") && pkt_flush(w) && pkt_line(w, "version 2") &&
	       pkt_line(w, "ls-refs") && pkt_line(w, "fetch=shallow wait-for-done filter") &&
	       pkt_line(w, "object-format=%s", object_format_name(a->format)) && pkt_flush(w);
}

/* ---- requests ---- */

struct v0_args {			/* the lines of a request behind its delimiter */
	struct rd left;
};

static bool next_arg(struct v0_args *io, struct rd *ret, bool *ret_end)
{
	struct pkt pkt;

	if (pkt_read(&io->left, &pkt) != PARSE_OK || (pkt.type != PKT_DATA && pkt.type != PKT_FLUSH))
		return false;
	*ret_end = pkt.type == PKT_FLUSH;
	*ret = pkt_text(&pkt);
	return !*ret_end || rd_done(&io->left);
}

/* The command, and what comes behind the capabilities. */
static enum v0_command begin(struct rd body, struct v0_args *ret)
{
	enum v0_command c = V0_BAD;
	struct pkt pkt;
	struct rd text;

	if (pkt_read(&body, &pkt) != PARSE_OK || pkt.type != PKT_DATA)
		return V0_BAD;
	text = pkt_text(&pkt);
	c = rd_eq_str(text, "command=ls-refs") ? V0_LS_REFS : rd_eq_str(text, "command=fetch") ? V0_FETCH : V0_BAD;
	while (pkt_read(&body, &pkt) == PARSE_OK) {
		if (pkt.type == PKT_DELIM) {
			ret->left = body;
			return c;
		}
		if (pkt.type != PKT_DATA)
			break;
	}
	return V0_BAD;
}

enum v0_command v0_command_of(struct rd body)
{
	struct v0_args args;

	return begin(body, &args);
}

/* ---- ls-refs ---- */

struct refs_wanted {
	bool peel, symrefs;
	struct rd prefix[PREFIXES_MAX];
	size_t n;
};

static bool refs_args(struct v0_args args, struct refs_wanted *ret)
{
	struct rd arg;
	bool end;

	while (next_arg(&args, &arg, &end)) {
		if (end)
			return true;
		if (rd_eq_str(arg, "peel"))
			ret->peel = true;
		else if (rd_eq_str(arg, "symrefs"))
			ret->symrefs = true;
		else if (rd_prefix(&arg, "ref-prefix ") && ret->n < PREFIXES_MAX)
			ret->prefix[ret->n++] = arg;
		else if (!rd_eq_str(arg, "unborn"))
			return false;
	}
	return false;
}

static bool is_wanted(const struct refs_wanted *q, struct rd name)
{
	for (size_t i = 0; i < q->n; i++)
		if (name.n >= q->prefix[i].n && !memcmp(name.p, q->prefix[i].p, q->prefix[i].n))
			return true;
	return !q->n;
}

/* symref=NAME:TARGET among the capabilities. */
static bool target_of(struct rd caps, struct rd name, struct rd *ret)
{
	struct rd word, from;

	while (next_word(&caps, &word))
		if (rd_prefix(&word, "symref=") && rd_until(&word, ':', &from) && rd_eq(from, name.p, name.n) &&
		    refname_ok(word)) {
			*ret = word;
			return true;
		}
	return false;
}

static bool write_ref(const struct v0_advert *a, const struct refs_wanted *q, const struct v0_ref *ref,
		      const struct oid *peeled, struct wr *w)
{
	char text[2 * OID_HEX_MAX + 2 * REFNAME_MAX + 64];
	struct wr line = wr_of(text, sizeof(text));
	struct rd target;
	bool ok = oid_write(&line, &ref->oid, a->format) && wr_str(&line, " ") && wr_rd_all(&line, ref->name);

	if (ok && q->symrefs && target_of(a->caps, ref->name, &target))
		ok = wr_str(&line, " symref-target:") && wr_rd_all(&line, target);
	if (ok && q->peel && peeled)
		ok = wr_str(&line, " peeled:") && oid_write(&line, peeled, a->format);
	return ok && wr_str(&line, "\n") && pkt_write(w, wr_rd(&line));
}

size_t v0_refs_bound(const struct v0_advert *a)
{
	return 2 * a->lines.n + a->caps.n + FIXED_MAX;	/* a target more; what is peeled has a line there too */
}

bool v0_answer_refs(const struct v0_advert *a, struct rd body, struct wr *w)
{
	struct refs_wanted q = { 0 };
	struct rd lines = a->lines;
	struct v0_ref ref, after;
	struct v0_args args;
	bool more;

	if (begin(body, &args) != V0_LS_REFS || !refs_args(args, &q))
		return false;
	for (more = next_ref(&lines, a->format, &ref); more; ref = after) {
		bool tag;

		more = next_ref(&lines, a->format, &after);
		tag = more && after.peeled && rd_eq(after.name, ref.name.p, ref.name.n);
		if (!ref.peeled && is_wanted(&q, ref.name) && !write_ref(a, &q, &ref, tag ? &after.oid : NULL, w))
			return false;
		if (!more)
			break;
	}
	return pkt_flush(w);
}

/* ---- fetch ---- */

/* Words of v2's that are capabilities in v0. */
static const char *const options[] = { "thin-pack", "ofs-delta", "no-progress", "include-tag" };

struct fetch_wanted {
	bool option[ARRAY_SIZE(options)];
	bool done;
	size_t wants;
};

static bool take_option(struct fetch_wanted *q, struct rd arg)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (rd_eq_str(arg, options[i]))
			return q->option[i] = true;
	if (rd_eq_str(arg, "done"))
		return q->done = true;
	return false;
}

/* What is asked for, and that nothing else is. */
static bool fetch_args(struct v0_args args, enum object_format format, struct fetch_wanted *ret)
{
	struct oid oid;
	struct rd arg;
	bool end;

	while (next_arg(&args, &arg, &end)) {
		if (end)
			return ret->wants && ret->done;
		if (rd_prefix(&arg, "want ")) {
			ret->wants++;
			if (!oid_parse(arg, format, &oid))
				return false;
		} else if (rd_prefix(&arg, "have ")) {
			if (!oid_parse(arg, format, &oid))
				return false;
		} else if (!take_option(ret, arg)) {
			return false;
		}
	}
	return false;
}

static bool write_caps(const struct v0_advert *a, const struct fetch_wanted *q, struct wr *w)
{
	bool ok = wr_str(w, " side-band-64k");

	for (size_t i = 0; ok && i < ARRAY_SIZE(options); i++)
		if (q->option[i] && has(a, options[i]))
			ok = wr_str(w, " ") && wr_str(w, options[i]);
	if (ok && has(a, "object-format"))
		ok = wr_str(w, " object-format=") && wr_str(w, object_format_name(a->format));
	return ok && (!has(a, "agent") || wr_str(w, " agent=git/cordon-" CORDON_VERSION));
}

/* All lines of one word; behind the first want stand the capabilities. */
static bool write_ids(const struct v0_advert *a, struct v0_args args, const char *word, const struct fetch_wanted *first,
		      struct wr *w)
{
	struct rd arg;
	bool end;

	while (next_arg(&args, &arg, &end) && !end) {
		char text[FIXED_MAX];
		struct wr line = wr_of(text, sizeof(text));

		if (!rd_prefix(&arg, word))
			continue;
		if (!wr_str(&line, word) || !wr_rd_all(&line, arg) || (first && !write_caps(a, first, &line)) ||
		    !wr_str(&line, "\n") || !pkt_write(w, wr_rd(&line)))
			return false;
		first = NULL;
	}
	return true;
}

bool v0_write_fetch(const struct v0_advert *a, struct rd body, struct wr *w)
{
	struct fetch_wanted q = { 0 };
	struct v0_args args;

	return begin(body, &args) == V0_FETCH && fetch_args(args, a->format, &q) && has(a, "side-band-64k") &&
	       write_ids(a, args, "want ", &q, w) && pkt_flush(w) && write_ids(a, args, "have ", NULL, w) &&
	       pkt_line(w, "done");
}

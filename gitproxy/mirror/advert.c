/*
 * advert.c - what a mirror says that it can do
 *
 * Theory of operation: the answer to info/refs in protocol version 2 names capabilities, no
 * references. References come from upstream and objects from our git, so of each capability that is
 * said which its own source has; what neither this parser nor the mirror knows is left out.
 * Spec: gitprotocol-v2(5), gitprotocol-http(5). Fuzzed by tests/fuzz/fuzz_advert.c.
 */
#include "gitproxy/mirror/advert.h"

#include "gitproxy/pkt.h"

/* A line feed less than a line, or the whole. */
static bool next_text(struct rd *io, struct rd *ret, bool *ret_flush)
{
	struct pkt p;

	*ret_flush = false;
	if (pkt_read(io, &p) != PARSE_OK)
		return false;
	*ret_flush = p.type == PKT_FLUSH;
	*ret = p.type == PKT_DATA ? pkt_text(&p) : (struct rd){ 0 };
	return p.type == PKT_DATA || p.type == PKT_FLUSH;
}

static void fetch_words(struct rd words, struct advert *a)
{
	while (rd_left(&words)) {
		struct rd word = rd_piece(&words, ' ');

		a->shallow |= rd_eq_str(word, "shallow");
		a->wait_for_done |= rd_eq_str(word, "wait-for-done");
		a->filter |= rd_eq_str(word, "filter");
	}
}

static bool capability(struct rd line, struct advert *a, bool *refs, bool *fetch)
{
	if (rd_prefix(&line, "object-format=")) {
		a->format = rd_eq_str(line, "sha256") ? OBJECT_SHA256 : OBJECT_SHA1;
		return rd_eq_str(line, "sha256") || rd_eq_str(line, "sha1");
	}
	if (rd_prefix(&line, "ls-refs")) {
		*refs = !rd_left(&line) || rd_prefix(&line, "=");
		a->unborn = rd_eq_str(line, "unborn");
	} else if (rd_prefix(&line, "fetch")) {
		*fetch = !rd_left(&line) || rd_prefix(&line, "=");
		fetch_words(line, a);
	}
	return true;
}

enum parse advert_parse(struct rd text, struct advert *ret)
{
	bool flush, refs = false, fetch = false;
	struct rd line;

	*ret = (struct advert){ 0 };
	if (!next_text(&text, &line, &flush))
		return PARSE_BAD;
	if (rd_eq_str(line, "# service=git-upload-pack") &&
	    (!next_text(&text, &line, &flush) || !flush || !next_text(&text, &line, &flush)))
		return PARSE_BAD;
	if (!rd_eq_str(line, "version 2"))
		return PARSE_BAD;
	while (next_text(&text, &line, &flush)) {
		if (flush)
			return refs && fetch && !rd_left(&text) ? PARSE_OK : PARSE_BAD;
		if (!capability(line, ret, &refs, &fetch))
			return PARSE_BAD;
	}
	return PARSE_BAD;
}

struct advert advert_own(enum object_format format)
{
	return (struct advert){ .format = format, .unborn = true, .shallow = true, .wait_for_done = true,
				.filter = true };
}

struct advert advert_common(const struct advert *upstream)
{
	struct advert a = advert_own(upstream->format);

	a.unborn = upstream->unborn;
	a.shallow = upstream->shallow;		/* as clients see it without us */
	a.filter = upstream->filter;
	a.wait_for_done = upstream->wait_for_done;
	return a;
}

bool advert_write(struct wr *w, const struct advert *a)
{
	bool any = a->shallow || a->wait_for_done || a->filter;

	return pkt_line(w, "# service=git-upload-pack") && pkt_flush(w) && pkt_line(w, "version 2") &&
	       pkt_line(w, "agent=git/cordon-" CORDON_VERSION) &&
	       pkt_line(w, a->unborn ? "ls-refs=unborn" : "ls-refs") &&
	       pkt_line(w, "fetch%s%s%s%s", any ? "=" : "", a->shallow ? "shallow" : "",
			a->wait_for_done ? &" wait-for-done"[!a->shallow] : "",
			a->filter ? &" filter"[!a->shallow && !a->wait_for_done] : "") &&
	       pkt_line(w, "object-format=%s", object_format_name(a->format)) && pkt_flush(w);
}

/*
 * config_text.c - git's configuration syntax, as in .gitmodules
 *
 * Theory of operation: git reads such a file byte by byte, a line's end before or after a carriage return
 * being one byte, and so does this, since what another reader sees in a file is no defence against
 * what git sees. Where git gives up, this does, and says so. No name and no value is longer than the
 * text, which is how long the two buffers are. Includes are read as any other setting.
 * Fuzzed by tests/fuzz/fuzz_gitmodules.c; compared with git by tests/test_gate_fsck.py.
 */
#include "gitproxy/gate/config_text.h"

struct reader {
	struct rd left;
	bool ended;		/* the line's end behind the last byte was given */
	struct wr name, value;
	size_t stem;		/* bytes of the name that the section gave */
	struct config_text_to *to;
};

static uint8_t next(struct reader *r)
{
	uint8_t c;

	if (!rd_left(&r->left) || !rd_u8(&r->left, &c)) {
		r->ended = true;
		return '\n';
	}
	if (c == '\r' && rd_left(&r->left) && r->left.p[0] == '\n')
		c = rd_u8(&r->left, &c) ? '\n' : '\0';
	return c;
}

static bool space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool letter(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool key_byte(uint8_t c)
{
	return letter(c) || (c >= '0' && c <= '9') || c == '-';
}

static bool put_lower(struct wr *w, uint8_t c)
{
	return wr_u8(w, c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

/* ["section "subsection"], from the byte behind the section. */
static bool subsection(struct reader *r, uint8_t c)
{
	while (space(c)) {
		if (c == '\n')
			return false;
		c = next(r);
	}
	if (c != '"')
		return false;
	wr_u8(&r->name, '.');
	while ((c = next(r)) != '"') {
		if (c == '\\')
			c = next(r);
		if (c == '\n')
			return false;
		wr_u8(&r->name, c);
	}
	return next(r) == ']';
}

static bool section(struct reader *r)
{
	uint8_t c;

	r->name.n = 0;
	while ((c = next(r)) != ']') {
		if (r->ended)
			return false;
		if (space(c))
			return subsection(r, c);
		if (!key_byte(c) && c != '.')
			return false;
		put_lower(&r->name, c);
	}
	return true;
}

static bool escape(uint8_t *c)
{
	static const char from[] = "tbn\\\"", to[] = "\t\b\n\\\"";
	const char *at = memchr(from, *c, sizeof(from) - 1);

	if (!at)
		return false;
	*c = (uint8_t)to[at - from];
	return true;
}

static bool put_value(struct reader *r, size_t *spaces, uint8_t c)
{
	for (; *spaces; --*spaces)
		wr_u8(&r->value, ' ');
	if (c != '\\')
		return wr_u8(&r->value, c);
	c = next(r);
	return c == '\n' || (escape(&c) && wr_u8(&r->value, c));	/* or it goes on in the next line */
}

static bool value(struct reader *r)
{
	bool quoted = false, comment = false;
	size_t spaces = 0;
	uint8_t c;

	r->value.n = 0;
	while ((c = next(r)) != '\n') {
		if (comment)
			continue;
		if (!quoted && space(c))
			spaces += r->value.n > 0;
		else if (!quoted && (c == ';' || c == '#'))
			comment = true;
		else if (c == '"') {
			for (; spaces; spaces--)
				wr_u8(&r->value, ' ');
			quoted = !quoted;
		} else if (!put_value(r, &spaces, c))
			return false;
	}
	return !quoted;
}

static bool setting(struct reader *r, uint8_t c)
{
	bool no_value;

	r->name.n = r->stem;
	while (key_byte(c)) {
		put_lower(&r->name, c);
		c = next(r);
	}
	while (c == ' ' || c == '\t')
		c = next(r);
	no_value = c == '\n';
	r->value.n = 0;
	if (!no_value && (c != '=' || !value(r)))
		return false;
	return wr_ok(&r->name) && wr_ok(&r->value) &&
	       r->to->setting(r->to, wr_rd(&r->name), wr_rd(&r->value), no_value);
}

static bool lines(struct reader *r)
{
	bool comment = false;

	while (!r->ended) {
		uint8_t c = next(r);

		if (c == '\n')
			comment = false;
		else if (c == '#' || c == ';')
			comment = true;
		else if (comment || space(c))
			continue;
		else if (c == '[') {
			if (!section(r) || !r->name.n)
				return false;
			wr_u8(&r->name, '.');
			r->stem = r->name.n;
		} else if (!letter(c) || !setting(r, c))
			return false;
	}
	return true;
}

enum parse config_text(struct rd text, struct config_text_to *to)
{
	size_t size = text.n + 2;	/* a name has up to two dots that the text has not */
	AUTO(mem) uint8_t *name = malloc(size), *held = malloc(size);
	struct reader r = { .left = text, .name = wr_of(name, size), .value = wr_of(held, size), .to = to };

	if (!name || !held || rd_has(text, '\0'))
		return PARSE_BAD;
	rd_prefix(&r.left, "\xef\xbb\xbf");
	return lines(&r) ? PARSE_OK : PARSE_BAD;
}

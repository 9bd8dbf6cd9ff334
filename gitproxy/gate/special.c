/*
 * special.c - what .gitmodules and .gitattributes may hold
 *
 * Theory of operation: git follows .gitmodules into whoever clones with submodules: a name becomes a
 * folder below .git/modules, a URL an argument of programs, a path a folder of the work tree. What
 * `git fsck --strict` refuses of these is refused, and besides it: text that is not git's
 * configuration syntax, control bytes in a name, a URL or a path (a carriage return at the end of a
 * path led git to write elsewhere), and paths that leave the work tree or enter .git.
 * Fuzzed by tests/fuzz/fuzz_gitmodules.c; compared with git by tests/test_gate_fsck.py.
 */
#include "gitproxy/gate/special.h"

#include "gitproxy/gate/config_text.h"
#include "gitproxy/gate/dotgit.h"

static bool control(struct rd r)
{
	for (size_t i = 0; i < r.n; i++)
		if (r.p[i] < ' ' || r.p[i] == 0x7f)
			return true;
	return false;
}

static bool is_option(struct rd r)
{
	return rd_prefix(&r, "-");
}

/* The next part of a path, whichever way the system separates. */
static struct rd next_part(struct rd *left)
{
	struct rd part = { 0 };
	size_t n = 0;

	while (n < left->n && left->p[n] != '/' && left->p[n] != '\\')
		n++;
	if (!rd_take(left, n, &part) || (rd_left(left) && !rd_skip(left, 1)))
		return part;
	return part;
}

static bool climbs(struct rd path)
{
	while (rd_left(&path))
		if (rd_eq_str(next_part(&path), ".."))
			return true;
	return false;
}

static bool enters_git(struct rd path)
{
	while (rd_left(&path))
		if (dotgit_of(next_part(&path)) == DOTGIT_DIRECTORY)
			return true;
	return false;
}

/* ---- URLs ---- */

/* A line's end once it is decoded: it would become a line of its own for a credential helper. */
static bool hidden_line(struct rd url)
{
	for (size_t i = 0; i + 2 < url.n; i++)
		if (url.p[i] == '%' && hex_digit(url.p[i + 1]) == 0 && hex_digit(url.p[i + 2]) == '\n')
			return true;
	return false;
}

/* ../ in front, and then what makes a host of another's path. */
static bool climbs_to_host(struct rd url)
{
	bool up = false;

	for (;;) {
		if (rd_prefix(&url, "../") || rd_prefix(&url, "..\\"))
			up = true;
		else if (!rd_prefix(&url, "./") && !rd_prefix(&url, ".\\"))
			return up && (rd_prefix(&url, ":") || rd_prefix(&url, "/"));
	}
}

static bool curl_url(struct rd *url)
{
	static const char *const helpers[] = { "http::", "https::", "ftp::", "ftps::" };
	static const char *const schemes[] = { "http://", "https://", "ftp://", "ftps://" };
	struct rd left = *url;

	for (size_t i = 0; i < ARRAY_SIZE(helpers); i++)
		if (rd_prefix(url, helpers[i]))
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (rd_prefix(&left, schemes[i]))
			return true;
	return false;
}

/* scheme://[user[:password]@]host with something in it, as git's credentials read it. */
static bool has_host(struct rd url)
{
	const uint8_t *mark = url.n ? memmem(url.p, url.n, "://", 3) : NULL;
	const uint8_t *at;
	struct rd scheme;
	size_t n = 0;

	if (!mark || mark == url.p || !rd_take(&url, (size_t)(mark - url.p), &scheme) || !rd_skip(&url, 3))
		return false;
	while (n < url.n && !memchr("/?#", url.p[n], 3))
		n++;
	at = n ? memchr(url.p, '@', n) : NULL;
	return at ? (size_t)(at - url.p) + 1 < n : n > 0;
}

static bool url_ok(struct rd url)
{
	if (is_option(url) || control(url) || hidden_line(url) || climbs_to_host(url))
		return false;
	return !curl_url(&url) || has_host(url);
}

/* ---- .gitmodules ---- */

struct modules {
	struct config_text_to to;
	enum fault fault;
};

static bool name_ok(struct rd name)
{
	return rd_left(&name) && !control(name) && !climbs(name);
}

static bool path_ok(struct rd path)
{
	struct rd first = path;

	return !is_option(path) && !control(path) && !climbs(path) && !enters_git(path) &&
	       !rd_prefix(&first, "/") && !rd_prefix(&first, "\\");
}

static bool update_ok(struct rd update)
{
	return !rd_prefix(&update, "!");
}

static const struct {
	const char *key;
	bool (*ok)(struct rd value);
	enum fault fault;
} keys[] = {
	{ "url", url_ok, FAULT_MODULES_URL },
	{ "path", path_ok, FAULT_MODULES_PATH },
	{ "update", update_ok, FAULT_MODULES_UPDATE },
};

/* submodule.NAME.KEY, where NAME may have dots. */
static bool split(struct rd name, struct rd *ret_name, struct rd *ret_key)
{
	const uint8_t *dot;

	if (!rd_prefix(&name, "submodule.") || !rd_left(&name))
		return false;
	dot = memrchr(name.p, '.', name.n);
	if (!dot || !rd_take(&name, (size_t)(dot - name.p), ret_name) || !rd_skip(&name, 1))
		return false;
	*ret_key = name;
	return true;
}

static bool on_setting(struct config_text_to *to, struct rd whole, struct rd value, bool no_value)
{
	struct modules *m = container_of(to, struct modules, to);
	struct rd name, key;

	if (!split(whole, &name, &key))
		return true;
	if (!name_ok(name))
		m->fault = FAULT_MODULES_NAME;
	for (size_t i = 0; i < ARRAY_SIZE(keys) && !no_value; i++)
		if (rd_eq_str(key, keys[i].key) && !keys[i].ok(value))
			m->fault = keys[i].fault;
	return m->fault == FAULT_NONE;
}

enum fault special_modules(struct rd text)
{
	struct modules m = { .to = { on_setting }, .fault = FAULT_NONE };

	if (text.n > MODULES_BYTES_MAX)
		return FAULT_MODULES_LARGE;
	if (config_text(text, &m.to) != PARSE_OK && m.fault == FAULT_NONE)
		return FAULT_MODULES_PARSE;
	return m.fault;
}

/* ---- .gitattributes ---- */

enum fault special_attributes(struct rd text)
{
	struct rd line;

	if (text.n > ATTRIBUTES_BYTES_MAX)
		return FAULT_ATTRIBUTES_LARGE;
	while (rd_left(&text)) {
		line = rd_piece(&text, '\n');
		if (line.n >= ATTRIBUTES_LINE_MAX)
			return FAULT_ATTRIBUTES_LINE;
	}
	return FAULT_NONE;
}

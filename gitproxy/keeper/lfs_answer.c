/*
 * lfs_answer.c - what upstream says to a batch request
 *
 * Theory of operation: upstream may be anybody, so of its answer only entries for what was asked
 * count, the first of each id. A step is taken over when its URL is https on port 443 of a name
 * (where that leads is judged again when it is dialled), and when its header fields are plain; what
 * frames a message is left out, and what would make it another one refuses the step. Nothing of it
 * is ever shown to a sandbox or written to a log. How long it is good for is taken from expires_in,
 * else expires_at, and cut at LFS_LIFE_S.
 * Fuzzed by tests/fuzz/fuzz_lfs_answer.c.
 */
#include "gitproxy/keeper/lfs_answer.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>
#include <openssl/crypto.h>

#include "gitproxy/http_head.h"
#include "gitproxy/http_location.h"

enum { PORT_TLS = 443 };

static void wipe(char *text)
{
	if (text)
		OPENSSL_cleanse(text, strlen(text));
	free(text);
}

void lfs_action_free(struct lfs_action *a)
{
	if (!a)
		return;
	wipe(a->url);
	for (size_t i = 0; i < a->n; i++)
		wipe(a->field[i]);
	free(a);
}

size_t lfs_action_bytes(const struct lfs_action *a)
{
	size_t n = sizeof(*a) + strlen(a->url);

	for (size_t i = 0; i < a->n; i++)
		n += strlen(a->field[i]);
	return n;
}

const char *lfs_action_field(const struct lfs_action *a, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < a->n; i++)
		if (!strncasecmp(a->field[i], name, n) && a->field[i][n] == ':')
			return a->field[i] + n + 2;
	return "";
}

void lfs_found_done(struct lfs_found *f, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		lfs_action_free(f[i].action);
		lfs_action_free(f[i].verify);
		f[i] = (struct lfs_found){ 0 };
	}
}

/* ---- one step ---- */

/* Whoever sets these says something else with the request than what was asked for. */
static bool is_bad(const char *name)
{
	static const char *const names[] = { "host", "te", "trailer", "upgrade", "proxy-authorization",
					     "proxy-connection", "range", "if-range", "cookie" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcasecmp(name, names[i]))
			return true;
	return false;
}

/* The message's own, which libcurl sets as it sends it. GitLab names Transfer-Encoding, for git-lfs to obey. */
static bool is_ours(const char *name)
{
	static const char *const names[] = { "connection", "content-length", "transfer-encoding", "expect", "keep-alive",
					     "accept-encoding" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcasecmp(name, names[i]))
			return true;
	return false;
}

static bool name_ok(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++)
		if (!http_token_byte((uint8_t)name[i]))
			return false;
	return n && n <= LFS_NAME_MAX && !is_bad(name);
}

static bool value_ok(const char *value)
{
	size_t n = strlen(value);

	for (size_t i = 0; i < n; i++)
		if (value[i] < ' ' || value[i] > '~')
			return false;
	return n && n <= LFS_VALUE_MAX;
}

static bool take_field(struct lfs_action *a, const char *name, const json_t *value)
{
	const char *text = json_string_value(value);
	char *line;

	if (is_ours(name))
		return true;
	if (!text || a->n == LFS_FIELDS_MAX || strlen(text) != json_string_length(value) || !name_ok(name) ||
	    !value_ok(text) || asprintf(&line, "%s: %s", name, text) < 0)
		return false;
	a->field[a->n++] = line;
	return true;
}

static bool take_fields(struct lfs_action *a, json_t *header)
{
	const char *name;
	json_t *value;

	if (header && !json_is_object(header) && !json_is_null(header))
		return false;
	json_object_foreach(header, name, value)
		if (!take_field(a, name, value))
			return false;
	return true;
}

static bool take_url(struct lfs_action *a, const json_t *href)
{
	const char *text = json_string_value(href);
	size_t n = text ? strlen(text) : 0;
	struct http_location l;

	if (!n || n > LFS_URL_MAX || n != json_string_length(href) || strchr(text, '#') ||
	    http_location_parse(rd_str(text), true, &l) != PARSE_OK || l.relative || !l.tls ||
	    l.port != PORT_TLS || strncasecmp(text, "https://", 8) || !msg_text_set(a->host, sizeof(a->host), l.host))
		return false;
	a->url = strdup(text);
	return a->url;
}

/* "2016-11-10T15:29:07Z", with or without parts of a second, or another zone. */
static bool end_of(const char *text, time_t *ret)
{
	struct tm t = { 0 };
	int end = 0, hours = 0, minutes = 0;
	char sign = 'Z';
	size_t n;

	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour, &t.tm_min,
		   &t.tm_sec, &end) != 6 || !end)
		return false;
	text += end;
	n = *text == '.' ? 1 + strspn(text + 1, "0123456789") : 0;
	text += n;
	if (strcmp(text, "Z") && (sscanf(text, "%c%2d:%2d", &sign, &hours, &minutes) != 3 || !strchr("+-", sign)))
		return false;
	t.tm_year -= 1900;
	t.tm_mon--;
	*ret = timegm(&t) - (sign == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
	return true;
}

static uint32_t life_of(const json_t *action, time_t now)
{
	const json_t *in = json_object_get(action, "expires_in");
	const char *at = json_string_value(json_object_get(action, "expires_at"));
	json_int_t s = LFS_LIFE_S;
	time_t end;

	if (json_is_integer(in) && json_integer_value(in))
		s = json_integer_value(in);
	else if (at && end_of(at, &end))
		s = (json_int_t)end - now;
	return s < 0 ? 0 : s > LFS_LIFE_S ? LFS_LIFE_S : (uint32_t)s;
}

/* NULL: it may not be taken. */
static struct lfs_action *take_action(const json_t *json, time_t now)
{
	AUTO(lfs_action) struct lfs_action *a = json_is_object(json) ? calloc(1, sizeof(*a)) : NULL;

	if (!a || !take_url(a, json_object_get(json, "href")) || !take_fields(a, json_object_get(json, "header")))
		return NULL;
	a->life_s = life_of(json, now);
	return STEAL(a);
}

/* ---- one object ---- */

static uint32_t error_result(const json_t *error)
{
	json_int_t code = json_integer_value(json_object_get(error, "code"));

	return code == 404 || code == 410 ? LFS_MISSING : LFS_REFUSED;
}

/* Upload: no step to take means that it is there. */
static void take_actions(const json_t *entry, bool upload, time_t now, struct lfs_found *f)
{
	const json_t *actions = json_object_get(entry, "actions");
	const json_t *main = json_object_get(actions, upload ? "upload" : "download");
	const json_t *verify = upload ? json_object_get(actions, "verify") : NULL;

	if (!main) {
		f->result = upload ? LFS_THERE : LFS_MISSING;
		return;
	}
	f->action = take_action(main, now);
	f->verify = verify ? take_action(verify, now) : NULL;
	if (f->action && f->action->life_s && (!verify || f->verify)) {
		f->result = LFS_LINKED;
		return;
	}
	lfs_found_done(f, 1);
	f->result = LFS_REFUSED;
}

static void take_entry(const json_t *entry, bool upload, const struct lfs_object *asked, time_t now,
		       struct lfs_found *f)
{
	const json_t *error = json_object_get(entry, "error");
	struct lfs_object o;

	if (json_is_object(error))
		f->result = error_result(error);
	else if (!lfs_json_object(entry, &o))
		f->result = LFS_REFUSED;
	else if (o.size != asked->size)
		f->result = LFS_SIZE_DIFFERS;
	else
		take_actions(entry, upload, now, f);
}

/* Errors may come without a size: the id alone tells whose entry it is. */
static bool is_of(const json_t *entry, const char *hex)
{
	const char *text = json_string_value(json_object_get(entry, "oid"));

	return text && !strcmp(text, hex);
}

static const json_t *entry_of(const json_t *list, size_t at, const struct lfs_object *o)
{
	char hex[LFS_HEX + 1] = "";
	struct wr w = wr_of(hex, LFS_HEX);

	wr_hex(&w, o->oid, LFS_OID);
	if (is_of(json_array_get(list, at), hex))	/* nearly always: in the order of the question */
		return json_array_get(list, at);
	for (size_t i = 0; i < json_array_size(list) && i <= 2 * LFS_BATCH_MAX; i++)
		if (is_of(json_array_get(list, i), hex))
			return json_array_get(list, i);
	return NULL;
}

static bool is_basic(const json_t *root)
{
	const json_t *transfer = json_object_get(root, "transfer"), *algo = json_object_get(root, "hash_algo");
	const char *name = json_string_value(transfer), *hash = json_string_value(algo);

	return (!transfer || json_is_null(transfer) || (name && (!*name || !strcmp(name, "basic")))) &&
	       (!algo || json_is_null(algo) || (hash && (!*hash || !strcmp(hash, "sha256"))));
}

int lfs_answer_read(struct rd body, bool upload, const struct lfs_object *o, size_t n, time_t now,
		    struct lfs_found *ret)
{
	json_t *root = body.n <= LFS_ANSWER_MAX ? lfs_json_read(body) : NULL;
	const json_t *list = json_object_get(root, "objects");
	int r = json_is_array(list) && is_basic(root) ? 0 : -EBADMSG;

	for (size_t i = 0; !r && i < n; i++) {
		const json_t *entry = entry_of(list, i, &o[i]);

		ret[i] = (struct lfs_found){ .result = LFS_MISSING };
		if (entry)
			take_entry(entry, upload, &o[i], now, &ret[i]);
		else if (upload)
			ret[i].result = LFS_REFUSED;	/* nothing said is not "it is there" */
	}
	json_decref(root);
	return r;
}

/* ---- the question ---- */

void lfs_ask_write(struct wr *w, bool upload, const struct lfs_object *o, size_t n)
{
	wr_fmt(w, "{\"operation\":\"%s\",\"transfers\":[\"basic\"],\"hash_algo\":\"sha256\",\"objects\":[",
	       upload ? "upload" : "download");
	for (size_t i = 0; i < n; i++) {
		wr_str(w, i ? ",{\"oid\":\"" : "{\"oid\":\"");
		wr_hex(w, o[i].oid, LFS_OID);
		wr_fmt(w, "\",\"size\":%ju}", (uintmax_t)o[i].size);
	}
	wr_str(w, "]}");
}

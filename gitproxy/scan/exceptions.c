/*
 * exceptions.c - read accepted findings
 *
 * Theory of operation: the same YAML tree as every configuration, all errors at once, and a file
 * with an error accepts nothing. Lines are kept, so that exceptions_edit.c can change an entry
 * without touching the others.
 */
#include "gitproxy/scan/exceptions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/doc.h"
#include "policy/file.h"

enum { FILE_MAX = 4 << 20 };

struct load { const char *file; struct diag *d; };

#define fault(l, at, ...) diag_error((l)->d, (l)->file, (at)->line, (at)->column, __VA_ARGS__)

bool scan_date_parse(const char *text, time_t *ret_until)
{
	struct tm tm = { 0 }, back;
	time_t t;
	const char *end = strlen(text) == SCAN_DATE - 1 && strspn(text, "0123456789-") == SCAN_DATE - 1 ?
				  strptime(text, "%Y-%m-%d", &tm) :
				  NULL;

	if (!end || *end)
		return false;
	back = tm;
	t = timegm(&back);
	/* timegm() makes March of the 30th of February. */
	if (back.tm_mday != tm.tm_mday || back.tm_mon != tm.tm_mon)
		return false;
	*ret_until = t + 24 * 3600;
	return true;
}

static const char *member(const struct load *l, const struct node *item, const char *key)
{
	const struct node *nd = node_member(item, key, strlen(key));

	if (!nd)
		fault(l, item, "%s is missing; add it", key);
	else if (nd->kind != NODE_SCALAR || nd->bad)
		fault(l, nd, "%s: a text is wanted", key);
	else
		return nd->text;
	return NULL;
}

static void check_keys(const struct load *l, const struct node *map, const char *const *keys, size_t n)
{
	for (size_t i = 0; i < map->n; i++) {
		size_t k = 0;

		while (k < n && strcmp(keys[k], map->items[i]->key))
			k++;
		if (k == n)
			diag_error(l->d, l->file, map->items[i]->key_line, map->items[i]->key_column,
				   "unknown key \"%.64s\"; %s and %s are known", map->items[i]->key, keys[0],
				   keys[n - 1]);
	}
}

static int read_item(const struct load *l, const struct node *nd, struct scan_exception *x)
{
	static const char *const keys[] = { "fingerprint", "expires", "comment" };
	const char *text[3];

	if (nd->kind != NODE_MAP) {
		fault(l, nd, "an exception is a mapping of fingerprint, expires and comment");
		return 0;
	}
	check_keys(l, nd, keys, ARRAY_SIZE(keys));
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		text[i] = member(l, nd, keys[i]);
	x->line = x->last = nd->line;
	for (size_t i = 0; i < nd->n; i++)
		if (nd->items[i]->line > x->last)
			x->last = nd->items[i]->line;
	if (text[0] && !scan_fingerprint_ok(text[0]))
		fault(l, nd, "fingerprint: 32 lower case hex digits are wanted, as cordon scan prints them");
	else if (text[0])
		memcpy(x->fingerprint, text[0], sizeof(x->fingerprint));
	if (text[1] && !scan_date_parse(text[1], &x->until))
		fault(l, nd, "expires: a day, YYYY-MM-DD, is wanted");
	else if (text[1])
		memcpy(x->expires, text[1], sizeof(x->expires));
	if (text[2] && strlen(text[2]) > SCAN_COMMENT_MAX)
		fault(l, nd, "comment: longer than %d bytes", SCAN_COMMENT_MAX);
	x->comment = strdup(text[2] ? text[2] : "");
	return x->comment ? 0 : -ENOMEM;
}

static int read_list(const struct load *l, const struct node *list, struct scan_exceptions *e)
{
	int err = 0;

	if (!list || node_is_null(list))
		return 0;
	if (list->kind != NODE_LIST || list->n > SCAN_EXCEPTIONS_MAX) {
		fault(l, list, "exceptions: a list of at most %d is wanted", SCAN_EXCEPTIONS_MAX);
		return 0;
	}
	e->item = calloc(list->n + 1, sizeof(*e->item));
	if (!e->item)
		return -ENOMEM;
	if (list->n && list->items[0]->column > 2)
		e->column = list->items[0]->column - 2;
	for (; e->n < list->n && !err; e->n++) {
		struct scan_exception *x = &e->item[e->n];

		err = read_item(l, list->items[e->n], x);
		if (!err && *x->fingerprint && scan_exceptions_find(e, x->fingerprint))
			fault(l, list->items[e->n], "%s: a second time; remove one", x->fingerprint);
	}
	return err;
}

int scan_exceptions_parse(const char *file, const char *text, size_t n, struct diag *d,
			  struct scan_exceptions **ret)
{
	static const char *const keys[] = { "version", "exceptions" };
	const struct load l = { file, d };
	AUTO(scan_exceptions) struct scan_exceptions *e = calloc(1, sizeof(*e));
	AUTO(node) struct node *root = NULL;
	size_t before = diag_errors(d);
	const char *version;
	int err = e ? doc_parse(file, text, n, d, &root) : -ENOMEM;

	if (err)
		return err;
	if (root->kind != NODE_MAP) {
		fault(&l, root, "the file is a mapping of version and exceptions");
		return -EINVAL;
	}
	check_keys(&l, root, keys, ARRAY_SIZE(keys));
	version = member(&l, root, "version");
	if (version && strcmp(version, "1"))
		fault(&l, root, "version: must be 1");
	err = read_list(&l, node_member(root, "exceptions", 10), e);
	if (err || diag_errors(d) > before)
		return err ? err : -EINVAL;
	*ret = STEAL(e);
	return 0;
}

/* Whoever can write it decides what leaves. */
static bool trusted(const char *file, struct diag *d)
{
	struct stat st;

	if (stat(file, &st) < 0)
		return true;	/* reading tells */
	if ((st.st_uid == 0 || st.st_uid == geteuid()) && !(st.st_mode & 022))
		return true;
	diag_error(d, file, 0, 0,
		   "others could write it; chown root:root and chmod 644, after a look at what is in it");
	return false;
}

int scan_exceptions_load(const char *file, struct diag *d, struct scan_exceptions **ret)
{
	AUTO(mem) char *text = NULL;
	size_t n = 0;
	int err;

	if (access(file, F_OK) < 0 && errno == ENOENT) {
		*ret = calloc(1, sizeof(**ret));
		return *ret ? 0 : -ENOMEM;
	}
	if (!trusted(file, d))
		return -EINVAL;
	err = file_read(file, FILE_MAX, d, &text, &n);
	return err ? err : scan_exceptions_parse(file, text, n, d, ret);
}

void scan_exceptions_free(struct scan_exceptions *e)
{
	for (size_t i = 0; e && e->item && i <= e->n; i++)
		free(e->item[i].comment);
	if (e)
		free(e->item);
	free(e);
}

const struct scan_exception *scan_exceptions_find(const struct scan_exceptions *e, const char *fingerprint)
{
	for (size_t i = 0; i < e->n; i++)
		if (!strcmp(e->item[i].fingerprint, fingerprint))
			return &e->item[i];
	return NULL;
}

const struct scan_exception *scan_exceptions_accept(const struct scan_exceptions *e, const char *fingerprint,
						    time_t now)
{
	const struct scan_exception *x = scan_exceptions_find(e, fingerprint);

	return x && now < x->until ? x : NULL;
}

/*
 * lfs_echo.c - the secrets in a step that upstream named, should they come back
 *
 * Theory of operation: what gives a right is the Authorization field, and the signature of a URL by the
 * names that object stores give it. Other fields (a date, "UNSIGNED-PAYLOAD") are no secrets, and would
 * be found where they are none.
 */
#include "gitproxy/keeper/lfs_echo.h"

#include <errno.h>

/* Behind the scheme: "Basic dXNlcjpw". */
static struct rd token_of(const char *value)
{
	const char *space = strchr(value, ' ');

	return rd_str(space ? space + 1 : value);
}

static int add(struct echo *e, struct rd text)
{
	if (text.n < ECHO_SECRET_MIN || text.n > ECHO_SECRET_MAX)
		return 0;
	return echo_add(e, text);
}

static bool signs(struct rd name)
{
	static const char *const names[] = { "X-Amz-Signature", "X-Amz-Security-Token", "X-Goog-Signature",
					     "Signature", "sig", "token", "access_token" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (rd_eq_nocase(name, names[i]))
			return true;
	return false;
}

static int add_query(struct echo *e, const char *url)
{
	const char *query = strchr(url, '?');
	struct rd left = rd_str(query ? query + 1 : ""), one, name;
	int r = 0;

	while (!r && rd_left(&left)) {
		one = rd_piece(&left, '&');
		if (rd_until(&one, '=', &name) && signs(name))
			r = add(e, one);
	}
	return r;
}

int lfs_echo_new(const struct lfs_action *a, struct echo **ret)
{
	AUTO(echo) struct echo *e = NULL;
	int r = echo_new(&e);

	if (!r)
		r = add(e, token_of(lfs_action_field(a, "authorization")));
	if (!r)
		r = add_query(e, a->url);
	if (!r)
		*ret = STEAL(e);
	return r;
}

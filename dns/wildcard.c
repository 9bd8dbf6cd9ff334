/*
 * wildcard.c - what a sandbox may make up below a wildcard
 *
 * Theory of operation: below a wildcard the sandbox chooses the name, and whoever serves the zone
 * reads it: each new name is a message. So each (sandbox, rule) has an account of two token
 * buckets, names per minute and bytes per hour of what the wildcard stands for; both start full,
 * and a name is taken from both or from none. The names of the last hour are known (a hash with a
 * secret seed is enough) and cost nothing, whatever their TTL: clients ask again and again, and
 * what they repeat is not new. Of too many names the oldest is forgotten and costs again.
 *
 * The account belongs to the rule's text, not to the policy object: a reload does not fill it. An
 * id may come back for another sandbox, so the sandbox's name is part of the key.
 *
 * Bounds: arrays made at start, of which pages are used as accounts are. An account whose buckets
 * are full again says no more than none, and makes place when the table, or the sandbox's part of
 * it, is full; without such a one the name is refused.
 */
#include "dns/wildcard.h"

#include <errno.h>
#include <string.h>

#include "dns/table.h"
#include "policy/mark.h"

enum { MINUTE_MS = 60 * 1000, HOUR_MS = 60 * MINUTE_MS, RULE_MAX = 320 };

struct bucket {		/* in parts, of which each millisecond gives `rate` */
	uint64_t parts;
	uint32_t rate;
};

struct account {
	struct table_node node;
	bool used;
	uint16_t sandbox;
	char name[MSG_LABEL], rule[RULE_MAX];
	uint64_t last_ms;
	struct bucket names, bytes;
};

struct known {
	uint64_t hash, at_ms;	/* at_ms 0: free */
};

struct wildcards {
	struct table table;
	struct account *accounts;
	struct known (*known)[WILDCARD_NAMES_MAX];	/* of each account */
	uint16_t held[MARK_SANDBOX_MAX + 1];		/* accounts of a sandbox id */
};

/* ---- buckets ---- */

/* `rate` a period: a whole token is a period's worth of parts. */
static uint64_t bucket_full(const struct bucket *b, uint64_t period_ms)
{
	return b->rate * period_ms;
}

static uint64_t bucket_after(const struct bucket *b, uint64_t period_ms, uint64_t past_ms)
{
	uint64_t full = bucket_full(b, period_ms), have;

	if (past_ms >= period_ms)
		return full;
	have = b->parts + past_ms * b->rate;
	return have > full ? full : have;
}

static void bucket_fill(struct bucket *b, uint64_t period_ms, uint32_t rate)
{
	b->rate = rate;
	b->parts = bucket_full(b, period_ms);
}

/* Under a rate that a reload may have changed. */
static void bucket_refill(struct bucket *b, uint64_t period_ms, uint32_t rate, uint64_t past_ms)
{
	b->rate = rate;
	b->parts = bucket_after(b, period_ms, past_ms);
}

/* ---- accounts ---- */

static uint64_t account_hash(const struct wildcards *w, const struct view_sandbox *s,
			     const char *rule)
{
	return table_hash(&w->table, rule, strlen(rule), s->id);
}

static struct account *account_find(const struct wildcards *w, const struct view_sandbox *s,
				    const char *rule, uint64_t hash)
{
	struct table_node *n = table_first(&w->table, hash);

	for (; n; n = table_next(n)) {
		struct account *a = container_of(n, struct account, node);

		if (a->sandbox == s->id && !strcmp(a->name, s->name) && !strcmp(a->rule, rule))
			return a;
	}
	return NULL;
}

static bool account_is_full(const struct account *a, uint64_t now_ms)
{
	uint64_t past = now_ms - a->last_ms;

	return bucket_after(&a->names, MINUTE_MS, past) == bucket_full(&a->names, MINUTE_MS) &&
	       bucket_after(&a->bytes, HOUR_MS, past) == bucket_full(&a->bytes, HOUR_MS);
}

static void account_free(struct wildcards *w, struct account *a)
{
	table_remove(&w->table, &a->node);
	w->held[a->sandbox]--;
	a->used = false;
}

/* A free place for this sandbox; NULL: there is none, nor one that could be freed. */
static struct account *account_place(struct wildcards *w, uint16_t sandbox, uint64_t now_ms)
{
	bool own = w->held[sandbox] >= WILDCARD_RULES_MAX;

	for (size_t i = 0; !own && i < WILDCARD_ACCOUNTS_MAX; i++)
		if (!w->accounts[i].used)
			return &w->accounts[i];
	for (size_t i = 0; i < WILDCARD_ACCOUNTS_MAX; i++) {
		struct account *a = &w->accounts[i];

		if (!a->used || (own && a->sandbox != sandbox) || !account_is_full(a, now_ms))
			continue;
		account_free(w, a);
		return a;
	}
	return NULL;
}

static struct account *account_new(struct wildcards *w, const struct view_sandbox *s,
				   const struct name_decision *d, uint64_t hash, uint64_t now_ms)
{
	struct account *a = account_place(w, s->id, now_ms);

	if (!a || strlen(d->rule) >= sizeof(a->rule))
		return NULL;
	*a = (struct account){ .used = true, .sandbox = s->id, .last_ms = now_ms };
	strcpy(a->rule, d->rule);
	memcpy(a->name, s->name, sizeof(a->name));
	bucket_fill(&a->names, MINUTE_MS, d->budget.names_per_minute);
	bucket_fill(&a->bytes, HOUR_MS, d->budget.label_bytes_per_hour);
	memset(w->known[a - w->accounts], 0, sizeof(w->known[0]));
	w->held[s->id]++;
	table_put(&w->table, &a->node, hash);
	return a;
}

/* ---- names ---- */

/* The place of a name: its own (true), or the one to use for it. */
static bool known_place(struct known *names, uint64_t hash, uint64_t now_ms, struct known **ret)
{
	struct known *oldest = names;

	for (size_t i = 0; i < WILDCARD_NAMES_MAX; i++) {
		struct known *k = &names[i];

		if (k->hash == hash && k->at_ms && now_ms - k->at_ms < HOUR_MS) {
			*ret = k;
			return true;
		}
		if (k->at_ms < oldest->at_ms)
			oldest = k;
	}
	*ret = oldest;
	return false;
}

static bool account_take(struct account *a, const struct name_decision *d, uint64_t now_ms)
{
	uint64_t past = now_ms - a->last_ms, bytes = (uint64_t)d->wild_n * HOUR_MS;

	bucket_refill(&a->names, MINUTE_MS, d->budget.names_per_minute, past);
	bucket_refill(&a->bytes, HOUR_MS, d->budget.label_bytes_per_hour, past);
	a->last_ms = now_ms;
	if (a->names.parts < MINUTE_MS || a->bytes.parts < bytes)
		return false;
	a->names.parts -= MINUTE_MS;
	a->bytes.parts -= bytes;
	return true;
}

bool wildcards_take(struct wildcards *w, const struct view_sandbox *s, const char *name,
		    const struct name_decision *d, uint64_t now_ms)
{
	uint64_t hash = account_hash(w, s, d->rule), name_hash;
	struct account *a = account_find(w, s, d->rule, hash);
	struct known *k;

	if (!a)
		a = account_new(w, s, d, hash, now_ms);
	if (!a)
		return false;
	name_hash = table_hash(&w->table, name, strlen(name), s->id);
	if (!known_place(w->known[a - w->accounts], name_hash, now_ms, &k) &&
	    !account_take(a, d, now_ms))
		return false;
	*k = (struct known){ name_hash, now_ms };
	return true;
}

int wildcards_new(struct wildcards **ret)
{
	AUTO(wildcards) struct wildcards *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->accounts = calloc(WILDCARD_ACCOUNTS_MAX, sizeof(*w->accounts));
	w->known = calloc(WILDCARD_ACCOUNTS_MAX, sizeof(*w->known));
	if (!w->accounts || !w->known)
		return -ENOMEM;
	r = table_init(&w->table, WILDCARD_ACCOUNTS_MAX);
	if (r < 0)
		return r;
	*ret = STEAL(w);
	return 0;
}

void wildcards_free(struct wildcards *w)
{
	if (!w)
		return;
	table_done(&w->table);
	free(w->accounts);
	free(w->known);
	free(w);
}

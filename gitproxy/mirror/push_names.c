/*
 * push_names.c - which names of a push may be written down
 *
 * Theory of operation: the audit has every command with its reference, of refused pushes too, and most of those
 * are refused before their objects were judged, or without a word on the names. But a name is the client's own
 * text, and a secret in it would be kept for good. So the names that are to be written are scanned for themselves:
 * lines of a text, which cordon-scan reads as it reads an object of LFS. One with a finding is not written,
 * accepted or not; when there is no word of the scanner's, or not all of it, none is.
 */
#include "gitproxy/mirror/push_job.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "gitproxy/deadline.h"
#include "gitproxy/mirror/judge.h"

struct names {
	struct push *push;
	size_t n, found;
	bool lost;			/* a finding that is at no line */
};

static void on_finding(void *owner, const struct gate_finding *f)
{
	struct names *s = owner;

	s->found++;
	if (f->line && f->line <= s->n)
		s->push->told[f->line - 1].secret = true;
	else
		s->lost = true;
}

/* A sealed file with a line for each; -1: none. Names have no newline in them. */
static int text_of(const struct push *p, size_t n, struct gate_scanfile *ret)
{
	AUTO(mem) char *text = malloc(n * (PUSH_PATTERN_MAX + 1) + 1);
	struct wr w = wr_of(text, text ? n * (PUSH_PATTERN_MAX + 1) : 0);

	for (size_t i = 0; i < n; i++)
		wr_fmt(&w, "%s\n", push_list_command(p->list, i)->ref);
	if (!wr_ok(&w) || EVP_Digest(w.p, w.n, ret->sha256, NULL, EVP_sha256(), NULL) != 1)
		return -1;
	ret->size = w.n;
	return ipc_memfd("names", w.p, w.n);
}

static bool heard_all(const struct names *s, const struct gate_judged *g)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < ARRAY_SIZE(g->findings); i++)
		sum += g->findings[i];
	return !s->lost && !g->untold && sum == s->found &&
	       (g->verdict == JUDGE_CLEAN || (g->verdict == JUDGE_REFUSED && g->reason == REASON_SECRET_DETECTED));
}

bool push_names_scan(struct push *p, size_t n)
{
	const struct job *j = p->job;
	const int *fd = j->in.fd;
	struct gate_scanfile q = { .sandbox = j->q->sandbox, .has_exceptions = fd[MIRROR_EXCEPTIONS] >= 0 };
	AUTO(fd) int text = text_of(p, n, &q);
	struct names s = { .push = p, .n = n };
	const struct judge_ask a = { .file = &q, .pack = text, .rules = fd[MIRROR_RULES], .exceptions = fd[MIRROR_EXCEPTIONS],
				     .client = j->to, .deadline = deadline_in(j->depot->config->total_ms),
				     .on_finding = on_finding, .owner = &s };
	struct gate_judged judged;

	if (text < 0 || judge_run(j->depot->judge, &a, &judged) < 0)
		return false;
	return heard_all(&s, &judged);
}

/*
 * tell.c - what the mirror tells the keeper, and asks of it but not of upstream
 *
 * Theory of operation: the mirror has neither an audit file nor the host's credentials, so what it did
 * is written, and whose a repository is, is decided by the keeper. Events are not answered.
 */
#include "gitproxy/mirror/tell.h"

#include <poll.h>

#include "base/log.h"
#include "gitproxy/deadline.h"

enum { WHOSE_MS = 60000 };		/* the keeper may wait for netd, or ask an API for a token */

void tell_event(int keeper, enum mirror_what what, const struct repo *x, uint64_t objects, uint64_t bytes, uint64_t ms)
{
	struct mirror_event e = { .what = what, .objects = objects, .bytes = bytes, .ms = ms };

	if (!msg_text_set(e.host, sizeof(e.host), x->host) || !msg_text_set(e.repo, sizeof(e.repo), x->path) ||
	    !msg_text_set(e.credential, sizeof(e.credential), x->domain.credential) ||
	    ipc_send(keeper, MSG_MIRROR_EVENT, 0, &e, sizeof(e), NULL, 0) < 0)
		log_line(LOG_WARN, "event=mirror_event_lost what=%s", mirror_what_text(what));
}

static enum reason answer_of(int from, struct mirror_domain_of *ret)
{
	const struct mirror_domain_of *d;
	enum reason reason = REASON_INTERNAL_ERROR;
	struct ipc_in in;

	if (deadline_wait(from, POLLIN, deadline_in(WHOSE_MS)) < 0 || ipc_recv(from, &in) < 0)
		return reason;
	d = (const struct mirror_domain_of *)in.body;
	if (in.head.type == MSG_MIRROR_DOMAIN && in.head.length == sizeof(*d) && mirror_domain_of_ok(d)) {
		reason = (enum reason)d->reason;
		*ret = *d;
	}
	ipc_in_done(&in);
	return reason;
}

enum reason tell_whose(int keeper, const char *host, const char *repo, struct mirror_domain_of *ret)
{
	struct mirror_whose q = { 0 };
	AUTO(fd) int ours = -1;
	AUTO(fd) int theirs = -1;

	if (!msg_text_set(q.host, sizeof(q.host), host) || !msg_text_set(q.repo, sizeof(q.repo), repo) ||
	    !mirror_whose_ok(&q))
		return REASON_NOT_GIT;
	if (ipc_pair(&ours, &theirs) < 0)
		return REASON_INTERNAL_ERROR;
	if (ipc_send(keeper, MSG_MIRROR_WHOSE, 0, &q, sizeof(q), &theirs, 1) < 0)
		return REASON_INTERNAL_ERROR;
	close(STEAL_FD(theirs));		/* a keeper that drops it is heard */
	return answer_of(ours, ret);
}

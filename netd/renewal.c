/*
 * renewal.c - the proxy's CA is renewed: its parts are told, in order
 *
 * Theory of operation: the command has written the files (it is root; keys pass through nobody's
 * hands here). First the keeper, which reads the CA that it is to sign with and says whether it
 * can; only when it has, the proxy, which forgets the leaves it holds and gets the text of what
 * guests must trust as a descriptor, for neither may it open files. In the other order a leaf could
 * be asked for between the two, and a stale one kept.
 */
#include "netd/renewal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netd/parts.h"

struct renewal {
	struct publish publish;
	uint64_t who;
	renewal_fn *fn;
	int text;
};

static void renewal_free(struct renewal *r)
{
	close(r->text);
	free(r);
}

static void dropped(struct netd *n, struct publish *publish)
{
	(void)n;
	renewal_free(container_of(publish, struct renewal, publish));
}

static void renewal_end(struct renewal *r, int code, const char *why)
{
	r->fn(r->publish.n, r->who, code, why);
	renewal_free(r);
}

static void proxy_told(struct netd *n, struct publish *publish)
{
	struct renewal *r = container_of(publish, struct renewal, publish);

	(void)n;
	if (publish->late)
		renewal_end(r, -ETIMEDOUT, "the proxy did not answer in time; its certificates of "
					   "before may be in use for an hour");
	else
		renewal_end(r, 0, "");
}

static void keeper_told(struct netd *n, struct publish *publish)
{
	struct renewal *r = container_of(publish, struct renewal, publish);

	if (publish->late) {
		renewal_end(r, -ETIMEDOUT, "the keeper did not answer in time");
	} else if (publish->result < 0) {
		renewal_end(r, publish->result, "the keeper cannot use it, and goes on with the CA that "
						"it has");
	} else {
		publish_begin(n, publish, proxy_told);
		publish->drop = dropped;
		publish_send_fd(publish, TO_GITPROXY, MSG_CA_TEXT, r->text);
		publish_end(publish);
	}
}

static bool well_formed(const struct ipc_in *in)
{
	const struct msg_ca *m = msg_body(in, MSG_RENEW);
	struct stat st;

	return m && (m->step == CA_PUBLISH || m->step == CA_ACTIVATE) && in->fd[0] >= 0 &&
	       in->fd[1] < 0 && fstat(in->fd[0], &st) == 0 && S_ISREG(st.st_mode);
}

void renewal_start(struct netd *n, const struct ipc_in *in, uint64_t who, renewal_fn *fn)
{
	struct renewal *r = well_formed(in) ? calloc(1, sizeof(*r)) : NULL;

	if (!r) {
		fn(n, who, -EPROTO, "not a step of a renewal");
		return;
	}
	r->who = who;
	r->fn = fn;
	r->text = fcntl(in->fd[0], F_DUPFD_CLOEXEC, 0);
	publish_begin(n, &r->publish, keeper_told);
	r->publish.drop = dropped;
	if (r->text >= 0)
		publish_send(&r->publish, TO_KEEPER, MSG_CA, in->body, NULL);
	if (!r->publish.owed) {
		fn(n, who, -ENOTCONN, "the keeper is not connected");
		if (r->text >= 0)
			close(r->text);
		free(r);
		return;
	}
	publish_end(&r->publish);
}

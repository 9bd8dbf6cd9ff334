/*
 * tunnel.c - a connection after its 101: bytes both ways, read by nobody
 *
 * Theory of operation: each direction holds one piece at most, and takes the next only when that is
 * gone; so a reader that is slow holds up its writer, not the other direction. Every turn tries all
 * that can be done without waiting, and poll() waits only when nothing could. The connection's input
 * is never parsed again. A client that ends its side has what it sent delivered, then the server's
 * side is ended; a connection that is shut down (revoked, or reset by the client) ends at once.
 */
#include "gitproxy/front/tunnel.h"

#include <errno.h>
#include <poll.h>

#include "gitproxy/deadline.h"
#include "gitproxy/keeper_client.h"

struct pump {
	const struct tunnel_spec *spec;
	struct tunnel *ret;
	union keeper_in *f;		/* of the keeper's last frame */
	struct rd down;			/* what of it the client has not taken */
	bool client_ended, told;	/* and the keeper has been told */
	bool keeper_deaf, keeper_ended;
	bool over;
	uint64_t progress, deadline;
};

static void end(struct pump *p, enum reason reason, const char *outcome, bool clean)
{
	if (p->over)
		return;
	p->over = true;
	p->ret->reason = reason;
	p->ret->outcome = outcome;
	p->ret->clean = clean;
}

/* ---- towards the server ---- */

static bool read_client(struct pump *p)
{
	ssize_t n = input_try(p->spec->in);

	if (n == -EAGAIN)
		return false;
	p->client_ended = n <= 0;	/* also without a TLS goodbye: the tunnel has its own */
	return true;
}

static bool put_up(struct pump *p, enum keeper_frame_kind kind, struct rd data)
{
	int r = keeper_put(p->spec->frames, kind, data);

	if (r == -EAGAIN)
		return false;
	if (r < 0) {
		p->keeper_deaf = true;		/* its last frames can be read still */
		return true;
	}
	p->ret->up += data.n;
	p->told |= kind == KEEPER_END;
	return true;
}

/* True: something moved. */
static bool step_up(struct pump *p)
{
	struct rd left = input_rd(p->spec->in);

	if (p->keeper_deaf || p->told)
		return false;
	if (!left.n && !p->client_ended)
		return read_client(p);
	if (!put_up(p, left.n ? KEEPER_DATA : KEEPER_END, left))
		return false;
	input_keep(p->spec->in, 0);
	return true;
}

/* ---- towards the client ---- */

static bool next_frame(struct pump *p)
{
	AUTO(fd) int fd = -1;			/* of which there is no use here */
	size_t n;
	int error;

	switch (keeper_try_next(p->spec->frames, p->f, &n, &fd, &error)) {
	case KEEPER_DATA:
		p->down = rd_of(p->f->data.data, n);
		return true;
	case KEEPER_END:
		p->keeper_ended = true;
		return true;
	case KEEPER_NONE:
		if (error == -EAGAIN)
			return false;
		break;
	case KEEPER_STATUS:
	case KEEPER_HEAD:
	case KEEPER_TEXT:
	case KEEPER_GROWN:
		break;
	}
	end(p, REASON_INTERNAL_ERROR, "cut by the gateway", false);
	return true;
}

static bool write_client(struct pump *p)
{
	ssize_t n = stream_try_write(p->spec->in->stream, p->down.p, p->down.n);

	if (n == -EAGAIN)
		return false;
	if (n < 0 || !rd_skip(&p->down, (size_t)n)) {
		end(p, REASON_NONE, "the client has gone", false);
		return true;
	}
	p->ret->down += (size_t)n;
	return true;
}

static bool step_down(struct pump *p)
{
	enum reason reason;

	if (rd_left(&p->down))
		return write_client(p);
	if (!p->keeper_ended)
		return next_frame(p);
	reason = (enum reason)p->f->end.reason;
	end(p, reason, reason != REASON_NONE ? "the server failed" : p->told ? "ended by the client" :
									       "ended by the server",
	    reason == REASON_NONE);
	return true;
}

/* ---- both ---- */

/* Nothing can move: wait until something may. */
static void wait(struct pump *p)
{
	bool up = input_rd(p->spec->in).n || p->client_ended, down = rd_left(&p->down);
	bool listens = !p->keeper_deaf && !p->told;
	struct pollfd fd[2] = { { .fd = p->spec->in->stream->fd }, { .fd = p->spec->frames } };
	uint64_t idle = p->progress + p->spec->idle_ms;

	fd[0].events = (short)((listens && !up ? POLLIN : 0) | (down ? POLLOUT : 0));
	fd[1].events = (short)((listens && up ? POLLOUT : 0) | (down ? 0 : POLLIN));
	if (!fd[1].events)
		fd[1].fd = -1;			/* its end would be told again and again */
	switch (deadline_wait_all(fd, 2, idle < p->deadline ? idle : p->deadline)) {
	case 0:
		if (fd[0].revents & (POLLHUP | POLLERR))
			end(p, REASON_NONE, "cut", false);
		return;
	case -ETIMEDOUT:
		end(p, REASON_DEADLINE_EXCEEDED, idle < p->deadline ? "idle" : "too old", false);
		return;
	default:
		end(p, REASON_INTERNAL_ERROR, "cut by the gateway", false);
	}
}

void tunnel_run(const struct tunnel_spec *spec, struct tunnel *ret)
{
	AUTO(mem) union keeper_in *f = malloc(sizeof(*f));
	struct pump p = { .spec = spec, .ret = ret, .f = f, .progress = deadline_now(),
			  .deadline = deadline_in(spec->total_ms) };

	*ret = (struct tunnel){ 0 };
	if (!f)
		end(&p, REASON_INTERNAL_ERROR, "no memory", false);
	while (!p.over) {
		bool moved = step_up(&p);

		moved |= !p.over && step_down(&p);
		if (moved)
			p.progress = deadline_now();
		else
			wait(&p);
	}
}

/*
 * test_serve.c - how much of the keeper the mirror, and each kind of its questions, can take
 *
 * The keeper itself without its main(), and with no policy: every question is refused, in a thread of its
 * own. A question whose answer nobody reads holds its place; the clock is this file's and stands, so that
 * it holds it for as long as the test wants.
 */
#include "gitproxy/keeper/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gitproxy/deadline.h"
#include "gitproxy/mirror_ipc.h"
#include "tests/unit/check.h"

enum { TRIES = 20000 };

uint64_t deadline_now(void)
{
	return 1000;
}

uint64_t deadline_in(uint64_t ms)
{
	return 1000 + ms;
}

int deadline_wait(int fd, short events, uint64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };

	(void)deadline;
	return poll(&p, 1, -1) > 0 ? 0 : -errno;
}

int deadline_wait_alive(int fd, short events, int alive, uint64_t deadline)
{
	(void)alive;
	return deadline_wait(fd, events, deadline);
}

int deadline_wait_all(struct pollfd *p, unsigned n, uint64_t deadline)
{
	(void)deadline;
	return poll(p, n, -1) > 0 ? 0 : -errno;
}

int deadline_wait_either(int a, int b, uint64_t deadline)
{
	struct pollfd p[2] = { { .fd = a, .events = POLLIN }, { .fd = b, .events = POLLIN } };

	return deadline_wait_all(p, 2, deadline);
}

/* ---- a keeper ---- */

static struct host_config config;
static struct serve *serve;
static int pair[2];			/* of the mirror: ours, the keeper's */

static void begin(void)
{
	char dir[] = "/tmp/cordon-unit-XXXXXX", file[64];
	struct audit *audit;
	struct view *view;

	if (serve)
		return;
	signal(SIGPIPE, SIG_IGN);
	CHECK("a folder", mkdtemp(dir));
	CHECK_EQ("an audit", audit_open(dir, "keeper", getuid(), getgid(), &audit), 0);
	snprintf(file, sizeof(file), "%s/keeper.jsonl", dir);
	unlink(file);				/* nobody reads it */
	rmdir(dir);
	CHECK_EQ("a view", view_new(&config, ROLE_KEEPER, NULL, NULL, &view), 0);
	CHECK_EQ("a keeper", serve_new(&config, NULL, NULL, NULL, view, audit, &serve), 0);
	CHECK_EQ("a pair", ipc_pair(&pair[0], &pair[1]), 0);
}

/* Until it takes no more: who writes there waits. */
static void fill(int fd)
{
	uint8_t some[512] = { 0 };

	while (send(fd, some, sizeof(some), MSG_DONTWAIT) > 0)
		;
}

/* Ask. Our end of the answer, which has room or not. */
static int ask(bool large, bool room)
{
	struct mirror_ask q = { .large = large,
				.open = { .kind = GP_INFO_REFS, .service = GIT_SERVICE_UPLOAD_PACK, .git_protocol = 2,
					  .host = "github.com", .repo = "acme/widgets" } };
	int answer[2];

	if (ipc_pair(&answer[0], &answer[1]) < 0)
		return -1;
	if (!room)
		fill(answer[1]);
	CHECK_EQ("it is asked", ipc_send(pair[0], MSG_MIRROR_ASK, 0, &q, sizeof(q), &answer[1], 1), 0);
	close(answer[1]);
	CHECK_EQ("the keeper goes on", serve_ask(serve, pair[1]), 0);
	return answer[0];
}

/* Is it answered, and not turned away? Waits for either. */
static bool is_answered(int fd)
{
	struct keeper_status st = { 0 };
	ssize_t n = recv(fd, &st, sizeof(st), 0);

	close(fd);
	CHECK("an answer or none", !n || (n == sizeof(st) && st.kind == KEEPER_STATUS));
	if (n)
		CHECK_EQ("no profile grants it", st.reason, REASON_REPOSITORY_NOT_ALLOWED);
	return n > 0;
}

/* Turned away at once: nobody else has its answer's socket. */
static bool is_turned_away(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

/* As soon as there is a place: what ends gives its own back a moment later. */
static bool is_answered_soon(bool large)
{
	for (unsigned tries = 0; tries < TRIES; tries++) {
		if (is_answered(ask(large, true)))
			return true;
		usleep(100);
	}
	return false;
}

/* Fill all places of a kind, see that there is no more, and that the others have theirs. */
static void take_all(bool large, unsigned max)
{
	int held[SERVE_ASKS_MAX], more;

	for (unsigned i = 0; i < max; i++) {
		held[i] = ask(large, false);
		CHECK("it has a place", !is_turned_away(held[i]));
	}
	more = ask(large, false);
	CHECK("there is no other", is_turned_away(more));
	close(more);
	CHECK("the other kind has its own", is_answered_soon(!large));
	close(held[0]);				/* its answer finds nobody, and it ends */
	CHECK("there is room again", is_answered_soon(large));
	for (unsigned i = 1; i < max; i++)
		close(held[i]);
}

TEST(fetches_leave_room_for_questions)
{
	begin();
	take_all(true, SERVE_FETCHES_MAX);
}

TEST(questions_leave_room_for_fetches)
{
	begin();
	take_all(false, SERVE_ASKS_MAX);
}

TEST(what_a_mirror_never_sends_ends_it)
{
	struct mirror_ask q = { .large = 2, .open = { .kind = GP_INFO_REFS, .service = GIT_SERVICE_UPLOAD_PACK,
						      .git_protocol = 2, .host = "github.com", .repo = "acme/widgets" } };
	const struct { const char *what; uint32_t type; uint32_t large; size_t n; bool fd; } rows[] = {
		{ "neither large nor not", MSG_MIRROR_ASK, 2, sizeof(q), true },
		{ "no socket for the answer", MSG_MIRROR_ASK, 0, sizeof(q), false },
		{ "short", MSG_MIRROR_ASK, 0, sizeof(q) - 1, true },
		{ "what the front asks", MSG_OPEN, 0, sizeof(q), true },
		{ "what the keeper asks", MSG_MIRROR_SERVE, 0, sizeof(q), true },
	};

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int answer[2];

		q.large = rows[i].large;
		CHECK_EQ("a pair", ipc_pair(&answer[0], &answer[1]), 0);
		ipc_send(pair[0], (uint16_t)rows[i].type, 0, &q, rows[i].n, &answer[1], rows[i].fd);
		close(answer[1]);
		CHECK_EQ(rows[i].what, serve_ask(serve, pair[1]), -EPROTO);
		CHECK(rows[i].what, is_turned_away(answer[0]));
		close(answer[0]);
	}
}

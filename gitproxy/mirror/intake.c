/*
 * intake.c - a pack of upstream's, checked and taken into a mirror
 *
 * Theory of operation: the answer's bytes go through answer_check.c, which hands the pack on to `git
 * index-pack`. That writes into a quarantine folder, DOMAIN/incoming, which git sees beside the
 * repository's own objects; it resolves what a thin pack leaves out, checks objects and links, and
 * fails if one leads nowhere. Then the files are moved, the index last: it is what makes a pack be
 * seen. Whatever goes wrong before leaves the repository as it was.
 */
#include "gitproxy/mirror/intake.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/log.h"
#include "gitproxy/deadline.h"
#include "gitproxy/mirror/answer_check.h"
#include "gitproxy/mirror/files.h"
#include "gitproxy/mirror/git.h"
#include "gitproxy/mirror/lenient.h"

enum { PATH_BYTES = 2048, PIPE_BYTES = 1 << 20 };

int intake_prepare(struct repo *x)
{
	const char *const args[] = { "init", "--quiet", "--bare", "--template=",
				     x->format == OBJECT_SHA256 ? "--object-format=sha256" : "--object-format=sha1",
				     x->git, NULL };
	int r = files_remove(x->dir);

	if (!r && mkdir(x->dir, 0700) < 0)
		r = -errno;
	return r < 0 ? r : git_run(&(struct git_spec){ .dir = x->git, .args = args, .in = -1 }, NULL);
}

struct intake {
	struct answer_check check;	/* first: container of */
	struct git_child git;
	int to;				/* index-pack's standard input */
	struct repo *x;
	uint64_t room;			/* bytes that may still come */
	bool too_large;
	uint64_t deadline;
};

/* To the pipe, which is drained at index-pack's pace. */
static int feed(struct answer_check *a, struct rd bytes)
{
	struct intake *in = container_of(a, struct intake, check);

	while (rd_left(&bytes)) {
		ssize_t n = write(in->to, bytes.p, bytes.n);
		int r = 0;

		if (n < 0 && errno == EAGAIN)
			r = deadline_wait(in->to, POLLOUT, in->deadline);
		else if (n < 0 && errno != EINTR)
			r = -errno;
		if (r < 0)
			return r;
		if (n > 0 && !rd_skip(&bytes, (size_t)n))
			return -EIO;
	}
	return 0;
}

static int sink(void *owner, struct rd bytes)
{
	struct intake *in = owner;

	in->too_large = bytes.n > in->room;
	if (in->too_large)
		return -EFBIG;
	in->room -= bytes.n;
	in->x->received += bytes.n;
	return answer_check_feed(&in->check, bytes) == ANSWER_FAILED ? -EBADMSG : 0;
}

static int start(struct intake *in, const struct repo *x, const char *quarantine)
{
	static const char *const args[] = { "index-pack", "--stdin", "--fix-thin", LENIENT_STRICT, NULL };
	int ends[2], r;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES);
	fcntl(ends[1], F_SETFL, O_NONBLOCK);
	r = git_start(&(struct git_spec){ .dir = x->git, .objects = quarantine, .args = args, .in = ends[0] },
		      &in->git);
	close(ends[0]);
	in->to = r < 0 ? -1 : ends[1];
	if (r < 0)
		close(ends[1]);
	return r;
}

/* Its word on the pack, once it has all of it. */
static int finish(struct intake *in)
{
	char away[256], said[4 * GIT_SAID + 4];
	ssize_t n;
	int r;

	close(STEAL_FD(in->to));
	while ((n = git_read(&in->git, away, sizeof(away), in->deadline)) > 0)
		;
	r = n < 0 ? (int)n : git_wait(&in->git, in->deadline);
	if (r <= 0)
		return r;
	bytes_escape(rd_of(in->git.said, in->git.said_n), GIT_SAID, said, sizeof(said));
	log_line(LOG_WARN, "event=pack_refused status=%d said=\"%s\"", r, said);
	return -EBADMSG;
}

static int move_ending(const char *from, const char *to, const char *ending)
{
	char a[PATH_BYTES], b[PATH_BYTES];
	DIR *d = opendir(from);
	int r = d ? 0 : -errno;

	for (struct dirent *e; !r && (e = readdir(d));) {
		const char *dot = strrchr(e->d_name, '.');

		if (!dot || strcmp(dot, ending) || strncmp(e->d_name, "pack-", 5))
			continue;
		if (snprintf(a, sizeof(a), "%s/%s", from, e->d_name) >= (int)sizeof(a) ||
		    snprintf(b, sizeof(b), "%s/%s", to, e->d_name) >= (int)sizeof(b))
			r = -ENAMETOOLONG;
		else if (rename(a, b) < 0)
			r = -errno;
	}
	if (d)
		closedir(d);
	return r;
}

/* The index last: a pack is seen by it. */
static int move_in(const struct repo *x, const char *quarantine)
{
	static const char *const endings[] = { ".pack", ".rev", ".idx" };
	char from[PATH_BYTES], to[PATH_BYTES];
	int r = 0;

	if (snprintf(from, sizeof(from), "%s/pack", quarantine) >= (int)sizeof(from) ||
	    snprintf(to, sizeof(to), "%s/objects/pack", x->git) >= (int)sizeof(to))
		return -ENAMETOOLONG;
	for (size_t i = 0; !r && i < ARRAY_SIZE(endings); i++)
		r = move_ending(from, to, endings[i]);
	return r;
}

static int run(struct intake *in, const struct repo *x, const char *quarantine, struct ask *q,
	       struct ask_outcome *ret_outcome)
{
	struct ask_outcome out;
	int r = start(in, x, quarantine);

	if (r < 0)
		return r;
	q->sink = sink;
	q->owner = in;
	ask_upstream(q, &out);
	if (in->too_large)
		return -EFBIG;
	if (out.stopped < 0 || (out.reason == REASON_NONE && answer_check_end(&in->check) != ANSWER_PACK)) {
		char said[4 * ANSWER_SAID_MAX + 4];

		bytes_escape(rd_of(in->check.said, in->check.said_n), ANSWER_SAID_MAX, said, sizeof(said));
		log_line(LOG_WARN, "event=answer_refused why=\"%s\" said=\"%s\"",
			 in->check.why ? in->check.why : "", said);
		return -EBADMSG;
	}
	*ret_outcome = out;
	if (out.reason != REASON_NONE)
		return 0;
	r = finish(in);
	in->x->objects += r < 0 ? 0 : pack_check_objects(&in->check.pack);
	return r < 0 ? r : move_in(x, quarantine);
}

int intake_run(struct repo *x, const struct ask *asked, uint64_t max, struct ask_outcome *ret_outcome)
{
	struct intake in = { .to = -1, .x = x, .room = max > x->bytes ? max - x->bytes : 0, .deadline = deadline_in(git_patience()), .git = { .out = -1, .err = -1, .pidfd = -1 } };
	char quarantine[PATH_BYTES];
	struct ask q = *asked;
	int r;

	*ret_outcome = (struct ask_outcome){ 0 };
	if (snprintf(quarantine, sizeof(quarantine), "%s/incoming", x->dir) >= (int)sizeof(quarantine))
		return -ENAMETOOLONG;
	r = files_remove(quarantine);
	if (!r && mkdir(quarantine, 0700) < 0)
		r = -errno;
	if (!r)
		r = answer_check_init(&in.check, x->format, feed);
	if (r < 0)
		return r;
	r = run(&in, x, quarantine, &q, ret_outcome);
	if (in.to >= 0)
		close(in.to);
	git_end(&in.git);
	answer_check_done(&in.check);
	files_remove(quarantine);
	return r;
}

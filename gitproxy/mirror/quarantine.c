/*
 * quarantine.c - where a push waits until it was judged and upstream has it
 *
 * Theory of operation: MIRRORS/push/N holds the pack as it came, and `judged`, a folder into which cordon-scan
 * writes the index and, for a thin pack, the pack that stands by itself. No repository sees it, so a push
 * that is refused leaves nothing that a later push or fetch could find: the folder goes, whole. Of one that
 * upstream took, the files move to the mirror, the index last, which is what makes a pack be seen. What a
 * kill left is removed at the start.
 * All together take no more than their room, and of that one sandbox never more than it leaves for others. What is
 * made beside a pack is as long as it again in the worst of ordinary cases (it was thin), and somewhat for the index.
 */
#include "gitproxy/mirror/quarantine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

#include "gitproxy/mirror/files.h"
#include "gitproxy/mirror/refs.h"

#define PUSHES "push"
enum { PATH_BYTES = 2 * REPO_PATH, SPARE = 64 /* a part of the room, for an index */ };

int quarantine_sweep(const char *mirrors)
{
	char dir[REPO_PATH];
	int r;

	if (snprintf(dir, sizeof(dir), "%s/" PUSHES, mirrors) >= (int)sizeof(dir))
		return -ENAMETOOLONG;
	r = files_remove(dir);
	return r < 0 ? r : mkdir(dir, 0700) < 0 ? -errno : 0;
}

static int make(struct quarantine *q)
{
	char path[PATH_BYTES];

	if (mkdir(q->dir, 0700) < 0)
		return -errno;
	snprintf(path, sizeof(path), "%s/pack", q->dir);
	q->pack = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	snprintf(path, sizeof(path), "%s/judged", q->dir);
	if (q->pack < 0 || mkdir(path, 0700) < 0)
		return -errno;
	q->judged = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return q->judged < 0 ? -errno : 0;
}

int quarantine_open(const char *mirrors, struct room *room, uint16_t sandbox, struct quarantine *ret)
{
	static _Atomic uint64_t number;
	int r;

	*ret = (struct quarantine){ .pack = -1, .judged = -1, .room = room, .sandbox = sandbox };
	if (snprintf(ret->dir, sizeof(ret->dir), "%s/" PUSHES "/%ju", mirrors, (uintmax_t)number++) >=
	    (int)sizeof(ret->dir)) {
		ret->dir[0] = '\0';
		return -ENAMETOOLONG;
	}
	r = make(ret);
	if (r < 0)
		quarantine_done(ret);
	return r;
}

static void give_down_to(struct quarantine *q, uint64_t left)
{
	if (q->taken <= left)
		return;
	room_give(q->room, q->sandbox, q->taken - left);
	q->taken = left;
}

void quarantine_done(struct quarantine *q)
{
	if (q->pack >= 0)
		close(STEAL_FD(q->pack));
	if (q->judged >= 0)
		close(STEAL_FD(q->judged));
	give_down_to(q, 0);			/* first: where no folder is, nothing is taken */
	if (*q->dir)
		files_remove(q->dir);
	q->dir[0] = '\0';
}

static int take(struct quarantine *q, uint64_t n)
{
	if (n > room_of_one(q->room) || q->taken > room_of_one(q->room) - n)
		return -EFBIG;
	if (!room_take(q->room, q->sandbox, n))
		return -EDQUOT;
	q->taken += n;
	return 0;
}

int quarantine_write(struct quarantine *q, struct rd bytes)
{
	int r = take(q, bytes.n);

	if (r < 0)
		return r;
	while (rd_left(&bytes)) {
		ssize_t n = write(q->pack, bytes.p, bytes.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || !rd_skip(&bytes, (size_t)n))
			return n < 0 ? -errno : -EIO;
		q->bytes += (uint64_t)n;
	}
	return 0;
}

void quarantine_empty(struct quarantine *q)
{
	if (q->pack < 0 || ftruncate(q->pack, 0) < 0)
		return;				/* it goes with the rest */
	q->bytes = 0;
	give_down_to(q, 0);
}

uint64_t quarantine_reserve(struct quarantine *q)
{
	uint64_t n = q->bytes + 2 * room_of_one(q->room) / SPARE;

	return take(q, n) < 0 ? 0 : n;
}

void quarantine_settle(struct quarantine *q)
{
	uint64_t is = files_bytes(q->dir);

	give_down_to(q, is > q->bytes ? is : q->bytes);
}

static int move(const char *from, const char *git, const char *hash, const char *ending)
{
	char to[PATH_BYTES];

	if (snprintf(to, sizeof(to), "%s/objects/pack/pack-%s%s", git, hash, ending) >= (int)sizeof(to))
		return -ENAMETOOLONG;
	return chmod(from, 0400) < 0 || rename(from, to) < 0 ? -errno : 0;
}

static int move_in(const struct quarantine *q, const struct repo *x, const struct quarantine_keep *k)
{
	char hash[OID_HEX_MAX + 1] = "", pack[PATH_BYTES], index[PATH_BYTES];
	struct wr w = wr_of(hash, sizeof(hash) - 1);
	int r;

	oid_write(&w, k->name, k->format);
	if (k->thin)
		snprintf(pack, sizeof(pack), "%s/judged/pack-%s.pack", q->dir, hash);
	else
		snprintf(pack, sizeof(pack), "%s/pack", q->dir);
	snprintf(index, sizeof(index), "%s/judged/pack-%s.idx", q->dir, hash);
	r = access(index, R_OK) < 0 ? -errno : move(pack, x->git, hash, ".pack");
	return r < 0 ? r : move(index, x->git, hash, ".idx");
}

static bool fits(struct repo *x, enum object_format format)
{
	uint8_t generation[REPO_GENERATION];
	enum object_format have;

	return repo_is_warm(x, &have, generation) && have == format;
}

int quarantine_keep(struct quarantine *q, struct repo *x, const struct quarantine_keep *k)
{
	int r;

	repo_claim_beside(x);
	r = fits(x, k->format) ? move_in(q, x, k) : -ENOENT;
	if (!r)
		r = refs_pin(x, k->tips, k->n_tips);
	pthread_mutex_lock(&x->lock);
	x->unmeasured = true;
	x->fresh_bytes += q->bytes;
	pthread_mutex_unlock(&x->lock);
	repo_release(x);
	return r;
}

/*
 * judge_file.c - one LFS object, scanned before it is kept
 *
 * Theory of operation: the file is what the question says, by length and SHA-256, or nothing is said of
 * it. It is read once, in pieces, and hashed and scanned in the same turn.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "gitproxy/gate/judge.h"
#include "gitproxy/gate/question.h"
#include "gitproxy/gate/weigh.h"

enum { PIECE = 256 << 10 };

struct file_judge {
	struct tell tell;
	struct push_rules rules;
	struct scan_exceptions *exceptions;
	struct contents *contents;
	uint8_t *piece;
};

static int read_pieces(struct file_judge *j, int fd, EVP_MD_CTX *hash, uint64_t *ret_n)
{
	uint64_t n = 0;
	ssize_t got;

	while ((got = pread(fd, j->piece, PIECE, (off_t)n)) > 0) {
		if (EVP_DigestUpdate(hash, j->piece, (size_t)got) != 1)
			return -ENOMEM;
		contents_piece(j->contents, 0, rd_of(j->piece, (size_t)got));
		n += (uint64_t)got;
		if (tell_progress(&j->tell, GATE_SCAN, n, 0))
			return -EPIPE;
	}
	*ret_n = n;
	return got < 0 ? -errno : 0;
}

/* -EBADMSG: it is not what was said. */
static int read_file(struct file_judge *j, const struct gate_scanfile *q, int fd)
{
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	uint8_t is[EVP_MAX_MD_SIZE];
	uint64_t n = 0;
	int r = hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;

	contents_begin(j->contents, 0, NULL);
	if (!r)
		r = read_pieces(j, fd, hash, &n);
	contents_end(j->contents, 0);
	if (!r && EVP_DigestFinal_ex(hash, is, NULL) != 1)
		r = -ENOMEM;
	EVP_MD_CTX_free(hash);
	j->tell.judged.objects = 1;
	j->tell.judged.bytes = n;
	if (!r && (n != q->size || memcmp(is, q->sha256, sizeof(q->sha256))))
		r = -EBADMSG;
	return r;
}

static void conclude(struct file_judge *j, int r)
{
	const char *why = r == -EBADMSG ? "it is not the object of this id" : r ? strerror(-r) : NULL;
	bool held = j->tell.judged.findings[GATE_HELD];

	if (!r && (contents_failed(j->contents) || (contents_cut(j->contents) && !held)))
		why = "it was not scanned to its end";
	if (why)
		tell_judged(&j->tell, JUDGE_FAILED, REASON_SCAN_FAILED, why);
	else
		tell_judged(&j->tell, held ? JUDGE_REFUSED : JUDGE_CLEAN,
			    held ? REASON_SECRET_DETECTED : REASON_NONE, NULL);
}

void judge_file(const struct scan *engine, const struct ipc_in *in)
{
	const struct gate_scanfile *q = (const void *)in->body;
	struct file_judge j = { .tell = { .to = in->fd[GATE_FILE_ANSWERS] }, .piece = malloc(PIECE) };
	int r = j.piece ? question_rules(in->fd[GATE_FILE_RULES], &j.rules) : -ENOMEM;

	if (!r && q->has_exceptions)
		r = question_exceptions(in->fd[GATE_FILE_EXCEPTIONS], &j.exceptions);
	if (!r)
		r = contents_new(engine, OBJECT_SHA1, j.exceptions, &j.contents);
	if (r) {
		tell_judged(&j.tell, JUDGE_FAILED, REASON_SCAN_FAILED, strerror(-r));
	} else {
		r = read_file(&j, q, in->fd[GATE_FILE]);
		if (!r)
			r = weigh(&(struct weigh_spec){ .contents = j.contents, .warn_only = j.rules.warn_only },
				  &j.tell);
		conclude(&j, r);
	}
}

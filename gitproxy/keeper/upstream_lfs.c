/*
 * upstream_lfs.c - requests of Git LFS to the real servers
 *
 * Theory of operation: a batch request goes to the git server; what it names goes to wherever it says,
 * with the fields it says and, on the git server itself, with the credential when it says none. No
 * redirect is followed: it would take those fields along. Batch answers and uploads stay in this process.
 * An object goes to the front as it comes, but for its last piece, which waits until all of its bytes
 * have the hash that is its id: so nobody has a whole object that is not the right one.
 * Invariants: URL and fields are told to nobody but libcurl.
 * Spec: git-lfs docs/api/batch.md, docs/api/basic-transfers.md.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <unistd.h>

#include "gitproxy/deadline.h"
#include "gitproxy/keeper/lfs_answer.h"
#include "gitproxy/keeper/transfer.h"

#define LFS_JSON "application/vnd.git-lfs+json"

struct lfs_transfer {
	EVP_MD_CTX *hash;
	uint64_t n;			/* bytes of the answer */
	struct rd left;			/* of the request's body */
	bool right;			/* GET: all is there, and is it */
};

void lfs_transfer_free(struct lfs_transfer *x)
{
	if (x)
		EVP_MD_CTX_free(x->hash);
	free(x);
}

static bool begin(struct transfer *t)
{
	t->lfs = calloc(1, sizeof(*t->lfs));
	if (!t->lfs)
		return false;
	t->lfs->left = t->rq->lfs->body;
	t->lfs->hash = EVP_MD_CTX_new();
	return t->lfs->hash && EVP_DigestInit_ex(t->lfs->hash, EVP_sha256(), NULL) == 1;
}

/* ---- the request ---- */

static size_t on_read(char *to, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	const struct upstream_lfs *q = t->rq->lfs;
	uint64_t left = q->size - (uint64_t)t->offset;
	struct rd part;
	ssize_t r;

	t->progress = deadline_now();
	n *= size;
	if (q->step == UPSTREAM_LFS_BRING) {
		r = pread(t->rq->body, to, n < left ? n : left, t->offset);
		if (r < 0 || (!r && left))
			return CURL_READFUNC_ABORT;
		t->offset += r;
		return (size_t)r;
	}
	if (!rd_take(&t->lfs->left, n < t->lfs->left.n ? n : t->lfs->left.n, &part))
		return CURL_READFUNC_ABORT;
	if (part.n)
		memcpy(to, part.p, part.n);
	return part.n;
}

static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct transfer *t = arg;

	if (origin != SEEK_SET || offset)
		return CURL_SEEKFUNC_CANTSEEK;
	t->offset = 0;
	t->lfs->left = t->rq->lfs->body;
	return CURL_SEEKFUNC_OK;
}

/* "Name: value" as upstream gave them; what it left out and a server needs. */
static bool request_headers(const struct upstream_lfs *q, struct curl_slist **list)
{
	static const struct lfs_action none;
	const struct lfs_action *a = q->action ? q->action : &none;
	bool json = q->step == UPSTREAM_LFS_ASK || q->step == UPSTREAM_LFS_TELL;
	bool ok = transfer_header(list, "Expect:");

	for (size_t i = 0; ok && i < a->n; i++)
		ok = transfer_header(list, "%s", a->field[i]);
	if (ok && !*lfs_action_field(a, "accept"))
		ok = transfer_header(list, json ? "Accept: " LFS_JSON : "Accept: */*");
	if (ok && q->step != UPSTREAM_LFS_GET && !*lfs_action_field(a, "content-type"))
		ok = transfer_header(list, "Content-Type: %s", json ? LFS_JSON : "application/octet-stream");
	return ok;
}

static void ask_body(CURL *c, struct transfer *t)
{
	const struct upstream_lfs *q = t->rq->lfs;
	bool put = q->step == UPSTREAM_LFS_BRING;

	if (put) {
		curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)q->size);
	} else {
		curl_easy_setopt(c, CURLOPT_POST, 1L);
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body.n);
	}
	curl_easy_setopt(c, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(c, CURLOPT_READDATA, t);
	curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, on_seek);
	curl_easy_setopt(c, CURLOPT_SEEKDATA, t);
}

static bool ask(struct transfer *t, struct curl_slist **ret_headers)
{
	const struct upstream_lfs *q = t->rq->lfs;
	const char *agent = t->rq->open->user_agent;
	CURL *c = t->curl;

	if (!begin(t))
		return false;
	curl_easy_setopt(c, CURLOPT_URL, q->url);
	curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L);	/* signatures are of the URL as it stands */
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	if (agent[0])
		curl_easy_setopt(c, CURLOPT_USERAGENT, agent);
	if (q->step != UPSTREAM_LFS_GET)
		ask_body(c, t);
	return request_headers(q, ret_headers);
}

/* ---- the answer ---- */

static enum reason status_reason(long code, enum upstream_lfs_step step)
{
	if (code == 200 || ((code == 201 || code == 202 || code == 204) && step != UPSTREAM_LFS_ASK &&
			    step != UPSTREAM_LFS_GET))
		return REASON_NONE;
	if (code >= 300 && code < 400)
		return REASON_REDIRECT_NOT_ALLOWED;
	if (code >= 400 && code < 500 && code != 429) /* one word for all: says nothing about what exists */
		return REASON_UPSTREAM_DENIED;
	return REASON_UPSTREAM_UNREACHABLE;
}

static void block(struct transfer *t)
{
	t->encoded = false;
	t->out->detail[0] = '\0';
}

static void header(struct transfer *t, struct rd line)
{
	struct rd name;

	if (rd_until(&line, ':', &name) && rd_eq_nocase(name, "content-encoding"))
		t->encoded = !rd_eq_nocase(transfer_value(line), "identity");
}

static bool judge(struct transfer *t)
{
	long code = 0;

	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
	t->out->status = code > 0 ? (unsigned)code : 0;
	t->out->reason = status_reason(code, t->rq->lfs->step);
	if (t->out->reason == REASON_NONE && t->encoded)
		t->out->reason = REASON_UPSTREAM_UNREACHABLE;
	t->answered = true;
	t->refused = t->out->reason != REASON_NONE;
	return !t->refused;
}

/* A batch's answer is wanted, that of an upload is not; neither has no end. */
static bool take(struct transfer *t, struct rd data)
{
	struct wr *w = t->rq->lfs->collect;

	t->lfs->n += data.n;
	if (t->lfs->n <= LFS_ANSWER_MAX && (!w || wr_rd_all(w, data)))
		return true;
	t->out->reason = REASON_UPSTREAM_UNREACHABLE;
	snprintf(t->out->detail, sizeof(t->out->detail), "the answer is too long");
	return false;
}

static void refuse_nothing(struct transfer *t)
{
	(void)t;
}

const struct transfer_kind transfer_lfs = {
	.ask = ask, .block = block, .header = header, .answer = judge, .refuse = refuse_nothing, .take = take, .quiet = true,
};

/* ---- an object's bytes ---- */

static bool mismatch(struct transfer *t, const char *why)
{
	t->out->reason = REASON_LFS_OBJECT_MISMATCH;
	snprintf(t->out->detail, sizeof(t->out->detail), "%s", why);
	return false;
}

static bool get_answer(struct transfer *t)
{
	struct keeper_status *st = &t->status;
	curl_off_t length = -1;

	curl_easy_getinfo(t->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	if (judge(t) && length >= 0 && (uint64_t)length != t->rq->lfs->size) {
		mismatch(t, "the server announces another size");
		t->refused = true;
	}
	*st = (struct keeper_status){ .kind = KEEPER_STATUS, .reason = t->out->reason, .upstream_status = t->out->status,
				      .length = t->rq->lfs->size, .n_headers = 1 };
	st->header[0] = (struct keeper_header){ KEEPER_CONTENT_TYPE, "application/octet-stream" };
	return transfer_send(t, st, sizeof(*st)) && !t->refused;
}

static bool is_right(struct transfer *t)
{
	uint8_t got[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	return EVP_DigestFinal_ex(t->lfs->hash, got, &n) == 1 && n == LFS_OID && !memcmp(got, t->rq->lfs->oid, n);
}

static bool get_take(struct transfer *t, struct rd data)
{
	struct lfs_transfer *x = t->lfs;
	uint64_t size = t->rq->lfs->size;

	if (!data.n)
		return true;
	x->n += data.n;
	if (x->n > size)
		return mismatch(t, "the server sends more than it should");
	if (EVP_DigestUpdate(x->hash, data.p, data.n) != 1)
		return mismatch(t, "no hash");
	if (x->n == size && !is_right(t))
		return mismatch(t, "the bytes have another hash");
	x->right = x->n == size;
	return transfer_pass_on(t, data);
}

static bool get_whole(struct transfer *t)
{
	if (!t->rq->lfs->size && !t->lfs->n)
		t->lfs->right = is_right(t);
	return t->lfs->right || mismatch(t, "the server sends less than it should");
}

static void get_refuse(struct transfer *t)
{
	t->status = (struct keeper_status){ .kind = KEEPER_STATUS, .reason = t->out->reason,
					    .upstream_status = t->out->status };
	transfer_send(t, &t->status, sizeof(t->status));
}

const struct transfer_kind transfer_lfs_get = {
	.ask = ask, .block = block, .header = header, .answer = get_answer, .refuse = get_refuse, .take = get_take,
	.whole = get_whole,
};

/*
 * body_file.c - a request's body, decoded, as a sealed file in memory
 *
 * Theory of operation: fetch requests are small lists of wants and haves, so they are read whole
 * before anything is asked upstream: a slow or lying client then holds nothing but its own thread,
 * and the keeper gets a length that is true. Both the bytes on the wire and the decoded ones are
 * bounded (an endless gzip stream may decode to nothing). Content-Encoding is gzip, once, or
 * absent.
 */
#include "gitproxy/front/body_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "gitproxy/deadline.h"

enum { IDLE_MS = 30000, TOTAL_MS = 300000, WINDOW = 16384 };

struct sink {
	int fd;
	uint64_t n, wire, max;
	bool gzipped;
	struct http_gzip gzip;
	struct body_error *error;
};

static int fail(struct sink *k, enum reason reason, unsigned status)
{
	*k->error = (struct body_error){ .reason = reason, .status = status };
	return -1;
}

static int put(struct sink *k, struct rd data)
{
	while (rd_left(&data)) {
		ssize_t n;

		if (k->n + data.n > k->max)
			return fail(k, REASON_BODY_TOO_LARGE, 0);
		n = write(k->fd, data.p, data.n);
		if (n <= 0 || !rd_skip(&data, (size_t)n))
			return fail(k, REASON_INTERNAL_ERROR, 0);
		k->n += (uint64_t)n;
	}
	return 0;
}

static int put_gzip(struct sink *k, struct rd data)
{
	uint8_t window[WINDOW];
	enum parse r;

	do {
		struct wr w = wr_of(window, sizeof(window));

		r = http_gzip_next(&k->gzip, &data, &w);
		if (r == PARSE_BAD)
			return fail(k, REASON_REQUEST_MALFORMED, 0);
		if (put(k, wr_rd(&w)) < 0)
			return -1;
	} while (r == PARSE_OK);
	return 0;
}

static int take(struct sink *k, struct rd data)
{
	k->wire += data.n;
	if (k->wire > k->max)
		return fail(k, REASON_BODY_TOO_LARGE, 0);
	return k->gzipped ? put_gzip(k, data) : put(k, data);
}

static int fill(struct input *in, struct sink *k, uint64_t total)
{
	uint64_t idle = deadline_in(IDLE_MS);
	ssize_t n = input_fill(in, idle < total ? idle : total);

	if (n > 0)
		return 0;
	fail(k, n == -ETIMEDOUT ? REASON_DEADLINE_EXCEEDED : REASON_REQUEST_MALFORMED, 0);
	k->error->gone = n != -ETIMEDOUT;
	return -1;
}

static int pump(struct input *in, struct http_body *b, struct sink *k)
{
	uint64_t total = deadline_in(TOTAL_MS);

	while (!b->done) {
		struct rd left = input_rd(in), data;
		enum parse r = http_body_next(b, &left, &data);

		if (r == PARSE_BAD)
			return fail(k, REASON_REQUEST_MALFORMED, 0);
		if (r == PARSE_OK && take(k, data) < 0)
			return -1;
		input_keep(in, left.n);
		if (r == PARSE_MORE && fill(in, k, total) < 0)
			return -1;
	}
	if (k->gzipped && !http_gzip_complete(&k->gzip))
		return fail(k, REASON_REQUEST_MALFORMED, 0);
	return 0;
}

/* Which encoding, if it is one that is taken. */
static int encoding(struct sink *k, const struct http_head *head)
{
	struct rd value = head->field[HTTP_CONTENT_ENCODING];

	if (!http_has(head, HTTP_CONTENT_ENCODING))
		return 0;
	if (!rd_eq_nocase(value, "gzip") && !rd_eq_nocase(value, "x-gzip"))
		return fail(k, REASON_REQUEST_MALFORMED, 415);
	k->gzipped = true;
	return http_gzip_init(&k->gzip) < 0 ? fail(k, REASON_INTERNAL_ERROR, 0) : 0;
}

static int read_into(struct input *in, const struct http_head *head, struct sink *k)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct http_body b;

	http_body_init(&b, head);
	if (head->framing == HTTP_LENGTH && head->length > k->max)
		return fail(k, REASON_BODY_TOO_LARGE, 0);
	if (encoding(k, head) < 0)
		return -1;
	if (head->expect_continue &&
	    stream_write(in->stream, go_on, sizeof(go_on) - 1, IDLE_MS) < 0) {
		k->error->gone = true;
		return -1;
	}
	return pump(in, &b, k);
}

int body_file_read(struct input *in, const struct http_head *head, uint64_t max, int *ret_fd,
		   uint64_t *ret_n, struct body_error *ret_error)
{
	AUTO(fd) int fd = memfd_create("body", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct sink k = { .fd = fd, .max = max, .error = ret_error };
	int r;

	*ret_error = (struct body_error){ 0 };
	if (fd < 0)
		return fail(&k, REASON_INTERNAL_ERROR, 0);
	r = read_into(in, head, &k);
	http_gzip_done(&k.gzip);
	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return fail(&k, REASON_INTERNAL_ERROR, 0);
	*ret_n = k.n;
	*ret_fd = STEAL_FD(fd);
	return 0;
}

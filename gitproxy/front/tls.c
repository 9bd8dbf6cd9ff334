/*
 * tls.c - a client's connection, TLS or plain, with deadlines
 *
 * Theory of operation: one SSL_CTX per name with a leaf from the keeper, cached until it is
 * LEAF_FRESH_MS old or the CA changes; a leaf that was asked for before that is not kept. The
 * ClientHello's server_name must be the name of the connection, byte for byte after case folding
 * and one trailing dot; no name, two names or another name end the handshake. No session cache, no
 * tickets, no renegotiation, no compression, nothing below TLS 1.2; ALPN chooses http/1.1 or fails.
 * Sockets are non-blocking; every wait is bounded by deadline_wait().
 * Invariants: an SSL_CTX is never changed after it was published; connections hold references.
 * Spec: RFC 6066 s3, RFC 7301.
 */
#include "gitproxy/front/tls.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509.h>

#include "gitproxy/deadline.h"
#include "gitproxy/keeper_client.h"
#include "policy/policy.h"

enum {
	FILE_PIECE = 256 << 10,
	TLS_PIECE = 64 << 10,
	TLS_GATHER = 128 << 10,
	CACHE_MAX = 128,
	LEAF_FRESH_MS = 3600 * 1000,
	SNI_HOST_NAME = 0,
	LINGER_MS = 2000,
	LINGER_BYTES = 1 << 20
};

/* Ours go first: 128 bits are enough, and cost a tenth less, and SHA-256 is what processors are made for. */
#define TLS_SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

struct cached {
	char name[MSG_NAME];
	SSL_CTX *ctx;			/* NULL: free slot */
	uint64_t since;
};

struct tls {
	int keeper;
	pthread_mutex_t lock;		/* of the cache; not held while the keeper is asked */
	unsigned generation;		/* of the CA */
	struct cached cache[CACHE_MAX];
};

/* What a handshake learns in its callbacks. */
struct hello {
	const char *name;
	char *sni;			/* TLS_SNI_MAX bytes */
	enum reason reason;
};

int tls_new(int keeper, struct tls **ret)
{
	struct tls *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->keeper = keeper;
	pthread_mutex_init(&t->lock, NULL);
	*ret = t;
	return 0;
}

/* ---- the hello ---- */

/* RFC 6066 s3: a list of exactly one host_name. */
static enum parse sni_of(struct rd ext, struct rd *ret)
{
	struct rd list, name;
	uint8_t type;

	if (!rd_vec(&ext, 2, &list) || !rd_done(&ext) || !rd_u8(&list, &type) ||
	    type != SNI_HOST_NAME || !rd_vec(&list, 2, &name) || !rd_done(&list) || !rd_left(&name))
		return PARSE_BAD;
	*ret = name;
	return PARSE_OK;
}

static enum reason sni_reason(struct rd sni, const char *name)
{
	char canonical[POLICY_NAME_MAX + 1];

	return name_canonical(sni, canonical) && !strcmp(canonical, name) ? REASON_NONE :
									    REASON_SNI_MISMATCH;
}

static int on_hello(SSL *ssl, int *al, void *arg)
{
	struct hello *h = SSL_get_app_data(ssl);
	const unsigned char *p;
	struct rd sni;
	size_t n;

	(void)arg;
	*al = SSL_AD_UNRECOGNIZED_NAME;
	h->reason = REASON_SNI_MISSING;
	if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n))
		return SSL_CLIENT_HELLO_ERROR;
	h->reason = REASON_HELLO_MALFORMED;
	if (sni_of(rd_of(p, n), &sni) != PARSE_OK)
		return SSL_CLIENT_HELLO_ERROR;
	snprintf(h->sni, TLS_SNI_MAX, "%.*s", (int)(sni.n < TLS_SNI_MAX ? sni.n : TLS_SNI_MAX - 1),
		 (const char *)sni.p);
	h->reason = sni_reason(sni, h->name);
	return h->reason == REASON_NONE ? SSL_CLIENT_HELLO_SUCCESS : SSL_CLIENT_HELLO_ERROR;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen,
		   const unsigned char *in, unsigned int inlen, void *arg)
{
	static const uint8_t ours[] = "\x08http/1.1";
	int r = SSL_select_next_proto((unsigned char **)(uintptr_t)out, outlen, ours,
				      sizeof(ours) - 1, in, inlen);

	(void)ssl, (void)arg;
	return r == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* ---- contexts ---- */

static bool use_leaf(SSL_CTX *ctx, const struct keeper_leaf *l)
{
	const unsigned char *at = (const unsigned char *)l->key;
	EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &at, (long)l->key_len);
	bool ok = key && SSL_CTX_use_certificate_ASN1(ctx, (int)l->der_len, l->der) == 1 &&
		  SSL_CTX_use_PrivateKey(ctx, key) == 1;

	EVP_PKEY_free(key);
	return ok;
}

static SSL_CTX *ctx_new(const struct keeper_leaf *l)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (!ctx)
		return NULL;
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION |
					 SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_ciphersuites(ctx, TLS_SUITES);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
			      SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 1);		/* a record's head and body with one read */
	SSL_CTX_set_client_hello_cb(ctx, on_hello, NULL);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
	if (use_leaf(ctx, l))
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

static SSL_CTX *cache_find(struct tls *t, const char *name, unsigned *ret_generation)
{
	uint64_t now = deadline_now();
	SSL_CTX *found = NULL;

	pthread_mutex_lock(&t->lock);
	*ret_generation = t->generation;
	for (size_t i = 0; i < CACHE_MAX && !found; i++)
		if (t->cache[i].ctx && !strcmp(t->cache[i].name, name) &&
		    now - t->cache[i].since < LEAF_FRESH_MS)
			found = t->cache[i].ctx;
	if (found)
		SSL_CTX_up_ref(found);
	pthread_mutex_unlock(&t->lock);
	return found;
}

/* In place of the same name, a free slot, or the oldest. */
static struct cached *cache_slot(struct tls *t, const char *name)
{
	struct cached *at = &t->cache[0];

	for (size_t i = 0; i < CACHE_MAX; i++) {
		struct cached *c = &t->cache[i];

		if (c->ctx && !strcmp(c->name, name))
			return c;
		if (at->ctx && (!c->ctx || c->since < at->since))
			at = c;
	}
	return at;
}

/* Unless the CA has changed since the leaf was asked for. */
static void cache_put(struct tls *t, const char *name, SSL_CTX *ctx, unsigned generation)
{
	struct cached *at;

	pthread_mutex_lock(&t->lock);
	if (generation == t->generation) {
		at = cache_slot(t, name);
		SSL_CTX_free(at->ctx);
		SSL_CTX_up_ref(ctx);
		at->ctx = ctx;
		at->since = deadline_now();
		msg_text_set(at->name, sizeof(at->name), name);
	}
	pthread_mutex_unlock(&t->lock);
}

void tls_forget(struct tls *t)
{
	pthread_mutex_lock(&t->lock);
	t->generation++;
	for (size_t i = 0; i < CACHE_MAX; i++) {
		SSL_CTX_free(t->cache[i].ctx);
		t->cache[i].ctx = NULL;
	}
	pthread_mutex_unlock(&t->lock);
}

/* A reference to the name's context, or NULL. */
static SSL_CTX *ctx_of(struct tls *t, const char *name)
{
	unsigned generation;
	SSL_CTX *ctx = cache_find(t, name, &generation);
	struct keeper_leaf leaf;

	if (ctx || keeper_sign(t->keeper, name, &leaf) < 0)
		return ctx;
	ctx = ctx_new(&leaf);
	keeper_leaf_done(&leaf);
	if (ctx)
		cache_put(t, name, ctx, generation);
	return ctx;
}

/* ---- input and output ---- */

/* Wait for what OpenSSL wants. 0, -ETIMEDOUT, or -ECONNRESET for an error that waiting does not
 * cure. */
static int ssl_wait(struct stream *s, int result, uint64_t deadline)
{
	int e = SSL_get_error(s->ssl, result);

	ERR_clear_error();
	if (e == SSL_ERROR_WANT_READ)
		return deadline_wait(s->fd, POLLIN, deadline);
	if (e == SSL_ERROR_WANT_WRITE)
		return deadline_wait(s->fd, POLLOUT, deadline);
	return -ECONNRESET;
}

/*
 * The client's last flight has no answer of ours (tickets are off) that would carry its ACK, and a
 * client that minds Nagle holds its request back until the delayed one.
 */
static void acknowledge(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
}

static enum tls_result handshake(struct stream *s, struct hello *h, uint64_t deadline)
{
	int n, r = 0;

	while (!r) {
		ERR_clear_error();
		n = SSL_accept(s->ssl);
		if (n == 1)
			return h->reason == REASON_NONE ? TLS_OK : TLS_REFUSED;
		r = ssl_wait(s, n, deadline);
	}
	if (r == -ETIMEDOUT)
		h->reason = REASON_HELLO_TIMEOUT;
	return h->reason == REASON_NONE ? TLS_GAVE_UP : TLS_REFUSED;
}

enum tls_result tls_accept(struct tls *t, struct stream *s, const char *name, uint64_t deadline,
			   char ret_sni[TLS_SNI_MAX], enum reason *ret_reason)
{
	struct hello h = { .name = name, .sni = ret_sni, .reason = REASON_NOT_TLS };
	enum tls_result result = TLS_REFUSED;
	SSL_CTX *ctx = ctx_of(t, name);

	ret_sni[0] = '\0';
	*ret_reason = REASON_INTERNAL_ERROR;
	if (!ctx)
		return result;
	s->ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	if (s->ssl && SSL_set_fd(s->ssl, s->fd) == 1) {
		SSL_set_app_data(s->ssl, &h);
		result = handshake(s, &h, deadline);
		acknowledge(s->fd);
		SSL_set_app_data(s->ssl, NULL);
		*ret_reason = h.reason;
	}
	if (result != TLS_OK) {
		SSL_free(s->ssl);
		s->ssl = NULL;
	}
	return result;
}

static ssize_t ssl_read(struct stream *s, void *to, size_t n, uint64_t deadline)
{
	for (;;) {
		size_t got;
		int r;

		ERR_clear_error();
		if (SSL_read_ex(s->ssl, to, n, &got))
			return (ssize_t)got;
		if (SSL_get_error(s->ssl, 0) == SSL_ERROR_ZERO_RETURN)
			return 0;
		r = ssl_wait(s, 0, deadline);
		if (r < 0)
			return r;
	}
}

static ssize_t plain_read(struct stream *s, void *to, size_t n, uint64_t deadline)
{
	for (;;) {
		ssize_t got = recv(s->fd, to, n, 0);
		int r;

		if (got >= 0)
			return got;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		r = deadline_wait(s->fd, POLLIN, deadline);
		if (r < 0)
			return r;
	}
}

ssize_t stream_read(struct stream *s, void *to, size_t n, uint64_t deadline)
{
	ssize_t r = s->ssl ? ssl_read(s, to, n, deadline) : plain_read(s, to, n, deadline);

	s->ended |= r <= 0 && r != -ETIMEDOUT;
	return r;
}

/* What an SSL call that did not succeed means where nobody waits. */
static ssize_t ssl_now(struct stream *s)
{
	int e = SSL_get_error(s->ssl, 0);

	ERR_clear_error();
	if (e == SSL_ERROR_ZERO_RETURN)
		return 0;
	return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? -EAGAIN : -ECONNRESET;
}

static ssize_t plain_now(ssize_t r)
{
	if (r >= 0)
		return r;
	return errno == EINTR ? -EAGAIN : -errno;
}

ssize_t stream_try_read(struct stream *s, void *to, size_t n)
{
	size_t got;
	ssize_t r;

	ERR_clear_error();
	if (!s->ssl)
		r = plain_now(recv(s->fd, to, n, 0));
	else
		r = SSL_read_ex(s->ssl, to, n, &got) ? (ssize_t)got : ssl_now(s);
	s->ended |= r <= 0 && r != -EAGAIN;
	return r;
}

ssize_t stream_try_write(struct stream *s, const void *p, size_t n)
{
	size_t sent;
	ssize_t r;

	ERR_clear_error();
	if (!s->ssl)
		return plain_now(send(s->fd, p, n, MSG_NOSIGNAL));
	if (SSL_write_ex(s->ssl, p, n, &sent))
		return (ssize_t)sent;
	r = ssl_now(s);
	return r ? r : -ECONNRESET;
}

bool stream_pending(const struct stream *s)
{
	return s->ssl && SSL_has_pending(s->ssl);
}

/* Some bytes written (*ret_n may be 0), or -errno. */
static int write_some(struct stream *s, struct rd left, uint64_t deadline, size_t *ret_n)
{
	ssize_t sent;

	*ret_n = 0;
	if (s->ssl) {
		ERR_clear_error();
		return SSL_write_ex(s->ssl, left.p, left.n, ret_n) ? 0 : ssl_wait(s, 0, deadline);
	}
	sent = send(s->fd, left.p, left.n, MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN && errno != EINTR)
		return -errno;
	if (sent < 0)
		return deadline_wait(s->fd, POLLOUT, deadline);
	*ret_n = (size_t)sent;
	return 0;
}

int stream_write(struct stream *s, const void *p, size_t n, unsigned idle_ms)
{
	struct rd left = rd_of(p, n);
	size_t sent;
	int r;

	while (rd_left(&left)) {
		r = write_some(s, left, deadline_in(idle_ms), &sent);
		if (r < 0)
			return r;
		if (!rd_skip(&left, sent))
			return -EIO;
	}
	return 0;
}

/* Plain: the kernel copies from the page cache. */
static int send_plain(struct stream *s, int file, uint64_t at, uint64_t n, unsigned idle_ms)
{
	off_t from = (off_t)at;

	while (n) {
		int r = deadline_wait(s->fd, POLLOUT, deadline_in(idle_ms));
		ssize_t sent = r < 0 ? 0 : sendfile(s->fd, file, &from, n < FILE_PIECE ? n : FILE_PIECE);

		if (r < 0)
			return r;
		if (sent < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (!sent)
			return -EIO;
		n -= sent > 0 ? (uint64_t)sent : 0;
	}
	return 0;
}

/* ---- much over TLS ---- */

/* Records gather in front of the socket: one call and few segments for eight of them. */
int stream_gather(struct stream *s)
{
	BIO *to, *gather;

	if (!s->ssl || s->gathers)
		return 0;
	to = SSL_get_wbio(s->ssl);
	gather = BIO_new(BIO_f_buffer());
	if (!gather || BIO_set_write_buffer_size(gather, TLS_GATHER) != 1) {
		BIO_free(gather);
		return -ENOMEM;
	}
	BIO_up_ref(to);				/* the chain holds it, and SSL_set0_wbio() lets go of one */
	SSL_set0_wbio(s->ssl, BIO_push(gather, to));
	s->gathers = true;
	return 0;
}

int stream_flush(struct stream *s, unsigned idle_ms)
{
	BIO *gather = s->gathers ? SSL_get_wbio(s->ssl) : NULL;
	int r = 0;

	while (gather && !r && BIO_flush(gather) != 1)
		r = BIO_should_retry(gather) ? deadline_wait(s->fd, POLLOUT, deadline_in(idle_ms)) : -ECONNRESET;
	return r;
}

void stream_scatter(struct stream *s)
{
	if (s->gathers)
		SSL_set0_wbio(s->ssl, BIO_pop(SSL_get_wbio(s->ssl)));
	s->gathers = false;
}

/* Pieces of which the processor's cache still holds what was read when it is encrypted. */
static int send_encrypted(struct stream *s, int file, uint64_t at, uint64_t n, unsigned idle_ms)
{
	size_t size = n < TLS_PIECE ? n : TLS_PIECE;
	AUTO(mem) uint8_t *piece = malloc(size);
	int r = piece ? 0 : -ENOMEM;

	while (n && !r) {
		ssize_t got = pread(file, piece, n < size ? n : size, (off_t)at);

		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		r = stream_write(s, piece, (size_t)got, idle_ms);
		at += (uint64_t)got;
		n -= (uint64_t)got;
	}
	return r;
}

int stream_send_file(struct stream *s, int file, uint64_t at, uint64_t n, unsigned idle_ms)
{
	bool gathers = s->gathers;
	int r = 0;

	if (!s->ssl)
		return send_plain(s, file, at, n, idle_ms);
	if (n > TLS_PIECE)
		r = stream_gather(s);
	if (!r)
		r = send_encrypted(s, file, at, n, idle_ms);
	if (!r)
		r = stream_flush(s, idle_ms);
	if (!gathers)
		stream_scatter(s);
	return r;
}

/*
 * Read away what the client still sends, bounded: closing with unread bytes would send a reset,
 * which may overtake the refusal that the client should read.
 */
static void linger(struct stream *s)
{
	uint64_t deadline = deadline_in(LINGER_MS);
	uint8_t away[4096];
	size_t total = 0;
	ssize_t n = 1;

	while (n > 0 && total < LINGER_BYTES) {
		if (deadline_wait(s->fd, POLLIN, deadline) < 0)
			return;
		n = recv(s->fd, away, sizeof(away), 0);
		total += n > 0 ? (size_t)n : 0;
	}
}

void stream_close(struct stream *s, bool clean)
{
	struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	if (clean && s->ssl && !s->ended) /* a goodbye to a closed socket would draw a reset */
		SSL_shutdown(s->ssl);
	ERR_clear_error();
	if (clean) {
		shutdown(s->fd, SHUT_WR);
		linger(s);
	} else {
		setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	}
	if (s->ssl && !clean)
		SSL_set_quiet_shutdown(s->ssl, 1);
	SSL_free(s->ssl);
	s->ssl = NULL;
}

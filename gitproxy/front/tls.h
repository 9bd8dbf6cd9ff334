/*
 * tls.h - a client's connection, TLS or plain, with deadlines
 *
 * The name was known before the first byte (it is what the destination address stands for), so the
 * server name of the hello only has to agree with it.
 */
#ifndef GITPROXY_FRONT_TLS_H
#define GITPROXY_FRONT_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "base/bytes.h"
#include "policy/reason.h"

struct tls;
int tls_new(int keeper /* borrowed: the pair */, struct tls **ret);	/* 0 or -ENOMEM; kept for good */

/* The CA has changed: every leaf is asked for anew. Thread-safe; connections go on as they are. */
void tls_forget(struct tls *t);

struct stream {
	int fd;			/* borrowed; non-blocking */
	SSL *ssl;		/* NULL: plain */
	bool ended;		/* the client has ended its side: it may not listen any more */
	bool gathers;
};

/*
 * Handshake as `name`. TLS_REFUSED with the reason (sni_missing, sni_mismatch, not_tls,
 * hello_malformed, hello_timeout, internal_error); TLS_GAVE_UP: the client ended it, usually since
 * it does not trust the CA. ret_sni: what the client asked for, cut.
 */
enum tls_result { TLS_REFUSED = 0, TLS_GAVE_UP, TLS_OK };
enum { TLS_SNI_MAX = 256 };
enum tls_result tls_accept(struct tls *t, struct stream *s, const char *name, uint64_t deadline,
			   char ret_sni[TLS_SNI_MAX], enum reason *ret_reason);

/* Bytes read (1 to n), 0 at the end, -ETIMEDOUT, -errno. */
ssize_t stream_read(struct stream *s, void *to, size_t n, uint64_t deadline);
/* The same without waiting: -EAGAIN where nothing can be done now. What is not taken is tried again as it is. */
ssize_t stream_try_read(struct stream *s, void *to, size_t n);
ssize_t stream_try_write(struct stream *s, const void *p, size_t n);
/* Bytes are there that the socket does not tell of. */
bool stream_pending(const struct stream *s);
/* All of it: 0, -ETIMEDOUT (no progress for idle_ms), -errno. */
int stream_write(struct stream *s, const void *p, size_t n, unsigned idle_ms);
/*
 * From now on records wait in memory until many of them can go out with one call, or for stream_flush();
 * what waits at stream_scatter() is gone. 0 or -ENOMEM.
 */
int stream_gather(struct stream *s);
int stream_flush(struct stream *s, unsigned idle_ms);
void stream_scatter(struct stream *s);
/* The same of a regular file's bytes; one that is shorter is -EIO. */
int stream_send_file(struct stream *s, int file, uint64_t at, uint64_t n, unsigned idle_ms);
/* clean: what was written arrives, then a proper end; else a reset, which looks like one. */
void stream_close(struct stream *s, bool clean);

#endif

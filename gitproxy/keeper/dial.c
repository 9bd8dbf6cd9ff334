/*
 * dial.c - where the keeper's connections may go, and whom they trust
 *
 * Theory of operation: libcurl never resolves: it is handed the addresses that resolve.c found and
 * policy/address.h let pass, and the function that opens its sockets asks policy/address.h again
 * about the very address that is dialled. TLS is verified against the system's or the configured
 * certificates. Every handle of the keeper goes through here, whatever it asks for.
 * With git.upstream_proxy all this holds for the proxy, whose own address may be a private one.
 * What it connects to is its business: it is asked by name, for port 443 or (plain HTTP) 80, and only
 * for names that the policy has granted; `hosts:` and the filter of addresses do not reach behind it.
 */
#include "gitproxy/keeper/dial.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <sys/socket.h>

#include "gitproxy/keeper/resolve.h"

#define PROXY_NAME    "proxy.invalid" /* stands for the addresses that were found: never resolved */
#define SYSTEM_BUNDLE "/etc/ssl/certs/ca-certificates.crt"

struct dial_ways {
	const struct host_config *config; /* borrowed */
	struct resolve *resolve;
	X509_STORE *store; /* trusted certificates, read once */
};

uint16_t dial_port(const struct dial *d)
{
	return d->plain ? KEEPER_PLAIN_PORT : KEEPER_UPSTREAM_PORT;
}

/* Where a connection is made: there, or to the proxy that is asked for it. */
static uint16_t dialled_port(const struct dial *d)
{
	const struct host_proxy *p = &d->ways->config->proxy;

	return p->port ? p->port : dial_port(d);
}

/* The last word on where a connection goes. */
static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *sa)
{
	struct dial *d = *(struct dial *const *)arg;
	const struct host_config *c = d->ways->config;
	struct address_context ctx = { c->forbidden, c->n_forbidden };
	struct sockaddr_storage ss = { 0 };
	struct addr a;
	uint16_t port;

	if (purpose != CURLSOCKTYPE_IPCXN || sa->addrlen > sizeof(ss))
		return CURL_SOCKET_BAD;
	memcpy(&ss, &sa->addr, sa->addrlen);
	if (!addr_from_sockaddr(&ss, &a, &port) || port != dialled_port(d) ||
	    !address_usable(&a, &ctx, d->private_ok)) {
		d->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(sa->family, sa->socktype | SOCK_CLOEXEC, sa->protocol);
}

static CURLcode on_ssl_ctx(CURL *curl, void *ctx, void *arg)
{
	const struct dial *d = *(struct dial *const *)arg;

	(void)curl;
	SSL_CTX_set1_cert_store(ctx, d->ways->store);
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION);	/* a write never waits for a read */
	return CURLE_OK;
}

/* It has been handed the addresses: it does not look for others. */
static int on_resolver(void *resolver, void *reserved, void *arg)
{
	(void)resolver, (void)reserved, (void)arg;
	return 1;
}

/* Of the host, or of the proxy that is asked for it. */
static bool find(struct dial *d, const char *host, struct resolved *ret)
{
	const struct host_proxy *p = &d->ways->config->proxy;

	d->private_ok |= p->port != 0;
	if (p->port && !p->name[0]) {
		*ret = (struct resolved){ .addr = { p->addr }, .n = 1 };
		return true;
	}
	return !resolve_name(d->ways->resolve, p->port ? p->name : host, ret) && ret->n;
}

enum reason dial_addresses(struct dial *d, const char *host, struct dial_addresses *ret)
{
	const struct host_config *c = d->ways->config;
	struct address_context ctx = { c->forbidden, c->n_forbidden };
	struct resolved found;

	ret->n = 0;
	if (c->proxy.port || !find(d, host, &found))
		return REASON_UPSTREAM_UNREACHABLE;
	d->private_ok |= found.fixed;
	for (size_t i = 0; i < found.n && ret->n < DIAL_ADDRESSES; i++)
		if (address_usable(&found.addr[i], &ctx, d->private_ok))
			ret->addr[ret->n++] = found.addr[i];
	return ret->n ? REASON_NONE : REASON_REBINDING_BLOCKED;
}

/* "host:port:addr,addr" of the addresses that may be dialled. */
enum reason dial_find(struct dial *d, const char *host, char ret_text[DIAL_TEXT])
{
	const struct host_config *c = d->ways->config;
	struct address_context ctx = { c->forbidden, c->n_forbidden };
	struct wr w = wr_of(ret_text, DIAL_TEXT - 1);
	char text[ADDR_TEXT_MAX];
	struct resolved found;
	size_t usable = 0;

	if (!find(d, host, &found))
		return REASON_UPSTREAM_UNREACHABLE;
	d->private_ok |= found.fixed;
	wr_fmt(&w, "%s:%u:", c->proxy.port ? PROXY_NAME : host, dialled_port(d));
	for (size_t i = 0; i < found.n; i++) {
		if (!address_usable(&found.addr[i], &ctx, d->private_ok))
			continue;
		addr_format(&found.addr[i], text);
		wr_fmt(&w, found.addr[i].family == 6 ? "%s[%s]" : "%s%s", usable++ ? "," : "",
		       text);
	}
	ret_text[wr_ok(&w) ? w.n : 0] = '\0';
	return usable && wr_ok(&w) ? REASON_NONE : REASON_REBINDING_BLOCKED;
}

/* One of the environment is never used. Headers of requests are not for the proxy to see. */
static void set_proxy(const struct host_config *hc, CURL *c)
{
	char url[64] = "";

	if (hc->proxy.port)
		snprintf(url, sizeof(url), "http://" PROXY_NAME ":%u", hc->proxy.port);
	curl_easy_setopt(c, CURLOPT_PROXY, url);
	curl_easy_setopt(c, CURLOPT_NOPROXY, "");
	curl_easy_setopt(c, CURLOPT_HTTPPROXYTUNNEL, 1L);
	curl_easy_setopt(c, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
	curl_easy_setopt(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

void dial_set(struct dial *const *at, CURL *c)
{
	const struct dial *d = *at;
	void *arg = (void *)(uintptr_t)at;

	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, d->plain ? "http" : "https");
#else
	curl_easy_setopt(c, CURLOPT_PROTOCOLS, (long)(d->plain ? CURLPROTO_HTTP : CURLPROTO_HTTPS));
#endif
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	set_proxy(d->ways->config, c);
	curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(c, CURLOPT_CAINFO, NULL); /* trust comes with on_ssl_ctx() */
	curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(c, CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx);
	curl_easy_setopt(c, CURLOPT_SSL_CTX_DATA, arg);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, arg);
	curl_easy_setopt(c, CURLOPT_RESOLVER_START_FUNCTION, on_resolver);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)d->ways->config->connect_ms);
}

/* The configured file alone, or the system's bundle, or OpenSSL's own idea of it. */
static bool load_trust(X509_STORE *store, const char *file)
{
	if (file)
		return X509_STORE_load_file(store, file) == 1;
	return X509_STORE_load_file(store, SYSTEM_BUNDLE) == 1 ||
	       X509_STORE_set_default_paths(store) == 1;
}

int dial_ways_new(const struct host_config *c, struct dial_ways **ret)
{
	AUTO(dial_ways) struct dial_ways *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->config = c;
	w->store = X509_STORE_new();
	if (!w->store || !load_trust(w->store, c->upstream_ca_file))
		return -ENOENT;
	r = resolve_new(c, &w->resolve);
	if (r < 0)
		return r;
	*ret = STEAL(w);
	return 0;
}

void dial_ways_free(struct dial_ways *w)
{
	if (!w)
		return;
	resolve_free(w->resolve);
	X509_STORE_free(w->store);
	free(w);
}

/*
 * session.c - one connection of a sandbox
 *
 * Theory of operation: the steering left the original destination as the socket's own address. That
 * is a synthetic address, hence a name; no name, no service. Port 443 is TLS under that name's
 * certificate, port 80 plain HTTP; port 22 is answered with where to go instead. Only names that
 * the sandbox's profile lists as git hosts, or whose requests it has the proxy check, get as far as
 * a handshake.
 */
#include "gitproxy/front/session.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "gitproxy/deadline.h"
#include "gitproxy/front/request.h"
#include "gitproxy/front/ssh_refuse.h"
#include "gitproxy/keeper_ipc.h"

enum { HANDSHAKE_MS = 10000, PORT_HTTPS = 443, PORT_HTTP = 80, PORT_SSH = 22 };

void session_audit(const struct session *s, const struct view_sandbox *sb, enum reason reason,
		   const char *sni)
{
	struct audit_head h = { .event = "connection",
				.sandbox = sb ? sb->name : "",
				.profile = sb ? policy_name(sb->policy) : "",
				.decision = "deny",
				.reason = reason_text(reason),
				.rule = "default",
				.policy = sb ? policy_sha256(sb->policy) : "" };
	char peer[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX], key[512];
	struct audit_line l;

	addr_format(&s->peer, peer);
	addr_format(&s->destination, to);
	audit_begin(&l, &h);
	audit_str(&l, "saddr", peer);
	audit_str(&l, "daddr", to);
	audit_u64(&l, "port", s->port);
	if (s->name[0])
		audit_str(&l, "name", s->name);
	if (sni && sni[0])
		audit_rd(&l, "sni", rd_str(sni));
	snprintf(key, sizeof(key), "%s|%s|%u|%s", sb ? sb->name : peer, s->name[0] ? s->name : to,
		 s->port, h.reason);
	if (audit_aggregate(s->env->audit, key, &l) || !sb)
		return;
	snprintf(key, sizeof(key), "connection to %s port %u", s->name[0] ? s->name : to, s->port);
	ask_tell(s->env->view, sb->id, reason, key);
}

/* Not a decision of ours, but the administrator will ask. */
static void log_gave_up(const struct session *s, const struct view_sandbox *sb)
{
	struct audit_head h = { .event = "connection",
				.sandbox = sb->name,
				.profile = policy_name(sb->policy),
				.decision = "",
				.reason = "",
				.rule = "default",
				.policy = policy_sha256(sb->policy) };
	char key[512];
	struct audit_line l;

	audit_begin(&l, &h);
	audit_str(&l, "name", s->name);
	audit_u64(&l, "port", s->port);
	audit_str(&l, "outcome", "the client ended the TLS handshake; does it trust the CA?");
	snprintf(key, sizeof(key), "%s|%s|gave_up", sb->name, s->name);
	audit_aggregate(s->env->audit, key, &l);
}

/* Where the sandbox meant to go. */
static bool destination(struct session *s)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);

	return !getsockname(s->stream.fd, (struct sockaddr *)&ss, &n) &&
	       addr_from_sockaddr(&ss, &s->destination, &s->port);
}

static bool is_internal(const struct session *s)
{
	uint32_t index;

	return pool_index(&s->env->config->pool, &s->destination, &index) &&
	       index == POOL_CORDON_INTERNAL;
}

/* The gateway's own address: the ruleset lets only that through to the proxy. */
static bool is_route(const struct session *s)
{
	const struct host_config *c = s->env->config;
	uint32_t index;

	return c->explicit_port && s->port == c->explicit_port &&
	       !pool_index(&c->pool, &s->destination, &index);
}

static enum reason admit(struct session *s, const struct view_sandbox *sb)
{
	if (destination(s) && is_internal(s)) {
		s->internal = true;
		msg_text_set(s->name, sizeof(s->name), CORDON_INTERNAL);
		return s->port == PORT_HTTPS || s->port == PORT_HTTP ? REASON_NONE :
								       REASON_PORT_NOT_GRANTED;
	}
	s->routed = is_route(s);
	if (s->routed)
		return REASON_NONE;
	if (!s->destination.family || !view_name_of(s->env->view, &s->destination, s->name)) {
		s->name[0] = '\0';
		return view_ready(s->env->view) ? REASON_ADDRESS_NOT_GRANTED : REASON_UNAVAILABLE;
	}
	if (s->port != PORT_HTTPS && s->port != PORT_HTTP && s->port != PORT_SSH)
		return REASON_PORT_NOT_GRANTED;
	if (policy_is_http_host(sb->policy, s->name, s->port))
		return REASON_NONE;
	if (!policy_is_git_host(sb->policy, s->name))
		return REASON_HOST_NOT_ALLOWED;
	return s->port == PORT_SSH ? REASON_SSH_NOT_SUPPORTED : REASON_NONE;
}

/* True: HTTP may begin. */
static bool secure(struct session *s, const struct view_sandbox *sb)
{
	char sni[TLS_SNI_MAX];
	enum reason reason;

	if (s->port == PORT_HTTP || s->routed)
		return true;
	switch (tls_accept(s->env->tls, &s->stream, s->name, deadline_in(HANDSHAKE_MS), sni,
			   &reason)) {
	case TLS_OK:
		return true;
	case TLS_GAVE_UP:
		log_gave_up(s, sb);
		return false;
	case TLS_REFUSED:
		break;
	}
	session_audit(s, sb, reason, sni);
	return false;
}

enum reason session_who(const struct env *env, const struct addr *peer, struct view_sandbox *ret)
{
	switch (view_sandbox_wait(env->view, peer, KEEPER_PICTURE_MS, ret)) {
	case 0:
		return REASON_NONE;
	case -ETIMEDOUT:
		return REASON_UNAVAILABLE;
	}
	return REASON_INTERFACE_UNREGISTERED;
}

void session_rest(struct session *s)
{
	if (s->talk >= 0)
		close(s->talk);
	s->talk = -1;
	free(s->room);
	s->room = NULL;
}

void session_run(const struct env *env, int fd, const struct addr *peer)
{
	struct session s = { .env = env, .stream = { .fd = fd }, .peer = *peer, .talk = -1 };
	struct view_sandbox sb;
	enum reason reason;
	bool clean = false;

	reason = session_who(env, peer, &sb);
	if (reason != REASON_NONE) {
		session_audit(&s, NULL, reason, NULL);
		return;
	}
	s.sandbox = sb.id;
	reason = admit(&s, &sb);
	if (reason != REASON_NONE)
		session_audit(&s, &sb, reason, NULL);
	else if (secure(&s, &sb))
		clean = request_loop(&s);
	if (reason == REASON_SSH_NOT_SUPPORTED)
		clean = !ssh_refuse(&s.stream, s.name);
	view_sandbox_done(&sb);
	session_rest(&s);
	stream_close(&s.stream, clean);
}

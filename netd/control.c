/*
 * control.c - RUN/control.sock
 *
 * Theory of operation: root asks, one request at a time per connection, and gets one REPLY for
 * each. What takes time (parts must acknowledge) answers later: the request is tied to its
 * connection by a serial number, so a caller that went away is simply not found. A sandbox that
 * came with RUN ends with its connection, however that ends. Invariants: only uid 0 is heard (the
 * socket is 0600 as well); no caller can make netd wait: replies that do not fit into its socket
 * end the connection.
 */
#include "netd/control.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "netd/inspector.h"
#include "netd/names.h"
#include "netd/parts.h"
#include "netd/profiles.h"
#include "netd/refusals.h"
#include "netd/registry.h"
#include "netd/reload.h"
#include "netd/renewal.h"
#include "netd/rotate.h"
#include "netd/sandboxes.h"
#include "netd/scopes.h"
#include "policy/mark.h"

enum { CONNECTIONS_MAX = 12288, /* each `cordon run` keeps one */
        EXIT_REFUSED = 1, EXIT_POLICY = 2 };

struct client {
	struct watch watch;
	struct control *c;
	struct client *next;
	uint64_t serial;
	uint32_t sequence; /* of the request that is being answered */
	bool busy;	   /* a request is under way */
	uint16_t run;	   /* id of the sandbox that ends with this connection; 0: none */
};

struct control {
	struct netd *n;
	struct watch listener;
	struct client *list;
	size_t count;
	uint64_t serial;
};

/* ---- connections ---- */

static void end_run(struct netd *n, struct client *cl)
{
	struct sandbox *s = cl->run ? registry_by_id(n->registry, cl->run) : NULL;

	if (!s || !s->run || s->owner != cl->serial)
		return;
	s->owner = 0;
	sandbox_rm(n, s->name, 0, NULL);
}

static void client_close(struct client *cl)
{
	struct control *c = cl->c;
	struct client **at = &c->list;

	while (*at != cl)
		at = &(*at)->next;
	*at = cl->next;
	c->count--;
	loop_del(c->n->loop, &cl->watch);
	close(cl->watch.fd);
	end_run(c->n, cl);
	free(cl);
}

static struct client *client_of(const struct control *c, uint64_t serial)
{
	struct client *cl = c->list;

	while (cl && cl->serial != serial)
		cl = cl->next;
	return cl;
}

/* ---- replies ---- */

/* Takes `json`, which may be NULL: no data. The connection may be gone, before or afterwards. */
static void reply_json(struct netd *n, uint64_t who, int code, unsigned status, const char *text,
		       char *json /* takes */)
{
	struct client *cl = client_of(n->control, who);
	struct msg_reply m = { .code = code, .exit_status = status };
	AUTO(fd) int fd = json ? ipc_memfd("cordon-reply", json, strlen(json)) : -1;

	free(json);
	if (!cl)
		return;
	snprintf(m.text, sizeof(m.text), "%s", text);
	cl->busy = false;
	if (msg_send_fd(cl->watch.fd, MSG_REPLY, cl->sequence, &m, fd) < 0)
		client_close(cl);
}

/* Takes `data`, which may be NULL. */
static void reply(struct netd *n, uint64_t who, int code, unsigned status, const char *text,
		  json_t *data)
{
	char *json = data ? json_dumps(data, JSON_COMPACT | JSON_SORT_KEYS) : NULL;

	json_decref(data);
	reply_json(n, who, code, status, text, json);
}

/* ---- requests ---- */

static void print_addr(FILE *f, const char *key, const struct addr *a)
{
	char text[ADDR_TEXT_MAX];

	if (!a->family) {
		fprintf(f, "\"%s\":null,", key);
		return;
	}
	addr_format(a, text);
	fprintf(f, "\"%s\":\"%s\",", key, text);
}

/* Packets that the kernel refused, exactly: by sandbox, then by reason. NULL: none of that sandbox. */
struct refused {
	uint64_t *of[MARK_SANDBOX_MAX + 1];
};

static void refused_free(struct refused *r)
{
	for (size_t id = 0; r && id < ARRAY_SIZE(r->of); id++)
		free(r->of[id]);
	free(r);
}
DEFINE_AUTO(refused, struct refused *, refused_free)

static void add_refused(void *owner, uint16_t sandbox, enum reason reason, uint64_t packets)
{
	struct refused *r = owner;

	if (!r->of[sandbox])
		r->of[sandbox] = calloc(REASON_COUNT, sizeof(uint64_t));
	if (r->of[sandbox])
		r->of[sandbox][reason] += packets;
}

static void print_refused(FILE *f, const uint64_t *count)
{
	const char *between = "";

	fputs(",\"refused\":{", f);
	for (size_t i = 0; count && i < REASON_COUNT; i++)
		if (count[i]) {
			fprintf(f, "%s\"%s\":%llu", between, reason_text((enum reason)i),
				(unsigned long long)count[i]);
			between = ",";
		}
	fputc('}', f);
}

/* Nothing in it needs quoting: registry_label_ok() let these names in, and the schema the profiles'. */
static void print_sandbox(FILE *f, const struct netd *n, const struct sandbox *s, const struct refused *refused)
{
	fprintf(f, "{\"name\":\"%s\",\"id\":%u,\"profile\":\"%s\",\"interface\":\"%s\",", s->name, s->id,
		profiles_name(n->profiles, s->profile), s->interface);
	fprintf(f, "\"mac\":\"%02x:%02x:%02x:%02x:%02x:%02x\",", s->mac[0], s->mac[1], s->mac[2],
		s->mac[3], s->mac[4], s->mac[5]);
	print_addr(f, "ipv4", &s->addr[0]);
	print_addr(f, "ipv6", &s->addr[1]);
	fprintf(f, "\"up\":%s,\"run\":%s", s->link && s->link_up ? "true" : "false",
		s->run ? "true" : "false");
	print_refused(f, refused->of[s->id]);
	fputc('}', f);
}

/* Printed as it goes: ten thousand of them as objects would be more than all else that netd holds. */
static void print_sandboxes(FILE *f, const struct netd *n, const struct refused *refused)
{
	const char *between = "";

	fputc('[', f);
	REGISTRY_EACH (n->registry, s) {
		if (s->state != SANDBOX_OPEN)
			continue;
		fputs(between, f);
		print_sandbox(f, n, s, refused);
		between = ",\n";
	}
	fputc(']', f);
}

static int on_ls(struct netd *n, struct client *cl, const struct ipc_in *in)
{
	AUTO(refused) struct refused *refused = calloc(1, sizeof(*refused));
	char *text = NULL;
	size_t size;
	FILE *f = refused ? open_memstream(&text, &size) : NULL;

	(void)in;
	if (f) {
		refusals_collect(n->refusals);
		refusals_each(n->refusals, add_refused, refused);
		print_sandboxes(f, n, refused);
	}
	if (f && fclose(f) == 0) {
		reply_json(n, cl->serial, 0, 0, "", text);
		return 0;
	}
	free(text);
	reply(n, cl->serial, -ENOMEM, EXIT_REFUSED, "out of memory", NULL);
	return 0;
}

static json_t *profiles_json(const struct profiles *p)
{
	json_t *list = json_array();

	for (uint16_t id = 1; id <= MARK_PROFILE_MAX; id++)
		if (profiles_policy(p, id))
			json_array_append_new(list,
					      json_pack("{s:s, s:i, s:s}", "name",
							profiles_name(p, id), "id", id, "sha256",
							policy_sha256(profiles_policy(p, id))));
	return list;
}

static int on_status(struct netd *n, struct client *cl, const struct ipc_in *in)
{
	json_t *all = json_pack("{s:s, s:i, s:i, s:I, s:b, s:b, s:b, s:I, s:I}", "policy",
				n->profiles->sha256, "generation", (int)n->profiles->generation,
				"pid", (int)getpid(), "since_ms", (json_int_t)n->started_ms,
				"ruleset", ruleset_present(n->rules), "reloading", n->reloading,
				"audit", audit_healthy(n->audit), "sandboxes",
				(json_int_t)registry_count(n->registry), "names",
				(json_int_t)names_count(n->names));

	(void)in;
	json_object_set_new(all, "profiles", profiles_json(n->profiles));
	json_object_set_new(all, "parts", parts_json(n->parts));
	json_object_set_new(all, "inspect", inspector_json(n->inspector));
	reply(n, cl->serial, 0, 0, "", all);
	return 0;
}

static void added(struct netd *n, uint64_t who, int code, const char *why, struct sandbox *s)
{
	reply(n, who, code, code < 0 ? EXIT_REFUSED : 0, why,
	      s ? json_pack("{s:i}", "id", s->id) : NULL);
}

static void run_added(struct netd *n, uint64_t who, int code, const char *why, struct sandbox *s)
{
	struct client *cl = client_of(n->control, who);

	if (s && cl)
		cl->run = s->id;
	added(n, who, code, why, s);
	if (s && !cl && s->owner == who) { /* the caller did not wait */
		s->owner = 0;
		sandbox_rm(n, s->name, 0, NULL);
	}
}

static int on_add(struct netd *n, struct client *cl, const struct ipc_in *in)
{
	sandbox_add(n, msg_body(in, MSG_ADD), false, cl->serial, added);
	return 0;
}

static int on_run(struct netd *n, struct client *cl, const struct ipc_in *in)
{
	if (cl->run)
		return -EPROTO; /* one per connection */
	sandbox_add(n, msg_body(in, MSG_RUN), true, cl->serial, run_added);
	return 0;
}

static void removed(struct netd *n, uint64_t who, int code, const char *why, struct sandbox *s)
{
	(void)s;
	reply(n, who, code, code < 0 ? EXIT_REFUSED : 0, why, NULL);
}

static int on_rm(struct netd *n, struct client *cl, const struct ipc_in *in)
{
	const struct msg_rm *m = msg_body(in, MSG_RM);

	if (!msg_text_ok(m->name, sizeof(m->name)))
		return -EPROTO;
	sandbox_rm(n, m->name, cl->serial, removed);
	return 0;
}

static void reloaded(struct netd *n, uint64_t who, int code, const char *why,
		     const char *diagnostics)
{
	unsigned status = !code ? 0 : code == -EINVAL ? EXIT_POLICY : EXIT_REFUSED;

	reply(n, who, code, status, why,
	      json_pack("{s:s, s:i, s:s}", "policy", n->profiles->sha256, "generation",
			(int)n->profiles->generation, "diagnostics", diagnostics));
}

static int on_reload(struct netd *n, struct client *cl, const struct ipc_in *in)
{
	(void)in;
	reload_start(n, cl->serial, reloaded);
	return 0;
}

static json_t *hosts_json(const struct policy *p)
{
	json_t *list = json_array();
	size_t n;
	const char *const *hosts = policy_git_hosts(p, &n);

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_string(hosts[i]));
	return list;
}

/* Why there can be no token, or NULL. */
static const char *token_refuse(const struct netd *n, const struct sandbox *s)
{
	size_t hosts;

	if (!n->config->explicit_port)
		return "git.explicit_route.port of the configuration is 0: set it, and start Cordon anew";
	if (!s || s->state != SANDBOX_OPEN)
		return "no such sandbox: cordon ls";
	policy_git_hosts(profiles_policy(n->profiles, s->profile), &hosts);
	return hosts ? NULL : "the sandbox's profile has no git hosts";
}

static void audit_token(struct netd *n, const struct sandbox *s, uint64_t ttl_ms)
{
	struct audit_head h = { .event = "scope",
				.sandbox = s->name,
				.profile = profiles_name(n->profiles, s->profile),
				.policy = policy_sha256(profiles_policy(n->profiles, s->profile)) };
	struct audit_line l;

	audit_begin(&l, &h);
	audit_str(&l, "what", "token issued");
	audit_u64(&l, "seconds", ttl_ms / 1000);
	audit_put(n->audit, &l);
}

static int on_token(struct netd *n, struct client *cl, const struct ipc_in *in)
{
	const struct msg_token *m = msg_body(in, MSG_TOKEN);
	const struct sandbox *s;
	char token[SCOPE_TEXT + 1];
	const char *why;
	json_t *data;

	if (!msg_text_ok(m->name, sizeof(m->name)))
		return -EPROTO;
	s = registry_by_name(n->registry, m->name);
	why = token_refuse(n, s);
	if (!why && scopes_issue(n->scopes, s, m->ttl_ms, token) < 0)
		why = "no token can be made: give a --ttl of at most 365d";
	if (why) {
		reply(n, cl->serial, -EINVAL, EXIT_REFUSED, why, NULL);
		return 0;
	}
	audit_token(n, s, m->ttl_ms);
	data = json_pack("{s:s, s:s, s:i, s:o}", "token", token, "interface", s->interface, "port",
			 (int)n->config->explicit_port, "hosts",
			 hosts_json(profiles_policy(n->profiles, s->profile)));
	OPENSSL_cleanse(token, sizeof(token));
	reply(n, cl->serial, 0, 0, "", data);
	return 0;
}

static void changed_over(struct netd *n, uint64_t who, int code, const char *why)
{
	reply(n, who, code, code < 0 ? EXIT_REFUSED : 0, why, NULL);
}

static int on_rotate(struct netd *n, struct client *cl, const struct ipc_in *in)
{
	rotate_start(n, in, cl->serial, changed_over);
	return 0;
}

static int on_renew(struct netd *n, struct client *cl, const struct ipc_in *in)
{
	renewal_start(n, in, cl->serial, changed_over);
	return 0;
}

static const struct {
	enum msg_type type;
	int (*fn)(struct netd *n, struct client *cl, const struct ipc_in *in);
} handlers[] = {
	{ MSG_LS, on_ls },   { MSG_STATUS, on_status }, { MSG_ADD, on_add },
	{ MSG_RUN, on_run }, { MSG_RM, on_rm },		{ MSG_RELOAD, on_reload },
	{ MSG_ROTATE, on_rotate }, { MSG_TOKEN, on_token }, { MSG_RENEW, on_renew },
};

/* The handler may end the connection by replying, so the client is not touched after it. */
static int dispatch(struct client *cl, const struct ipc_in *in)
{
	for (size_t i = 0; i < ARRAY_SIZE(handlers); i++) {
		if (in->head.type != handlers[i].type)
			continue;
		if (cl->busy || !msg_body(in, handlers[i].type))
			return -EPROTO;
		cl->busy = true;
		cl->sequence = in->head.sequence;
		return handlers[i].fn(cl->c->n, cl, in);
	}
	return -EPROTO;
}

static void client_on_event(struct loop *l, struct watch *w, uint32_t events)
{
	struct client *cl = container_of(w, struct client, watch);
	struct control *c = cl->c;
	uint64_t serial = cl->serial;
	struct ipc_in in;
	int r = ipc_recv(w->fd, &in);

	(void)l;
	(void)events;
	if (r == -EAGAIN)
		return;
	if (r >= 0) {
		r = dispatch(cl, &in);
		ipc_in_done(&in);
	}
	cl = r < 0 ? client_of(c, serial) : NULL;
	if (cl)
		client_close(cl);
}

static void on_accept(struct loop *l, struct watch *w, uint32_t events)
{
	struct control *c = container_of(w, struct control, listener);
	AUTO(fd) int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct client *cl;
	uid_t uid;

	(void)events;
	if (fd < 0 || c->count >= CONNECTIONS_MAX || ipc_peer(fd, &uid, NULL) < 0)
		return;
	if (uid != 0) {
		log_line(LOG_WARN, "event=control_refused uid=%u", (unsigned)uid);
		return;
	}
	cl = calloc(1, sizeof(*cl));
	if (!cl)
		return;
	cl->c = c;
	cl->serial = ++c->serial;
	cl->watch = (struct watch){ .fd = fd, .events = EPOLLIN, .fn = client_on_event };
	if (loop_add(l, &cl->watch) < 0) {
		free(cl);
		return;
	}
	STEAL_FD(fd);
	cl->next = c->list;
	c->list = cl;
	c->count++;
}

int control_new(struct netd *n, int taken, struct control **ret)
{
	AUTO(fd) int fd = taken;
	struct control *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->n = n;
	c->listener = (struct watch){ .fd = fd, .events = EPOLLIN, .fn = on_accept };
	r = loop_add(n->loop, &c->listener);
	if (r < 0) {
		free(c);
		return r;
	}
	STEAL_FD(fd);
	*ret = c;
	return 0;
}

/* At exit. Sandboxes of `cordon run` stay: their commands run on and register again with the next
 * netd. */
void control_free(struct control *c)
{
	if (!c)
		return;
	while (c->list) {
		struct client *cl = c->list;

		c->list = cl->next;
		loop_del(c->n->loop, &cl->watch);
		close(cl->watch.fd);
		free(cl);
	}
	loop_del(c->n->loop, &c->listener);
	close(c->listener.fd);
	free(c);
}

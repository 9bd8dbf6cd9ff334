/*
 * test_keeper_ipc.c - what the two sides of gitproxy believe of each other
 */
#include "gitproxy/keeper_ipc.h"

#include "tests/unit/check.h"

static struct keeper_open good_open(void)
{
	return (struct keeper_open){ .kind = GP_INFO_REFS,
				     .service = GIT_SERVICE_UPLOAD_PACK,
				     .host = "github.com",
				     .repo = "acme/widgets",
				     .user_agent = "git/2.39" };
}

TEST(open)
{
	struct keeper_open o = good_open();

	CHECK("as the front makes it", keeper_open_ok(&o));
#define LIE(what, change) \
	do { \
		o = good_open(); \
		change; \
		CHECK(what, !keeper_open_ok(&o)); \
	} while (0)
	LIE("no kind", o.kind = GP_NONE);
	LIE("unknown kind", o.kind = GP_KINDS);
	LIE("locks", o.kind = GP_LFS_LOCKS);
	LIE("a batch of nothing", o.kind = GP_LFS_BATCH);
	LIE("a batch of half an object", (o.kind = GP_LFS_BATCH, o.body_length = sizeof(struct lfs_object) + 1));
	LIE("a batch of too many", (o.kind = GP_LFS_BATCH, o.body_length = (LFS_BATCH_MAX + 1) * sizeof(struct lfs_object)));
	LIE("an object to have, with a body", (o.kind = GP_LFS_OBJECT, o.body_length = KEEPER_UNKNOWN));
	LIE("an object to bring, without one", (o.kind = GP_LFS_OBJECT, o.service = GIT_SERVICE_RECEIVE_PACK));
	LIE("to verify what is to be had", o.kind = GP_LFS_VERIFY);
	LIE("LFS with a version of git's protocol", (o.kind = GP_LFS_OBJECT, o.git_protocol = 2));
	LIE("no service", o.service = GIT_SERVICE_NONE);
	LIE("unknown service", o.service = 3);
	LIE("unknown protocol", o.git_protocol = 3);
	LIE("body without a request", o.body_length = 1);
	LIE("no host", o.host[0] = '\0');
	LIE("host in capitals", o.host[0] = 'G');
	LIE("host with a port", strcpy(o.host, "github.com:444"));
	LIE("host with userinfo", strcpy(o.host, "x@github.com"));
	LIE("host with a line feed", strcpy(o.host, "github.com\nx"));
	LIE("address for a host", strcpy(o.host, "127.0.0.1"));
	LIE("host without an end", memset(o.host, 'a', sizeof(o.host)));
	LIE("repo with .git", strcpy(o.repo, "acme/widgets.git"));
	LIE("repo that climbs", strcpy(o.repo, "acme/../x"));
	LIE("repo with a query", strcpy(o.repo, "acme/widgets?x"));
	LIE("repo with a percent", strcpy(o.repo, "acme/%77idgets"));
	LIE("repo without an end", memset(o.repo, 'a', sizeof(o.repo)));
	LIE("agent with a line feed", strcpy(o.user_agent, "git\r\nX: y"));
	LIE("agent without an end", memset(o.user_agent, 'a', sizeof(o.user_agent)));
#undef LIE
	o = good_open();
	o.kind = GP_RPC;
	o.body_length = 1 << 20;
	CHECK("a request with a body", keeper_open_ok(&o));
	o.body_length = KEEPER_UNKNOWN;
	CHECK("a fetch's body has a length", !keeper_open_ok(&o));
	o.service = GIT_SERVICE_RECEIVE_PACK;
	CHECK("a push's has none", keeper_open_ok(&o));
	o.body_length = 1;
	CHECK("and no other", !keeper_open_ok(&o));
}

TEST(status)
{
	struct keeper_status s = { .kind = KEEPER_STATUS, .n_headers = 1,
				   .header = { { KEEPER_CONTENT_TYPE, "text/plain" } } };

	CHECK("as the keeper makes it", keeper_status_ok(&s));
	s.header[0].id = KEEPER_HEADER_COUNT;
	CHECK("unknown header", !keeper_status_ok(&s));
	s.header[0] = (struct keeper_header){ KEEPER_CONTENT_TYPE, "a\r\nSet-Cookie: x" };
	CHECK("header with a line feed", !keeper_status_ok(&s));
	memset(s.header[0].value, 'a', KEEPER_VALUE);
	CHECK("header without an end", !keeper_status_ok(&s));
	s = (struct keeper_status){ .kind = KEEPER_STATUS, .n_headers = KEEPER_HEADERS_MAX + 1 };
	CHECK("too many headers", !keeper_status_ok(&s));
	s = (struct keeper_status){ .kind = KEEPER_STATUS, .reason = REASON_COUNT };
	CHECK("unknown reason", !keeper_status_ok(&s));
	s = (struct keeper_status){ .kind = KEEPER_STATUS, .reason = REASON_REDIRECT_NOT_ALLOWED,
				    .moved = "acme/gadgets" };
	CHECK("a new name", keeper_status_ok(&s));
	strcpy(s.moved, "acme/../payroll");
	CHECK("a new name that climbs", !keeper_status_ok(&s));
	memset(s.moved, 'a', sizeof(s.moved));
	CHECK("a new name without an end", !keeper_status_ok(&s));
	s = (struct keeper_status){ .kind = KEEPER_STATUS, .moved = "acme/gadgets" };
	CHECK("a new name without a redirect", !keeper_status_ok(&s));
	s = (struct keeper_status){ .kind = KEEPER_DATA };
	CHECK("other kind", !keeper_status_ok(&s));
	s = (struct keeper_status){ .kind = KEEPER_STATUS, .file = KEEPER_FILE_WHOLE, .length = 5 };
	CHECK("a whole file", keeper_status_ok(&s));
	s.length = KEEPER_UNKNOWN;
	CHECK("a whole file of no length", !keeper_status_ok(&s));
	s.file = KEEPER_FILE_GROWS;
	CHECK("one that grows may have none", keeper_status_ok(&s));
	s.reason = REASON_INTERNAL_ERROR;
	CHECK("a file with a refusal", !keeper_status_ok(&s));
	s = (struct keeper_status){ .kind = KEEPER_STATUS, .file = KEEPER_FILES };
	CHECK("no such file", !keeper_status_ok(&s));
}

TEST(cert_and_sign)
{
	struct keeper_cert c = { .der_len = KEEPER_DER_MAX };
	struct keeper_sign s = { .name = "github.com" };

	CHECK("largest", keeper_cert_ok(&c));
	c.der_len++;
	CHECK("larger than its array", !keeper_cert_ok(&c));
	c.der_len = 0;
	CHECK("empty", !keeper_cert_ok(&c));
	c.result = 1;
	CHECK("a result that is neither", !keeper_cert_ok(&c));
	CHECK("name", keeper_sign_ok(&s));
	strcpy(s.name, "*.github.com");
	CHECK("wildcard", !keeper_sign_ok(&s));
	memset(s.name, 'a', sizeof(s.name));
	CHECK("name without an end", !keeper_sign_ok(&s));
}

TEST(headers)
{
	char value[KEEPER_VALUE], agent[KEEPER_AGENT], longest[KEEPER_VALUE];

	CHECK_EQ("known", keeper_header_of(rd_str("Cache-Control")), KEEPER_CACHE_CONTROL);
	CHECK_EQ("cookie", keeper_header_of(rd_str("Set-Cookie")), 0);
	CHECK_EQ("prefix", keeper_header_of(rd_str("content-type2")), 0);
	CHECK("value", keeper_value_set(rd_str("no-cache"), value) && !strcmp(value, "no-cache"));
	CHECK("line feed", !keeper_value_set(rd_str("a\nb"), value) && !value[0]);
	memset(longest, 'a', sizeof(longest));
	CHECK("fits", keeper_value_set(rd_of(longest, KEEPER_VALUE - 1), value));
	CHECK("one too many", !keeper_value_set(rd_of(longest, KEEPER_VALUE), value));
	keeper_agent_set(rd_str("git/2\x1b[31m\xc3"), agent);
	CHECK_STR("cleaned", agent, "git/2_[31m_");
	keeper_agent_set(rd_of(longest, sizeof(longest)), agent);
	CHECK_EQ("cut", strlen(agent), KEEPER_AGENT - 1);
}

TEST(http)
{
	const struct keeper_http good = { .port = 443, .method = "GET", .host = "api.example" };
	struct keeper_http q = good;

	CHECK("as the front makes it", keeper_http_ok(&q));
	q = good, q.port = 8443;
	CHECK("another port", !keeper_http_ok(&q));
	q = good, q.body_length = 1;
	CHECK("length without a body", !keeper_http_ok(&q));
	q = good, q.has_body = 2;
	CHECK("neither", !keeper_http_ok(&q));
	q = good, q.has_body = 1, q.body_length = KEEPER_UNKNOWN;
	CHECK("body of GET", !keeper_http_ok(&q));
	strcpy(q.method, "HEAD");
	CHECK("body of HEAD", !keeper_http_ok(&q));
	strcpy(q.method, "POST");
	CHECK("chunked", keeper_http_ok(&q));
	q = good, q.upgrade = 1;
	CHECK("upgrade", keeper_http_ok(&q));
	q.upgrade = 2;
	CHECK("neither of both", !keeper_http_ok(&q));
	q.upgrade = 1, strcpy(q.method, "POST");
	CHECK("upgrade by another method", !keeper_http_ok(&q));
	q = good, q.upgrade = q.has_body = 1;
	CHECK("upgrade with a body", !keeper_http_ok(&q));
	q = good, strcpy(q.method, "get");
	CHECK("method", !keeper_http_ok(&q));
	q = good, q.method[0] = '\0';
	CHECK("no method", !keeper_http_ok(&q));
	q = good, memset(q.method, 'A', sizeof(q.method));
	CHECK("method without an end", !keeper_http_ok(&q));
	q = good, strcpy(q.host, "API.example");
	CHECK("host that is not canonical", !keeper_http_ok(&q));
	q = good, strcpy(q.host, "10.0.0.1");
	CHECK("address", !keeper_http_ok(&q));
}

TEST(http_text)
{
	static const struct { const char *text; bool ok; } rows[] = {
		{ "/a?b\nAccept: x\n", true }, { "/\n", true },
		{ "", false }, { "/a", false }, { "a\n", false }, { "\nAccept: x\n", false },
		{ "/a b\n", false }, { "/a#b\n", false }, { "/a\r\n", false }, { "/\xc3\n", false },
		{ "/\nHost: x\n", false }, { "/\nAccept: x", false }, { "/\nAccept: x\r\n", false },
	};
	static struct keeper_text t;
	struct rd target, fields;

	t.http = (struct keeper_http){ .port = 443, .method = "GET", .host = "api.example" };
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		t.kind = KEEPER_TEXT;
		memcpy(t.text, rows[i].text, strlen(rows[i].text));
		CHECK_EQ(rows[i].text, keeper_text_split(&t, strlen(rows[i].text), &target, &fields),
			 rows[i].ok);
		t.kind = KEEPER_DATA;
		CHECK("another kind", !keeper_text_split(&t, strlen(rows[i].text), &target, &fields));
	}
	t.kind = KEEPER_TEXT;
	CHECK("more than there is", !keeper_text_split(&t, KEEPER_TEXT_MAX + 1, &target, &fields));
	memcpy(t.text, "/\n", 2);
	CHECK("as the front makes it", keeper_text_split(&t, 2, &target, &fields));
	t.http.port = 22;
	CHECK("a request that is none", !keeper_text_split(&t, 2, &target, &fields));
	t.http.port = 443, t.http.upgrade = 1;
	memcpy(t.text, "/\nSec-WebSocket-Key: x\n", 23);
	CHECK("fields of an upgrade", keeper_text_split(&t, 23, &target, &fields));
	t.http.upgrade = 0;
	CHECK("and of nothing else", !keeper_text_split(&t, 23, &target, &fields));
}

TEST(http_head)
{
	static const uint32_t none[] = { 0, 100, 102, 199, 600 };
	static struct keeper_head h;
	struct rd text, data;
#define HEAD(what, n, want, change) \
	do { \
		h = (struct keeper_head){ .kind = KEEPER_HEAD, .status = 200, .text_n = 8 }; \
		memcpy(h.text, "ETag: x\nbody", 12); \
		change; \
		CHECK_EQ(what, keeper_head_split(&h, n, &text, &data), want); \
	} while (0)
	HEAD("as the keeper makes it", 8, true, );
	HEAD("with all of a body", 12, true, h.whole = h.kept = 1);
	CHECK("which is that", rd_eq_str(data, "body") && rd_eq_str(text, "ETag: x\n"));
	HEAD("kept without its end", 12, false, h.kept = 1);
	HEAD("no flag", 12, false, h.whole = 2);
	HEAD("more text than there is", 7, false, );
	HEAD("half a field", 8, false, h.text_n = 7);
	HEAD("longest", 8 + KEEPER_DATA_MAX, true, );
	HEAD("longer", 9 + KEEPER_DATA_MAX, false, );
	HEAD("too much text", KEEPER_TEXT_MAX + 1, false, h.text_n = KEEPER_TEXT_MAX + 1);
	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		HEAD("no answer", 8, false, h.status = none[i]);
	HEAD("an upgrade", 8, true, h.status = 101);
	HEAD("and its field", 24, true,
	     h.status = 101; memcpy(h.text, "Sec-WebSocket-Accept: x\n", 24); h.text_n = 24);
	HEAD("which no other answer has", 24, false,
	     memcpy(h.text, "Sec-WebSocket-Accept: x\n", 24); h.text_n = 24);
	HEAD("unknown reason", 0, false, h.reason = REASON_COUNT; h.text_n = 0);
	HEAD("refusal", 0, true, h.reason = REASON_UPSTREAM_DENIED; h.text_n = 0);
	HEAD("refusal with fields", 8, false, h.reason = REASON_UPSTREAM_DENIED);
	HEAD("refusal with a body", 4, false, h.reason = REASON_UPSTREAM_DENIED; h.text_n = 0);
	HEAD("refusal that ends an answer", 0, false,
	     h.reason = REASON_UPSTREAM_DENIED; h.text_n = 0; h.whole = 1);
	HEAD("kept back", 14, false, memcpy(h.text, "Set-Cookie: x\n", 14); h.text_n = 14);
	HEAD("another kind", 8, false, h.kind = KEEPER_STATUS);
#undef HEAD
}

TEST(end)
{
	CHECK("end", keeper_end_ok(&(struct keeper_end){ .kind = KEEPER_END }));
	CHECK("kept", keeper_end_ok(&(struct keeper_end){ .kind = KEEPER_END, .kept = 1 }));
	CHECK("no flag", !keeper_end_ok(&(struct keeper_end){ .kind = KEEPER_END, .kept = 2 }));
	CHECK("failed, but kept",
	      !keeper_end_ok(&(struct keeper_end){ KEEPER_END, REASON_INTERNAL_ERROR, 1 }));
	CHECK("unknown", !keeper_end_ok(&(struct keeper_end){ KEEPER_END, REASON_COUNT, 0 }));
	CHECK("another kind", !keeper_end_ok(&(struct keeper_end){ .kind = KEEPER_DATA }));
}

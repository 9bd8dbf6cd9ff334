/*
 * test_ssh_args.c - how ssh is called, and what its last words mean
 */
#include "gitproxy/keeper/ssh_args.h"
#include "gitproxy/keeper/ssh_why.h"

#include "tests/unit/check.h"

#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"

static char name[] = "deploy", host[] = "git.example", path[] = "", user[] = "git", file[] = "/etc/k", keys[] = KEY "\n";
static const struct host_credential deploy = {
	.kind = CREDENTIAL_SSH, .name = name, .host = host, .path = path, .username = user, .file = file, .host_keys = keys,
	.port = 2222,
};

static struct ssh_call call(void)
{
	struct ssh_call c = { .credential = &deploy, .known_hosts = "/run/cordon/ssh/known_hosts-0",
			      .service = GIT_SERVICE_UPLOAD_PACK, .repo = "acme/widgets", .connect_s = 10 };

	addr_parse("192.0.2.1", &c.to);
	return c;
}

static bool says(const struct ssh_args *a, const char *option)
{
	for (size_t i = 1; a->argv[i]; i++)
		if (!strcmp(a->argv[i - 1], "-o") && !strcmp(a->argv[i], option))
			return true;
	return false;
}

TEST(the_template)
{
	static const char *const options[] = {
		"BatchMode=yes", "StrictHostKeyChecking=yes", "UserKnownHostsFile=/run/cordon/ssh/known_hosts-0",
		"GlobalKnownHostsFile=/dev/null", "IdentitiesOnly=yes", "IdentityAgent=none", "IdentityFile=/etc/k",
		"HostKeyAlias=git.example", "ProxyCommand=none", "ProxyJump=none", "KnownHostsCommand=none",
		"PermitLocalCommand=no", "ForwardAgent=no", "ClearAllForwardings=yes", "ControlPath=none",
		"PasswordAuthentication=no", "SetEnv=GIT_PROTOCOL=version=2", "ConnectTimeout=10", "UpdateHostKeys=no",
	};
	static const char *const tail[] = { "-p", "2222", "-l", "git", "--", "192.0.2.1", "git-upload-pack 'acme/widgets.git'" };
	struct ssh_call c = call();
	struct ssh_args a;
	size_t n = 0;

	CHECK("made", ssh_args_make(&c, &a));
	CHECK_STR("no configuration", a.argv[2], "none");
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		CHECK(options[i], says(&a, options[i]));
	while (a.argv[n])
		n++;
	for (size_t i = 0; i < ARRAY_SIZE(tail); i++)
		CHECK_STR(tail[i], a.argv[n - ARRAY_SIZE(tail) + i], tail[i]);
}

TEST(a_push)
{
	struct ssh_call c = call();
	struct ssh_args a;
	size_t n = 0;

	c.service = GIT_SERVICE_RECEIVE_PACK;
	CHECK("made", ssh_args_make(&c, &a));
	while (a.argv[n])
		n++;
	CHECK_STR("its program", a.argv[n - 1], "git-receive-pack 'acme/widgets.git'");
	CHECK("no other protocol", !says(&a, "SetEnv=GIT_PROTOCOL=version=2"));
	CHECK("the same options", says(&a, "StrictHostKeyChecking=yes") && says(&a, "ProxyCommand=none"));
}

TEST(nothing_free_in_it)
{
	static const char *const repos[] = {
		"", "widgets", "-acme/widgets", "acme/-widgets", "-oProxyCommand=x/y", "acme/--upload-pack", "a/b/-c", "acme/wid'gets",
		"acme/wid gets", "acme/$(id)", "acme/`id`", "acme/a;id", "acme/a\nid", "acme/a\\b", "acme/\"a\"", "acme/%h", "~/widgets",
		"acme/../../etc", "/etc/passwd", "acme//widgets", "acme/wid\xc3\xa4", "acme/a&b", "acme/a|b", "acme/*", "acme/#a",
	};
	static const char *const users[] = { "-l", "-oProxyCommand=id", "a b", "a@b", "a%h", "$a", "" };
	static const char *const files[] = { "k", "~/k", "/k %h", "/%d/k", "/k\"", "/$HOME/k", "/${HOME}/k", "/k\n" };
	struct ssh_args a;

	for (size_t i = 0; i < ARRAY_SIZE(repos); i++) {
		struct ssh_call c = call();

		c.repo = repos[i];
		CHECK(repos[i], !ssh_args_make(&c, &a));
	}
	for (size_t i = 0; i < ARRAY_SIZE(users) + ARRAY_SIZE(files); i++) {
		struct host_credential h = deploy;
		struct ssh_call c = call();
		bool login = i < ARRAY_SIZE(users);
		const char *what = login ? users[i] : files[i - ARRAY_SIZE(users)];

		if (login)
			h.username = (char *)(uintptr_t)what;
		else
			h.file = (char *)(uintptr_t)what;
		c.credential = &h;
		CHECK(what, !ssh_args_make(&c, &a));
	}
}

TEST(only_what_there_is_a_template_for)
{
	struct host_credential token = deploy;
	struct ssh_call c = call();
	struct ssh_args a;

	c.service = GIT_SERVICE_NONE;
	CHECK("no service", !ssh_args_make(&c, &a));
	c.service = (enum git_service)200;
	CHECK("no such service", !ssh_args_make(&c, &a));
	c = call();
	token.kind = CREDENTIAL_TOKEN;
	c.credential = &token;
	CHECK("a token", !ssh_args_make(&c, &a));
	c = call();
	c.to.family = 0;
	CHECK("no address", !ssh_args_make(&c, &a));
}

#define AT "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r\n"

static const struct { const char *what; int status; const char *said; enum reason reason; const char *text; } whys[] = {
	{ "changed", 255, AT "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n" AT "The fingerprint for the ED25519 key "
	  "sent by the remote host is\r\nSHA256:abcDEF012+/.\r\nHost key verification failed.\r\n", REASON_UPSTREAM_UNTRUSTED,
	  "offers host key SHA256:abcDEF012+/; known_host_key is SHA256:" },
	{ "another type", 255, "No RSA host key is known for git.example and you have requested strict checking.\r\n"
	  "Host key verification failed.\r\n", REASON_UPSTREAM_UNTRUSTED, "offers host key of other types; known_host_key is SHA256:" },
	{ "not let in", 255, "git@192.0.2.1: Permission denied (publickey).\r\n", REASON_UPSTREAM_DENIED,
	  "ssh: git@192.0.2.1: Permission denied (publickey)." },
	{ "refused", 255, "ssh: connect to host 192.0.2.1 port 22: Connection refused\r\n", REASON_UPSTREAM_UNREACHABLE,
	  "ssh: ssh: connect to host 192.0.2.1 port 22: Connection refused" },
	{ "silent", 255, "", REASON_UPSTREAM_UNREACHABLE, "ssh: " },
	{ "no repository", 128, "fatal: 'acme/x.git' does not appear to be a git repository\n", REASON_UPSTREAM_DENIED,
	  "git on the server: fatal: 'acme/x.git' does not appear" },
	{ "words of the server", 1, "Host key verification failed.\n", REASON_UPSTREAM_DENIED, "git on the server: Host key" },
	{ "no answer", 0, "", REASON_UPSTREAM_DENIED, "git on the server: " },
	{ "a fingerprint at the end", 255, "REMOTE HOST IDENTIFICATION HAS CHANGED SHA256:a", REASON_UPSTREAM_UNTRUSTED,
	  "offers host key SHA256:a; known" },
	{ "killed", -1, "", REASON_UPSTREAM_UNREACHABLE, "ssh was ended by a signal: " },
};
TEST(whys)
{
	for (size_t i = 0; i < ARRAY_SIZE(whys); i++) {
		size_t n = strlen(whys[i].said);
		AUTO(mem) void *said = check_exact(whys[i].said, n);
		char text[SSH_WHY_TEXT];

		CHECK_EQ(whys[i].what, ssh_why(whys[i].status, rd_of(said, n), &deploy, text), whys[i].reason);
		CHECK(whys[i].what, !strncmp(text, whys[i].text, strlen(whys[i].text)));
	}
}

TEST(fingerprint)
{
	char text[SSH_FINGERPRINT];

	/* ssh-keygen -lf says the same */
	ssh_fingerprint(rd_str("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"), text);
	CHECK_STR("GitHub's", text, "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU");
	ssh_fingerprint(rd_str("ssh-ed25519 !"), text);
	CHECK_STR("none", text, "");
}

/*
 * host_credentials.h - credentials: of the host configuration, and which of them a repository gets
 */
#ifndef POLICY_HOST_CREDENTIALS_H
#define POLICY_HOST_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/diag.h"
#include "policy/secret_file.h"

struct host_config;
struct node;
struct policy;

enum { HOST_CREDENTIALS_MAX = 256, HOST_CREDENTIAL_USER_MAX = 100 };

enum host_credential_kind {
	CREDENTIAL_TOKEN, /* basic authentication: username and the file's content */
	CREDENTIAL_APP,	  /* the same with installation tokens that the file's key asks for */
	CREDENTIAL_HEADER, /* a header of terminated hosts, with the file's content */
	CREDENTIAL_SSH	   /* a key that ssh reads itself; no header */
};
enum host_credential_reach {
	REACH_REPOSITORY, /* host/owner/name: that one */
	REACH_CHILDREN,	  /* host/owner/ and *: those right below; host/ and *: owner/name */
	REACH_BELOW	  /* host/group/ and **: any depth */
};

struct host_credential {
	enum host_credential_kind kind;
	char *name;	  /* unique, for people and the audit; its match when the file gives none */
	char *match;	  /* canonical, as people write it; NULL: not for repositories */
	char *host;	  /* canonical */
	char *path;	  /* lower case, without stars; "": the host's */
	enum host_credential_reach reach;
	char *username;
	char *file;	  /* token, key in PEM, or the header's value; ssh: the identity */
	char *header;	  /* its name */
	char *scheme;	  /* before the value; "": none; Basic: the value is username's password */
	uint64_t app, installation;
	char *api_host, *api_path; /* https, port 443; the path without its last slash */
	char *host_keys;  /* ssh: the server's, "TYPE BASE64\n" each */
	uint16_t port;	  /* ssh */
	size_t line;
};

/* Into c->credentials; what is wrong goes to d. 0 or -ENOMEM. Needs c->nested_groups. */
int host_credentials_load(struct host_config *c, const struct node *root, struct diag *d);
void host_credentials_free(struct host_config *c);

/* The most specific one for a canonical repository of a canonical host, or NULL: none serves it. */
const struct host_credential *host_credential_for(const struct host_config *c, const char *host,
						  const char *repo);
/* By its name; NULL: there is none. */
const struct host_credential *host_credential_named(const struct host_config *c, const char *name);

/* Whether two configurations list the same; the files' contents do not matter. */
bool host_credentials_same(const struct host_config *a, const struct host_config *b);
/* What profiles and credentials make of each other: warn of those that none has a use for; a repository that is
 * reached by ssh needs a mirror. */
void host_credentials_warn(const struct host_config *c, struct policy *const *policies, size_t n,
			   struct diag *d);
/* Look at the files: who else can read them is an error, what cannot be looked at a warning. */
void host_credentials_check_files(const struct host_config *c, const struct secret_owner *o,
				  struct diag *d);

#endif

/*
 * credentials.c - the credentials of the host configuration, for commands
 *
 * Theory of operation: cordon-keeper alone reads the secrets, and refuses requests when it cannot.
 * What would make it refuse is told here before, by the same judgement of the files. Nothing is
 * read from them.
 */
#include "cli/credentials.h"

#include <pwd.h>
#include <unistd.h>

#include "base/proc.h"
#include "cli/cli.h"

/* What transport ssh needs of the host. */
static void check_ssh(const struct host_config *c, const struct secret_owner *o, struct diag *d)
{
	const struct host_credential *h = NULL;

	for (size_t i = 0; i < c->n_credentials && !h; i++)
		if (c->credentials[i].kind == CREDENTIAL_SSH)
			h = &c->credentials[i];
	if (h && access("/usr/bin/ssh", X_OK) < 0)
		diag_error(d, c->file, h->line, 0, "credential %s: /usr/bin/ssh is missing; install openssh-client",
			   h->name);
	if (h && !getpwuid(o->uid))
		diag_error(d, c->file, h->line, 0, "credential %s: ssh does not run for a user without an account, which "
			   "cordon-keeper is here; see deploy/sysusers.d", h->name);
}

int credentials_check(const struct host_config *c)
{
	struct secret_owner o = secret_owner_of(proc_role_uid(ROLE_KEEPER), proc_group());
	AUTO(diag) struct diag *d = NULL;

	if (diag_new(&d) < 0)
		return cli_fail("out of memory");
	host_credentials_check_files(c, &o, d);
	check_ssh(c, &o, d);
	diag_print(d, stderr);
	return diag_errors(d) ? EXIT_USAGE : EXIT_DONE;
}

void credentials_show(const struct host_config *c)
{
	static const char *const kinds[] = { [CREDENTIAL_TOKEN] = "token",
					     [CREDENTIAL_APP] = "GitHub App",
					     [CREDENTIAL_HEADER] = "header ",
					     [CREDENTIAL_SSH] = "ssh" };

	for (size_t i = 0; i < c->n_credentials; i++) {
		const struct host_credential *h = &c->credentials[i];

		printf("# credential %s (%s%s) serves %s\n", h->name, kinds[h->kind],
		       h->header ? h->header : "",
		       h->match ? h->match : "what profiles name it for");
	}
}

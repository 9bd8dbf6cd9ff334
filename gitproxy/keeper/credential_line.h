/*
 * credential_line.h - the header line that carries a secret
 */
#ifndef GITPROXY_KEEPER_CREDENTIAL_LINE_H
#define GITPROXY_KEEPER_CREDENTIAL_LINE_H

#include "gitproxy/keeper/echo.h"
#include "policy/host_credentials.h"

/*
 * The whole line in *ret, in OpenSSL's secure heap, its NUL included; and what of it must not come
 * back added to `e`. `secret` is the token or the file's content. 0, -ENOMEM, or -EINVAL with what
 * is wrong with the content in *ret_why, as the end of a sentence.
 */
int credential_line(const struct host_credential *of, struct rd secret, struct echo *e, char **ret,
		    const char **ret_why);

#endif

/*
 * ssh_why.h - why a connection over ssh came to nothing
 */
#ifndef GITPROXY_KEEPER_SSH_WHY_H
#define GITPROXY_KEEPER_SSH_WHY_H

#include "policy/host_config.h"

enum { SSH_WHY_TEXT = 160, SSH_FINGERPRINT = 64 };

/*
 * By ssh's exit status and the end of what was said on standard error (peer bytes): never
 * REASON_NONE; in ret_text a sentence for the audit, plain but for what the server said.
 */
enum reason ssh_why(int status, struct rd said, const struct host_credential *h, char ret_text[SSH_WHY_TEXT]);
/* "SHA256:..." of "TYPE BASE64", as ssh prints it; "" when it is none. */
void ssh_fingerprint(struct rd key, char ret_text[SSH_FINGERPRINT]);

#endif

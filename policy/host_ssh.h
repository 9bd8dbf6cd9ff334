/*
 * host_ssh.h - what of a credential with transport ssh becomes an argument of ssh, checked
 *
 * ssh splits and expands the values of its options, so what stands in them is of few bytes only.
 */
#ifndef POLICY_HOST_SSH_H
#define POLICY_HOST_SSH_H

#include <stdbool.h>

enum { HOST_SSH_PORT = 22, HOST_SSH_KEYS_MAX = 16, HOST_SSH_KEY_MAX = 4096 };

/* An absolute path in which ssh finds nothing to expand or to split. */
bool host_ssh_path_ok(const char *path);
/* A user's name, which does not look like an option. */
bool host_ssh_user_ok(const char *user);
/*
 * "ssh-ed25519 AAAA...", perhaps with a comment, which is cut off: "TYPE BASE64" of a plain key (no
 * certificate authority, no marker), or NULL with ret_why as the end of a sentence. Heap.
 */
char *host_ssh_key(const char *text, const char **ret_why);

#endif

/*
 * run_seccomp.h - system calls that a command in `cordon run` has no business with
 */
#ifndef CLI_RUN_SECCOMP_H
#define CLI_RUN_SECCOMP_H

/* A memfd with the filter, at offset 0, for bubblewrap's --seccomp; or -errno. */
int run_seccomp_filter(void);

#endif

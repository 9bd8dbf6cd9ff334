/*
 * verify.h - check the hash chain of audit files
 */
#ifndef CLI_VERIFY_H
#define CLI_VERIFY_H

/* Every source's files, rotated ones included; one line each on stdout. Exit status: EXIT_REFUSED
 * when a chain is broken. */
int verify_directory(const char *dir);

#endif

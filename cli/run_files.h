/*
 * run_files.h - files of the host that look different inside `cordon run`
 */
#ifndef CLI_RUN_FILES_H
#define CLI_RUN_FILES_H

#include "cli/run_jail.h"

/* Fill file_path and file_fd (memfds at offset 0). EXIT_DONE, or says why not. */
int run_files_make(struct jail *j);

#endif

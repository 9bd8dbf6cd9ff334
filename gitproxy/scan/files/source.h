/*
 * source.h - where objects come from: a file tree, a repository's history
 */
#ifndef GITPROXY_SCAN_FILES_SOURCE_H
#define GITPROXY_SCAN_FILES_SOURCE_H

#include "gitproxy/scan/files/report.h"

enum { SOURCE_PIECE = 256 << 10, SOURCE_BUFFER = 64 << 10 };

struct source {
	struct report *report;
	struct scan_scratch *scratch;
	uint8_t *piece, *buffer;	/* SOURCE_PIECE and _BUFFER bytes, locked and wiped by main() */
};

/* Every file below the path, or the file. Errors go to the report. */
void source_files(const struct source *s, const char *path);
/* Is it the top of a work tree, or a bare repository? */
bool source_is_repository(const char *path);
/* Every object that a reference leads to, once. */
void source_repository(const struct source *s, const char *path);

#endif

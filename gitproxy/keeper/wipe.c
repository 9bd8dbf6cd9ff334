/*
 * wipe.c - keep secrets off the disk and out of freed memory
 *
 * Theory of operation: secrets at rest are in OpenSSL's secure heap (locked, not in core files,
 * wiped). While a request runs, libcurl holds copies of its headers in buffers of its own, which
 * cannot be told where to be; so the whole process is locked, page by page as it is touched, and
 * libcurl frees through a function that wipes first. The process is not dumpable since its rights
 * are gone (base/proc.c).
 */
#include "gitproxy/keeper/wipe.h"

#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/log.h"

void wipe_lock_memory(void)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	/* Under a limit, memory of later threads would be refused, not left unlocked. */
	if (setrlimit(RLIMIT_MEMLOCK, &all) < 0 ||
	    mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
		log_line(LOG_WARN,
			 "event=memory_not_locked error=\"%s\" "
			 "fix=\"LimitMEMLOCK=infinity\"",
			 strerror(errno));
}

static void wiping_free(void *p)
{
	if (p)
		explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

static void *wiping_realloc(void *p, size_t n)
{
	size_t had = p ? malloc_usable_size(p) : 0;
	void *more;

	if (p && n <= had)
		return p;
	more = malloc(n);
	if (more && p) {
		memcpy(more, p, had);
		wiping_free(p);
	}
	return more;
}

int wipe_libraries(void)
{
	json_set_alloc_funcs(malloc, wiping_free);
	return curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wiping_free, wiping_realloc,
				    strdup, calloc) == CURLE_OK
		       ? 0
		       : -ENOMEM;
}

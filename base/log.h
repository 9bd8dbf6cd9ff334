/*
 * log.h - a daemon's own log on stderr: one key=value line about the daemon, never about a decision
 *
 * Decisions go to base/audit.h. Values that come from a peer are escaped by the caller with
 * bytes_escape(). Thread-safe: one write(2) per line.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/mem.h"

enum log_level { LOG_ERR = 0, LOG_WARN, LOG_NOTE, LOG_DEBUG };

/* Name shown in each line, e.g. "netd". Debug lines appear when CORDON_DEBUG is set. */
void log_init(const char *part);
/* log_line(LOG_ERR, "event=nft_lost errno=%d", e) */
void log_line(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif

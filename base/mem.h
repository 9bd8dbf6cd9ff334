/*
 * mem.h - ownership: AUTO() for locals, STEAL() to hand over
 *
 * Theory of operation: every local that owns something is declared AUTO(kind), which runs
 * auto_free_KIND() when the scope ends; STEAL() empties the variable so that the caller owns what
 * it held. There is no goto. A type joins with one DEFINE_AUTO() line in its own header.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

/* AUTO(mem) void *p: freed at scope end. AUTO(fd) int fd: closed when >= 0. */
#define AUTO(kind) __attribute__((cleanup(auto_free_##kind)))

/* Take the pointer (or descriptor) out of its owner, leaving NULL (or -1) behind. */
#define STEAL(p) \
	__extension__({ __typeof__(p) *steal_at_ = &(p); __typeof__(p) steal_v_ = *steal_at_; \
			*steal_at_ = NULL; steal_v_; })
#define STEAL_FD(fd) \
	__extension__({ int *steal_at_ = &(fd); int steal_v_ = *steal_at_; \
			*steal_at_ = -1; steal_v_; })

/* DEFINE_AUTO(conn, struct conn *, conn_free) makes AUTO(conn) struct conn *c work. */
#define DEFINE_AUTO(kind, type, release) \
	__attribute__((unused)) static inline void auto_free_##kind(type *at) \
	{ if (*at) release(*at); }

static inline void auto_free_mem(void *at) { free(*(void **)at); }
static inline void auto_free_fd(int *at) { if (*at >= 0) close(*at); }

#endif

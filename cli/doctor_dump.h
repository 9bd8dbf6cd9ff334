/*
 * doctor_dump.h - rtnetlink dumps for the checks of `cordon doctor`
 */
#ifndef CLI_DOCTOR_DUMP_H
#define CLI_DOCTOR_DUMP_H

#include <stddef.h>
#include <stdint.h>
#include <libmnl/libmnl.h>

/* Ask for everything of one kind; fn sees each message. header_n: size of its fixed header. 0 or
 * -errno. */
int doctor_dump_route(uint16_t type, uint8_t family, size_t header_n, mnl_cb_t fn, void *owner);

#endif

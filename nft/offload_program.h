/*
 * offload_program.h - the kernel's own look at a packet's checksum offload, as a BPF program
 */
#ifndef NFT_OFFLOAD_PROGRAM_H
#define NFT_OFFLOAD_PROGRAM_H

#include <stddef.h>

/*
 * Load the program: a socket filter that is true for a packet whose checksum the kernel is to write
 * anywhere but in that packet's own TCP, UDP or SCTP header. Returns a descriptor (close-on-exec;
 * its owner needs no right to use it in a rule), or -errno and in `why` what is missing, as half a
 * sentence.
 */
int offload_program_load(char *why, size_t cap);

#endif

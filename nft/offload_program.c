/*
 * offload_program.c - the kernel's own look at a packet's checksum offload, as a BPF program
 *
 * Theory of operation: a driver with checksum offload hands the kernel a packet without checksum
 * and two numbers: where to begin to sum, and how far behind that to write the result. The kernel
 * obeys when the packet leaves, after every rule, so a guest that lies in them overwrites two bytes
 * of its choice of a packet that has been granted. An honest stack names one place only: the
 * checksum field of the packet's own transport header. nftables cannot see these numbers (sk_buff:
 * ip_summed, csum_start, csum_offset); a BPF program reads them from the sk_buff itself, at offsets
 * that the running kernel's type information (BTF) gives. As a socket filter it can be used by a
 * rule (xt_bpf), which counts and logs, and lives as long as the rule does. There are two ways to
 * read: since 6.2 a kernel function gives the sk_buff behind the filter's context, whose fields are
 * then loaded directly; any kernel since 5.5 has a helper that copies from an address, 20 ns
 * slower.
 *
 * A driver also says into what size the kernel is to cut its packet (GSO). A guest that says one byte has
 * tens of thousands of packets made of one, past every limit that counts packets: pieces smaller than any
 * network's are refused.
 *
 * Invariants: true means refuse; whatever cannot be read is refused; a packet whose checksum is not
 * the kernel's to write passes after one read. No maps, no loops, no writes. Extension headers of
 * IPv6 are refused by other rules, so the transport header is at 40; so are protocols without a row
 * here. A guest that has the inner packets of a tunnel summed, not the outer, is refused as well.
 * Dependency: libbpf reads BTF, whose format grows with each compiler, and loads the program.
 */
#include "nft/offload_program.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "base/mem.h"

enum {
	PASS = 0,
	REFUSE = 1,
	SUM_PARTIAL = 3, /* CHECKSUM_PARTIAL of linux/skbuff.h: no header of the user API has it */
	PIECE_MIN = 216, /* the smallest MTU that TCP is known to meet, less its headers */
	PROGRAM_MAX = 128,
	DEPTH_MAX = 8, /* of anonymous members in sk_buff; it has three */
	IP_BYTES = 10, /* of the IP header: up to IPv4's protocol */
	IP4_PROTO = 9,
	IP6_PROTO = 6,
	IP6_HEADER = 40,
	AT_FIELD = -8,
	AT_IP = -24 /* on the program's stack */
};

/* Where an honest stack has the checksum written, from the start of the transport header. */
static const struct {
	uint8_t proto, offset;
} honest[] = {
	{ IPPROTO_TCP, 16 },
	{ IPPROTO_UDP, 6 },
	{ IPPROTO_SCTP, 8 }, /* not granted, and refused under its own reason */
};

typedef struct btf *btf_ptr;
DEFINE_AUTO(btf, btf_ptr, btf__free)

/* ---- where the fields are ---- */

struct field {
	uint32_t byte;	     /* from the start of sk_buff */
	uint8_t size;	     /* to read, in bytes */
	uint8_t shift, bits; /* bits 0: the whole */
};

struct layout {
	struct field ip_summed, csum_start, csum_offset, network_header;
	int cast; /* id of bpf_cast_to_kern_ctx(), or not positive: copy */
};

static struct field field_at(uint32_t bit, uint32_t bits, int64_t size)
{
	struct field f = { .byte = bit / 8,
			   .size = bits ? 1 : (uint8_t)size,
			   .bits = (uint8_t)bits };

	f.shift = (uint8_t)(bit % 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	f.shift = bits ? (uint8_t)(8 - bits - f.shift) : 0; /* there bits count from the highest */
#endif
	return f;
}

/* By name, looking into anonymous structs and unions, as the compiler does. */
static bool field_find(const struct btf *b, const struct btf_type *t, const char *name,
		       uint32_t base, int depth, struct field *ret)
{
	for (int i = 0; depth < DEPTH_MAX && i < btf_vlen(t); i++) {
		const struct btf_member *m = btf_members(t) + i;
		const struct btf_type *inner = btf__type_by_id(b, m->type);
		const char *is = btf__name_by_offset(b, m->name_off);
		uint32_t at = base + btf_member_bit_offset(t, (uint32_t)i);

		if (is && !strcmp(is, name)) {
			*ret = field_at(at, btf_member_bitfield_size(t, (uint32_t)i),
					btf__resolve_size(b, m->type));
			return true;
		}
		if (is && !*is && inner && btf_is_composite(inner) &&
		    field_find(b, inner, name, at, depth + 1, ret))
			return true;
	}
	return false;
}

static int layout_read(struct layout *ret)
{
	AUTO(btf) struct btf *b = btf__load_vmlinux_btf();
	int id = b ? btf__find_by_name_kind(b, "sk_buff", BTF_KIND_STRUCT) : -errno;
	const struct {
		const char *name;
		uint8_t size;
		struct field *to;
	} wanted[] = {
		{ "ip_summed", 1, &ret->ip_summed },
		{ "csum_start", 2, &ret->csum_start },
		{ "csum_offset", 2, &ret->csum_offset },
		{ "network_header", 2, &ret->network_header },
	};

	*ret = (struct layout){ 0 };
	for (size_t i = 0; id > 0 && i < ARRAY_SIZE(wanted); i++)
		if (!field_find(b, btf__type_by_id(b, (uint32_t)id), wanted[i].name, 0, 0,
				wanted[i].to) ||
		    wanted[i].to->size != wanted[i].size)
			return -EOPNOTSUPP; /* a kernel that none of us has seen */
	if (id > 0)
		ret->cast = btf__find_by_name_kind(b, "bpf_cast_to_kern_ctx", BTF_KIND_FUNC);
	return id > 0 ? 0 : id;
}

/* ---- the program ---- */

struct program {
	struct bpf_insn insn[PROGRAM_MAX];
	size_t n;
};

/* Calls keep those with names. SKB is the filter's context, BEHIND the sk_buff behind it. */
enum reg { R0, R1, R2, R3, R4, R5, SKB, BEHIND, START, OFFSET, FP };

static void op(struct program *p, int code, enum reg dst, enum reg src, int off, int imm)
{
	if (p->n < PROGRAM_MAX)
		p->insn[p->n] = (struct bpf_insn){ .code = (uint8_t)code,
						   .dst_reg = dst & 15,
						   .src_reg = src & 15,
						   .off = (int16_t)off,
						   .imm = imm };
	p->n++; /* too long: refused when loaded */
}

static void copy(struct program *p, enum reg dst, enum reg src)
{
	op(p, BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0);
}
static void set(struct program *p, enum reg dst, int v)
{
	op(p, BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, v);
}
static void math(struct program *p, int what, enum reg dst, int v)
{
	op(p, BPF_ALU64 | what | BPF_K, dst, 0, 0, v);
}
static void load(struct program *p, int size, enum reg dst, enum reg from, int at)
{
	op(p, BPF_LDX | BPF_MEM | (size == 4 ? BPF_W : size == 2 ? BPF_H : BPF_B), dst, from, at, 0);
}

static void end(struct program *p, int verdict)
{
	set(p, R0, verdict);
	op(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* Go on when the register has (BPF_JEQ) or has not (BPF_JNE) the value; else end with verdict. */
static void demand(struct program *p, enum reg r, int jump, int value, int verdict)
{
	op(p, BPF_JMP | jump | BPF_K, r, 0, 2, value);
	end(p, verdict);
}

/* The filter's context has it. 0: not to be cut. */
static void judge_pieces(struct program *p)
{
	load(p, sizeof(uint32_t), R1, SKB, offsetof(struct __sk_buff, gso_size));
	op(p, BPF_JMP | BPF_JEQ | BPF_K, R1, 0, 3, 0);
	op(p, BPF_JMP | BPF_JGE | BPF_K, R1, 0, 2, PIECE_MIN);
	end(p, REFUSE);
}

static void copy_field(struct program *p, const struct field *f)
{
	copy(p, R1, FP);
	math(p, BPF_ADD, R1, AT_FIELD);
	set(p, R2, f->size);
	copy(p, R3, SKB);
	math(p, BPF_ADD, R3, (int)f->byte);
	op(p, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_probe_read_kernel);
	demand(p, R0, BPF_JEQ, 0, REFUSE);
}

/* A field of the sk_buff. Loses R0 to R5. */
static void read_field(struct program *p, const struct layout *l, const struct field *f,
		       enum reg to)
{
	if (l->cast <= 0)
		copy_field(p, f);
	load(p, f->size, to, l->cast > 0 ? BEHIND : FP, l->cast > 0 ? (int)f->byte : AT_FIELD);
	if (!f->bits)
		return;
	math(p, BPF_RSH, to, f->shift);
	math(p, BPF_AND, to, (1 << f->bits) - 1);
}

static void read_ip(struct program *p)
{
	copy(p, R1, SKB);
	set(p, R2, 0);
	copy(p, R3, FP);
	math(p, BPF_ADD, R3, AT_IP);
	set(p, R4, IP_BYTES);
	set(p, R5, BPF_HDR_START_NET);
	op(p, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_skb_load_bytes_relative);
	demand(p, R0, BPF_JEQ, 0, REFUSE);
}

/* R0 is the header's length, R1 the protocol; START and OFFSET are what the packet says. */
static void judge(struct program *p)
{
	op(p, BPF_JMP | BPF_JEQ | BPF_X, START, R0, 2, 0);
	end(p, REFUSE);
	for (size_t i = 0; i < ARRAY_SIZE(honest); i++) {
		op(p, BPF_JMP | BPF_JNE | BPF_K, R1, 0, 3, honest[i].proto);
		demand(p, OFFSET, BPF_JNE, honest[i].offset, PASS);
	}
	end(p, REFUSE);
}

/* One family's packets, whose header has its length in R0. */
static void judge_family(struct program *p, int version, int proto)
{
	size_t skip = p->n;

	op(p, BPF_JMP | BPF_JNE | BPF_K, R2, 0, 0, version);
	if (version == 4) {
		math(p, BPF_AND, R0, 15);
		math(p, BPF_LSH, R0, 2);
	} else {
		set(p, R0, IP6_HEADER);
	}
	load(p, 1, R1, FP, AT_IP + proto);
	judge(p);
	p->insn[skip].off = (int16_t)(p->n - skip - 1);
}

static void program_write(struct program *p, const struct layout *l)
{
	copy(p, SKB, R1);
	judge_pieces(p);
	copy(p, R1, SKB);
	if (l->cast > 0) {
		op(p, BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, l->cast);
		copy(p, BEHIND, R0);
	}
	read_field(p, l, &l->ip_summed, R1);
	demand(p, R1, BPF_JEQ, SUM_PARTIAL, PASS);
	read_field(p, l, &l->csum_offset, OFFSET);
	read_field(p, l, &l->csum_start, START);
	read_field(p, l, &l->network_header, R1);
	op(p, BPF_ALU64 | BPF_SUB | BPF_X, START, R1, 0, 0); /* both count from the buffer's head */
	read_ip(p);
	load(p, 1, R0, FP, AT_IP);
	copy(p, R2, R0);
	math(p, BPF_RSH, R2, 4);
	judge_family(p, 4, IP4_PROTO);
	judge_family(p, 6, IP6_PROTO);
	end(p, REFUSE);
}

/* ---- loading ---- */

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0; /* what matters comes back as an error */
}

static int program_load(const struct layout *l)
{
	struct program p = { .n = 0 };

	program_write(&p, l);
	return p.n > PROGRAM_MAX ? -E2BIG
				 : bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "cordon_offload",
						 "GPL", p.insn, p.n, NULL);
}

int offload_program_load(char *why, size_t cap)
{
	struct layout l;
	int r;

	libbpf_set_print(quiet);
	r = layout_read(&l);
	if (r < 0) {
		snprintf(why, cap,
			 "no type information in /sys/kernel/btf/vmlinux (%s): the kernel needs "
			 "CONFIG_DEBUG_INFO_BTF",
			 strerror(-r));
		return r;
	}
	r = program_load(&l);
	if (r < 0 && l.cast > 0) {
		l.cast = 0;
		r = program_load(&l);
	}
	if (r < 0)
		snprintf(why, cap,
			 "a BPF program cannot be loaded (%s): needs CONFIG_BPF_SYSCALL, "
			 "CAP_BPF and CAP_PERFMON",
			 strerror(-r));
	return r;
}

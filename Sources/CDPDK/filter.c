#include "cdpdk_match.h"

#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>

#include <pcap/bpf.h>

_Static_assert(sizeof(nfv_filter_instruction) == sizeof(struct bpf_insn), "layout of an instruction");
_Static_assert(offsetof(nfv_filter_instruction, jump_true) == offsetof(struct bpf_insn, jt), "layout of an instruction");
_Static_assert(offsetof(nfv_filter_instruction, jump_false) == offsetof(struct bpf_insn, jf), "layout of an instruction");
_Static_assert(offsetof(nfv_filter_instruction, operand) == offsetof(struct bpf_insn, k), "layout of an instruction");

// Not DPDK's rte_bpf: in 22.11 its compiler for x86 gives some programs of libpcap's, such as that of
// "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", jumps into the middle of an instruction, where a packet that ends early
// crashes the process.

struct nfv_filter {
  uint32_t count;
  struct bpf_insn program[];
};

nfv_filter *nfv_filter_create(const nfv_filter_instruction *program, uint32_t count) {
  if (!bpf_validate((const struct bpf_insn *)program, (int)count)) return NULL;
  nfv_filter *filter = calloc(1, sizeof *filter + count * sizeof(struct bpf_insn));
  if (filter == NULL) return NULL;
  filter->count = count;
  memcpy(filter->program, program, count * sizeof(struct bpf_insn));
  return filter;
}

void nfv_filter_destroy(nfv_filter *filter) { free(filter); }

/// Reads a number of 1, 2 or 4 bytes in network byte order; false when the packet ends before.
static inline bool load(const nfv_mbuf *mbuf, uint64_t offset, uint16_t code, uint32_t *value) {
  uint32_t size = BPF_SIZE(code) == BPF_B ? 1 : BPF_SIZE(code) == BPF_H ? 2 : 4;
  uint8_t bytes[4];
  const uint8_t *at = bytes;
  if (offset + size <= mbuf->data_length) {
    at = nfv_mbuf_data(mbuf) + offset;
  } else if (offset + size > mbuf->packet_length || !nfv_read(mbuf, (uint32_t)offset, size, bytes)) {
    return false;
  }
  uint16_t half;
  uint32_t word;
  switch (size) {
    case 1: *value = *at; break;
    case 2:
      memcpy(&half, at, sizeof half);
      *value = rte_be_to_cpu_16(half);
      break;
    default:
      memcpy(&word, at, sizeof word);
      *value = rte_be_to_cpu_32(word);
  }
  return true;
}

/// False when the program ends: it does where it divides by zero.
static bool compute(uint16_t operation, uint32_t *a, uint32_t b) {
  switch (operation) {
    case BPF_ADD: *a += b; return true;
    case BPF_SUB: *a -= b; return true;
    case BPF_MUL: *a *= b; return true;
    case BPF_DIV:
      if (b == 0) return false;
      *a /= b;
      return true;
    case BPF_MOD:
      if (b == 0) return false;
      *a %= b;
      return true;
    case BPF_AND: *a &= b; return true;
    case BPF_OR: *a |= b; return true;
    case BPF_XOR: *a ^= b; return true;
    case BPF_LSH: *a = b < 32 ? *a << b : 0; return true;
    case BPF_RSH: *a = b < 32 ? *a >> b : 0; return true;
    case BPF_NEG: *a = 0 - *a; return true;
    default: return false;
  }
}

static bool holds(uint16_t operation, uint32_t a, uint32_t b) {
  switch (operation) {
    case BPF_JEQ: return a == b;
    case BPF_JGT: return a > b;
    case BPF_JGE: return a >= b;
    default: return (a & b) != 0;
  }
}

/// The program has been validated: jumps and memory stay within bounds.
bool nfv_filter_match(const nfv_filter *filter, const nfv_mbuf *mbuf) {
  uint32_t a = 0, x = 0, memory[BPF_MEMWORDS] = {0};
  for (uint32_t next = 0; next < filter->count;) {
    const struct bpf_insn *one = &filter->program[next++];
    uint16_t code = one->code;
    uint32_t operand = BPF_SRC(code) == BPF_X ? x : one->k;
    switch (BPF_CLASS(code)) {
      case BPF_RET: return (BPF_RVAL(code) == BPF_A ? a : one->k) != 0;
      case BPF_LD:
        switch (BPF_MODE(code)) {
          case BPF_ABS:
            if (!load(mbuf, one->k, code, &a)) return false;
            break;
          case BPF_IND:
            if (!load(mbuf, (uint64_t)x + one->k, code, &a)) return false;
            break;
          case BPF_LEN: a = mbuf->packet_length; break;
          case BPF_IMM: a = one->k; break;
          case BPF_MEM: a = memory[one->k]; break;
          default: return false;
        }
        break;
      case BPF_LDX:
        switch (BPF_MODE(code)) {
          case BPF_MSH:
            if (!load(mbuf, one->k, BPF_B, &x)) return false;
            x = (x & 0xF) * 4;
            break;
          case BPF_LEN: x = mbuf->packet_length; break;
          case BPF_IMM: x = one->k; break;
          case BPF_MEM: x = memory[one->k]; break;
          default: return false;
        }
        break;
      case BPF_ST: memory[one->k] = a; break;
      case BPF_STX: memory[one->k] = x; break;
      case BPF_ALU:
        if (!compute(BPF_OP(code), &a, operand)) return false;
        break;
      case BPF_JMP:
        if (BPF_OP(code) == BPF_JA) {
          next += one->k;
        } else {
          next += holds(BPF_OP(code), a, operand) ? one->jt : one->jf;
        }
        break;
      default:
        if (BPF_MISCOP(code) == BPF_TAX) x = a; else a = x;
    }
  }
  return false;
}

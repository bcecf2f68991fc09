#include "cdpdk_match.h"

#include <stdlib.h>
#include <string.h>

#include <rte_bpf.h>
#include <rte_malloc.h>

#include <pcap/bpf.h>

_Static_assert(sizeof(nfv_filter_instruction) == sizeof(struct bpf_insn), "layout of an instruction");
_Static_assert(offsetof(nfv_filter_instruction, jump_true) == offsetof(struct bpf_insn, jt), "layout of an instruction");
_Static_assert(offsetof(nfv_filter_instruction, jump_false) == offsetof(struct bpf_insn, jf), "layout of an instruction");
_Static_assert(offsetof(nfv_filter_instruction, operand) == offsetof(struct bpf_insn, k), "layout of an instruction");

/// DPDK's loader follows every way through a program one after the other; more of them would take it seconds.
enum { MAXIMUM_WAYS = 20000 };

struct nfv_filter {
  struct rte_bpf *compiled;
  uint64_t (*code)(void *);
  uint32_t count;
  struct bpf_insn program[];
};

/// How many ways lead from the start of a program to its end. Jumps of classic BPF only go forward.
static uint64_t ways(const struct bpf_insn *program, uint32_t count) {
  uint64_t *from = calloc(count + 1, sizeof *from);
  if (from == NULL) return UINT64_MAX;
  for (uint32_t i = count; i-- > 0;) {
    const struct bpf_insn *one = &program[i];
    uint64_t sum = 1;
    if (BPF_CLASS(one->code) == BPF_JMP) {
      if (BPF_OP(one->code) == BPF_JA) {
        uint64_t target = (uint64_t)i + 1 + one->k;
        sum = target < count ? from[target] : 1;
      } else {
        uint32_t yes = i + 1 + one->jt, no = i + 1 + one->jf;
        sum = (yes < count ? from[yes] : 1) + (no < count ? from[no] : 1);
      }
    } else if (BPF_CLASS(one->code) != BPF_RET && i + 1 < count) {
      sum = from[i + 1];
    }
    from[i] = sum > MAXIMUM_WAYS ? MAXIMUM_WAYS + 1 : sum;
  }
  uint64_t all = count > 0 ? from[0] : 0;
  free(from);
  return all;
}

static void compile(nfv_filter *filter) {
  if (!nfv_eal_is_running() || ways(filter->program, filter->count) > MAXIMUM_WAYS) return;
  struct bpf_program program = {.bf_len = filter->count, .bf_insns = filter->program};
  struct rte_bpf_prm *parameters = rte_bpf_convert(&program);
  if (parameters == NULL) return;
  filter->compiled = rte_bpf_load(parameters);
  rte_free(parameters);
  if (filter->compiled == NULL) return;
  struct rte_bpf_jit machine;
  if (rte_bpf_get_jit(filter->compiled, &machine) == 0) filter->code = machine.func;
}

nfv_filter *nfv_filter_create(const nfv_filter_instruction *program, uint32_t count) {
  if (!bpf_validate((const struct bpf_insn *)program, (int)count)) return NULL;
  nfv_filter *filter = calloc(1, sizeof *filter + count * sizeof(struct bpf_insn));
  if (filter == NULL) return NULL;
  filter->count = count;
  memcpy(filter->program, program, count * sizeof(struct bpf_insn));
  compile(filter);
  return filter;
}

void nfv_filter_destroy(nfv_filter *filter) {
  if (filter == NULL) return;
  rte_bpf_destroy(filter->compiled);
  free(filter);
}

bool nfv_filter_is_native(const nfv_filter *filter) { return filter->code != NULL; }

/// Reads a number of 1, 2 or 4 bytes in network byte order; false when the packet ends before.
static bool load(const nfv_mbuf *mbuf, uint64_t offset, uint32_t size, uint32_t *value) {
  uint8_t bytes[4];
  const uint8_t *at = bytes;
  if (offset + size <= mbuf->data_length) {
    at = nfv_mbuf_data(mbuf) + offset;
  } else if (offset + size > mbuf->packet_length || !nfv_read(mbuf, (uint32_t)offset, size, bytes)) {
    return false;
  }
  uint32_t number = 0;
  for (uint32_t i = 0; i < size; i++) number = number << 8 | at[i];
  *value = number;
  return true;
}

static uint32_t size_of(uint16_t code) {
  switch (BPF_SIZE(code)) {
    case BPF_B: return 1;
    case BPF_H: return 2;
    default: return 4;
  }
}

/// A result of `compute` that ends the program: to divide by zero does.
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

/// Classic BPF over all segments of a packet. The program has been validated: jumps and memory stay within bounds.
static bool interpret(const nfv_filter *filter, const nfv_mbuf *mbuf) {
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
            if (!load(mbuf, one->k, size_of(code), &a)) return false;
            break;
          case BPF_IND:
            if (!load(mbuf, (uint64_t)x + one->k, size_of(code), &a)) return false;
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
            if (!load(mbuf, one->k, 1, &x)) return false;
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

bool nfv_filter_match(const nfv_filter *filter, const nfv_mbuf *mbuf) {
  return filter->code != NULL ? filter->code((void *)(uintptr_t)mbuf) != 0 : interpret(filter, mbuf);
}

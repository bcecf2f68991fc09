/// Matching packets against rules: DPDK's access control lists, many packets at once, and packet filters.
#ifndef NFV_CDPDK_MATCH_H
#define NFV_CDPDK_MATCH_H

#include "cdpdk.h"

/// Whether EAL has been started; without it there are no access control lists.
bool nfv_eal_is_running(void);

// MARK: Access control lists

typedef struct nfv_acl nfv_acl;

/// How a field of a key is compared.
enum nfv_acl_kind {
  NFV_ACL_PREFIX = 0, ///< The highest bits: value, and how many count.
  NFV_ACL_RANGE = 1,  ///< From one number to another, both included.
  NFV_ACL_BITS = 2,   ///< Bits under a mask: value, mask.
};

/// A field of a key. Keys are in network byte order. The first field has one byte; all others lie together in groups of
/// four bytes, numbered from 1 on.
typedef struct nfv_acl_field {
  uint8_t kind;
  uint8_t size; ///< Bytes: 1, 2 or 4.
  uint8_t group;
  uint32_t offset; ///< From the start of the key.
} nfv_acl_field;

/// What a rule says of a field, in the host's byte order.
typedef struct nfv_acl_value {
  uint32_t value;
  uint32_t extent; ///< By the field's kind: bits that count, the last number, a mask.
} nfv_acl_value;

/// Builds a list of `count` rules with `field_count` values each. The first that matches counts, and gives its number of
/// `results`, which are not 0. With `max_size` above 0 it takes no more bytes than that, and as few steps as that
/// allows. NULL sets `*error` to an errno.
nfv_acl *nfv_acl_create(
  const nfv_acl_field *fields, uint32_t field_count, const nfv_acl_value *values, const uint32_t *results,
  uint32_t count, size_t max_size, int *error);
void nfv_acl_destroy(nfv_acl *acl);
/// Looks up those of `count` (at most 256) keys, `stride` bytes apart, whose `kinds` have a bit of `mask`. Where a rule
/// matches, lowers the key's result to the rule's.
void nfv_acl_classify(
  const nfv_acl *acl, const void *keys, size_t stride, const uint8_t *kinds, uint8_t mask, uint32_t count,
  uint32_t *results);

// MARK: Packet filters

typedef struct nfv_filter nfv_filter;

/// An instruction of classic BPF, laid out as libpcap's `struct bpf_insn`.
typedef struct nfv_filter_instruction {
  uint16_t code;
  uint8_t jump_true, jump_false;
  uint32_t operand;
} nfv_filter_instruction;

/// A filter from a program of libpcap's, which is copied. NULL when it is no sound program or memory is short.
nfv_filter *nfv_filter_create(const nfv_filter_instruction *program, uint32_t count);
void nfv_filter_destroy(nfv_filter *filter);
/// Whether the packet, all segments together, passes the filter.
bool nfv_filter_match(const nfv_filter *filter, const nfv_mbuf *mbuf);

#endif

/// Header fields and Internet checksums, for the files of this target.
#ifndef NFV_WIRE_FIELDS_H
#define NFV_WIRE_FIELDS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <arpa/inet.h>
#include <linux/if_ether.h>

enum {
  MAC_ADDRESSES = 12,
  TAG = 4,
  TCP_MINIMUM = 20,
  TCP_SEQUENCE = 4,
  TCP_FLAGS = 13,
  TCP_CHECKSUM = 16,
  TCP_FIN = 0x01,
  TCP_PSH = 0x08,
  TCP_CWR = 0x80,
  UDP_HEADER = 8,
  UDP_LENGTH = 4,
  UDP_CHECKSUM = 6,
  SCTP_CHECKSUM = 8,
  IPV4_MINIMUM = 20,
  IPV4_LENGTH = 2,
  IPV4_IDENTIFICATION = 4,
  IPV4_CHECKSUM = 10,
  IPV4_ADDRESSES = 12,
  IPV6_HEADER = 40,
  IPV6_LENGTH = 4,
  IPV6_NEXT = 6,
  IPV6_ADDRESSES = 8,
  JUMBO_HEADER = 8,
  JUMBO_OPTION = 0xc2,
  TRANSPARENT_ETHERNET = 0x6558,
  VXLAN_HEADER = 8,
  VXLAN_HAS_IDENTIFIER = 0x08,
  GENEVE_PORT = 6081,
  GENEVE_HEADER = 8,
  GRE_HEADER = 4,
  GRE_KEY = 0x2000,
};

static inline uint16_t load16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }
static inline uint32_t load32(const uint8_t *at) { return (uint32_t)load16(at) << 16 | load16(at + 2); }
static inline void store16(uint8_t *at, uint32_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
}
static inline void store32(uint8_t *at, uint32_t value) {
  store16(at, value >> 16);
  store16(at + 2, value);
}

/// Adds bytes, as words in the machine's order, to a one's complement sum that is not folded (RFC 1071, section 2).
/// 32-bit words into a 64-bit sum need no carry handling below 16 GB, and compilers turn the loop into vector code.
static inline uint64_t add_bytes(uint64_t sum, const uint8_t *bytes, uint32_t length) {
  uint32_t words = length / 4;
  for (uint32_t i = 0; i < words; i++) {
    uint32_t word;
    memcpy(&word, bytes + 4 * i, 4);
    sum += word;
  }
  uint8_t rest[4] = {0};
  memcpy(rest, bytes + 4 * words, length % 4);
  uint32_t last;
  memcpy(&last, rest, 4);
  return sum + last;
}

static inline uint16_t fold(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)sum;
}

/// Stores a checksum. 0 means "no checksum" to UDP, which writes 0xffff instead (RFC 768).
static inline void store_checksum(uint8_t *at, uint64_t sum, bool udp) {
  uint16_t checksum = (uint16_t)~fold(sum);
  if (udp && checksum == 0) checksum = 0xffff;
  memcpy(at, &checksum, 2);
}

static inline bool is_tag(uint16_t type) { return type == ETH_P_8021Q || type == ETH_P_8021AD || type == ETH_P_QINQ1; }

#endif

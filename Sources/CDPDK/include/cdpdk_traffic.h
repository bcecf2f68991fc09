/// Frames synthesised in memory, as fast as a core can write them.
#ifndef NFV_CDPDK_TRAFFIC_H
#define NFV_CDPDK_TRAFFIC_H

#include "cdpdk.h"

enum { NFV_TRAFFIC_SIZES = 3, NFV_TRAFFIC_PATTERN = 12, NFV_TRAFFIC_FRAME = 9216 };

/// One size of frame: its bytes with addresses and ports zero, and the sums that its checksums start from.
typedef struct nfv_traffic_template {
  uint8_t bytes[NFV_TRAFFIC_FRAME];
  uint16_t length;
  uint32_t network_sum;   ///< Over the IPv4 header without addresses.
  uint32_t transport_sum; ///< Over pseudo-header, header and data without addresses and ports.
} nfv_traffic_template;

/// What all frames have in common. Flow i has
///   source      base + ((i >> 4) & mask)                   sixteen flows a host
///   destination base + ((i * 0x9E3779B1 mod 2^32 >> shift) & mask)
///   ports       source low + i % count, destination low + i % count
/// in the low 32 bits of the addresses.
typedef struct nfv_traffic_shape {
  uint8_t network_offset;
  uint8_t transport_offset;
  uint8_t source_offset; ///< Of the low 32 bits of the source address.
  uint8_t destination_offset;
  uint8_t protocol;
  bool is_ipv6;
  bool has_ports;
  bool has_checksum;       ///< Whether the transport checksum is computed; without it the field is 0.
  uint8_t checksum_offset; ///< Of the transport checksum, from the start of the frame.
  uint8_t destination_shift;
  uint16_t source_port, destination_port; ///< The lowest.
  uint32_t source_base, source_mask;
  uint32_t destination_base, destination_mask;
  uint32_t source_ports, destination_ports;
} nfv_traffic_shape;

/// What frames are like, and which flow is next.
typedef struct nfv_traffic {
  nfv_traffic_template templates[NFV_TRAFFIC_SIZES];
  nfv_traffic_shape shape;
  uint8_t pattern[NFV_TRAFFIC_PATTERN]; ///< Which template each frame in turn has.
  uint8_t pattern_length;
  uint8_t pattern_next;
  uint16_t port;                      ///< Ingress port that packets carry.
  uint32_t first_flow, flows, stride; ///< A queue plays flows first, first + stride, ...
  uint32_t next_flow;
} nfv_traffic;

/// Fills in a template's bytes; at most `NFV_TRAFFIC_FRAME` of them.
void nfv_traffic_template_fill(nfv_traffic_template *template, const uint8_t *bytes, uint16_t length);
/// Writes `count` packets from `pool`, or none when it is short. Adds their bytes to `*bytes`. Returns how many.
uint16_t nfv_traffic_receive(nfv_traffic *traffic, nfv_mbuf **mbufs, uint16_t count, nfv_pool *pool, uint64_t *bytes);
/// Leaves out the packet that is next.
void nfv_traffic_skip(nfv_traffic *traffic);

#endif

#include "cdpdk_traffic.h"

#include <string.h>

#include <rte_byteorder.h>
#include <rte_mbuf.h>

#define INLINE static inline __attribute__((always_inline))

static inline uint16_t fold(uint32_t sum) {
  sum = (sum & 0xFFFF) + (sum >> 16);
  sum = (sum & 0xFFFF) + (sum >> 16);
  return (uint16_t)sum;
}

static inline void store16(uint8_t *at, uint16_t value) {
  value = rte_cpu_to_be_16(value);
  memcpy(at, &value, sizeof value);
}

static inline void store32(uint8_t *at, uint32_t value) {
  value = rte_cpu_to_be_32(value);
  memcpy(at, &value, sizeof value);
}

INLINE bool is_power_of_two(uint32_t count) { return (count & (count - 1)) == 0; }

/// `flow` modulo `count`; a division costs more than all the rest of a frame.
INLINE uint32_t turn(uint32_t flow, uint32_t count, bool is_masked) {
  return is_masked || is_power_of_two(count) ? flow & (count - 1) : flow % count;
}

/// What a packet starts from, held where no load crosses a cache line and no frame is written.
typedef struct start {
  _Alignas(64) uint8_t bytes[64];
  nfv_mbuf mbuf; ///< Of it, what stands from `data_offset` to `mark` is the same for all packets.
  uint16_t length;
  uint32_t network_sum, transport_sum;
} start;

_Static_assert(offsetof(nfv_mbuf, data_offset) == 16 && offsetof(nfv_mbuf, mark) == 48, "one store of 32 bytes, and one of 4");

/// Writes addresses, ports and checksums into a frame that is a copy of its template but for them. `is_masked`: the
/// counts of ports are powers of two.
INLINE void write_flow(const nfv_traffic_shape *shape, const start *start, bool is_masked, uint8_t *frame, uint32_t flow) {
  uint32_t source = shape->source_base + (flow >> 4 & shape->source_mask);
  uint32_t destination =
      shape->destination_base + (flow * 0x9E3779B1u >> shape->destination_shift & shape->destination_mask);
  store32(frame + shape->source_offset, source);
  store32(frame + shape->destination_offset, destination);
  uint32_t addresses = (source >> 16) + (source & 0xFFFF) + (destination >> 16) + (destination & 0xFFFF);
  if (!shape->is_ipv6) {
    store16(frame + shape->network_offset + 10, (uint16_t)~fold(start->network_sum + addresses));
  }
  uint32_t sum = start->transport_sum;
  if (shape->protocol != 1) sum += addresses;
  uint16_t sport = (uint16_t)(shape->source_port + turn(flow, shape->source_ports, is_masked));
  if (shape->has_ports) {
    uint16_t dport = (uint16_t)(shape->destination_port + turn(flow, shape->destination_ports, is_masked));
    store32(frame + shape->transport_offset, (uint32_t)sport << 16 | dport);
    sum += (uint32_t)sport + dport;
  } else {
    store16(frame + shape->transport_offset + 4, sport);
    sum += sport;
  }
  if (shape->has_checksum) {
    uint16_t checksum = (uint16_t)~fold(sum);
    // RFC 768: a computed 0 is sent as all ones.
    store16(frame + shape->checksum_offset, checksum == 0 && shape->protocol == 17 ? 0xFFFF : checksum);
  }
}

void nfv_traffic_template_fill(nfv_traffic_template *template, const uint8_t *bytes, uint16_t length) {
  memcpy(template->bytes, bytes, length <= NFV_TRAFFIC_FRAME ? length : NFV_TRAFFIC_FRAME);
  template->length = length;
}

/// Writes `count` frames; the flags and what is known of `shape` are constants wherever this is inlined, so that each
/// loop has only its own work in it. Returns how many bytes they have.
INLINE uint64_t write_frames(nfv_traffic *traffic, const nfv_traffic_shape shape, bool is_one_size, bool is_short,
                             bool is_masked, nfv_mbuf **mbufs, uint16_t count) {
  const uint32_t flows = traffic->flows, stride = traffic->stride, first = traffic->first_flow;
  const uint8_t pattern_length = traffic->pattern_length;
  start starts[NFV_TRAFFIC_SIZES];
  for (int i = 0; i < (is_one_size ? 1 : NFV_TRAFFIC_SIZES); i++) {
    const nfv_traffic_template *template = &traffic->templates[i];
    memcpy(starts[i].bytes, template->bytes, sizeof starts[i].bytes);
    starts[i].length = template->length;
    starts[i].mbuf = (nfv_mbuf){
        .data_offset = RTE_PKTMBUF_HEADROOM,
        .reference_count = 1,
        .segment_count = 1,
        .port = traffic->port,
        .packet_length = template->length,
        .data_length = template->length,
    };
    starts[i].network_sum = template->network_sum;
    starts[i].transport_sum = template->transport_sum;
  }
  uint32_t flow = traffic->next_flow;
  uint8_t step = traffic->pattern_next;
  uint64_t sum = 0;
  for (uint16_t i = 0; i < count; i++) {
    nfv_mbuf *mbuf = mbufs[i];
    const int size = is_one_size ? 0 : traffic->pattern[step];
    if (!is_one_size && ++step == pattern_length) step = 0;
    const uint16_t length = starts[size].length;
    // Buffers in a pool have no successor.
    memcpy(&mbuf->data_offset, &starts[size].mbuf.data_offset, 36);
    uint8_t *frame = (uint8_t *)mbuf->buffer + RTE_PKTMBUF_HEADROOM;
    // Buffers hold more than 64 bytes, so the short frames that matter are written by one copy of constant size.
    memcpy(frame, starts[size].bytes, 64);
    if (!is_short && length > 64) memcpy(frame + 64, traffic->templates[size].bytes + 64, length - 64);
    write_flow(&shape, &starts[size], is_masked, frame, flow);
    sum += length;
    flow += stride;
    if (flow >= flows) flow = first;
  }
  traffic->next_flow = flow;
  traffic->pattern_next = step;
  return sum;
}

uint16_t nfv_traffic_receive(nfv_traffic *traffic, nfv_mbuf **mbufs, uint16_t count, nfv_pool *pool, uint64_t *bytes) {
  if (rte_mempool_get_bulk((struct rte_mempool *)pool, (void **)mbufs, count) != 0) return 0;
  nfv_traffic_shape shape = traffic->shape;
  bool is_one_size = traffic->pattern_length == 1 && traffic->pattern[0] == 0;
  bool is_masked = is_power_of_two(shape.source_ports) && is_power_of_two(shape.destination_ports);
  if (is_one_size && is_masked && traffic->templates[0].length <= 64 && !shape.is_ipv6 && shape.protocol == 17 &&
      shape.network_offset == 14) {
    // What benchmarks send: here the compiler sees the offsets.
    shape.is_ipv6 = false;
    shape.has_ports = true;
    shape.protocol = 17;
    shape.network_offset = 14;
    shape.source_offset = 26;
    shape.destination_offset = 30;
    shape.transport_offset = 34;
    shape.checksum_offset = 40;
    *bytes += write_frames(traffic, shape, true, true, true, mbufs, count);
  } else if (is_one_size) {
    *bytes += write_frames(traffic, shape, true, false, false, mbufs, count);
  } else {
    *bytes += write_frames(traffic, shape, false, false, false, mbufs, count);
  }
  return count;
}

void nfv_traffic_skip(nfv_traffic *traffic) {
  traffic->next_flow += traffic->stride;
  if (traffic->next_flow >= traffic->flows) traffic->next_flow = traffic->first_flow;
  if (++traffic->pattern_next == traffic->pattern_length) traffic->pattern_next = 0;
}

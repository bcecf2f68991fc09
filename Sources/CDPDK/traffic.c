#include "cdpdk_traffic.h"

#include <string.h>

#include <rte_byteorder.h>
#include <rte_mbuf.h>

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

/// `flow` modulo `count`; a division costs more than all the rest of a frame.
static inline uint32_t turn(uint32_t flow, uint32_t count) {
  if (count == 1) return 0;
  return (count & (count - 1)) == 0 ? flow & (count - 1) : flow % count;
}

static inline void write_frame(nfv_traffic *traffic, const nfv_traffic_template *template, uint8_t *frame, uint32_t flow) {
  // Buffers hold more than 64 bytes, so the short frames that matter are copied by one constant-size copy.
  if (template->length <= 64) memcpy(frame, template->bytes, 64);
  else memcpy(frame, template->bytes, template->length);

  uint32_t source = traffic->source_base + (flow >> 4 & traffic->source_mask);
  uint32_t destination =
      traffic->destination_base + (flow * 0x9E3779B1u >> traffic->destination_shift & traffic->destination_mask);
  store32(frame + traffic->source_offset, source);
  store32(frame + traffic->destination_offset, destination);
  uint32_t addresses = (source >> 16) + (source & 0xFFFF) + (destination >> 16) + (destination & 0xFFFF);
  if (!traffic->is_ipv6) {
    store16(frame + traffic->network_offset + 10, (uint16_t)~fold(template->network_sum + addresses));
  }
  uint32_t sum = template->transport_sum;
  if (traffic->protocol != 1) sum += addresses;
  uint16_t sport = (uint16_t)(traffic->source_port + turn(flow, traffic->source_ports));
  if (traffic->has_ports) {
    uint16_t dport = (uint16_t)(traffic->destination_port + turn(flow, traffic->destination_ports));
    store32(frame + traffic->transport_offset, (uint32_t)sport << 16 | dport);
    sum += (uint32_t)sport + dport;
  } else {
    store16(frame + traffic->transport_offset + 4, sport);
    sum += sport;
  }
  if (traffic->has_checksum) {
    uint16_t checksum = (uint16_t)~fold(sum);
    // RFC 768: a computed 0 is sent as all ones.
    store16(frame + traffic->checksum_offset, checksum == 0 && traffic->protocol == 17 ? 0xFFFF : checksum);
  }
}

void nfv_traffic_template_fill(nfv_traffic_template *template, const uint8_t *bytes, uint16_t length) {
  memcpy(template->bytes, bytes, length <= NFV_TRAFFIC_FRAME ? length : NFV_TRAFFIC_FRAME);
  template->length = length;
}

uint16_t nfv_traffic_receive(nfv_traffic *traffic, nfv_mbuf **mbufs, uint16_t count, nfv_pool *pool, uint64_t *bytes) {
  if (rte_mempool_get_bulk((struct rte_mempool *)pool, (void **)mbufs, count) != 0) return 0;
  uint32_t flow = traffic->next_flow;
  uint8_t step = traffic->pattern_next;
  uint64_t sum = 0;
  for (uint16_t i = 0; i < count; i++) {
    if (i + 4 < count) __builtin_prefetch((uint8_t *)mbufs[i + 4]->buffer + RTE_PKTMBUF_HEADROOM, 1, 3);
    nfv_mbuf *mbuf = mbufs[i];
    const nfv_traffic_template *template = &traffic->templates[traffic->pattern[step]];
    if (++step == traffic->pattern_length) step = 0;
    // Buffers in a pool have one reference, one segment and no successor.
    mbuf->data_offset = RTE_PKTMBUF_HEADROOM;
    mbuf->port = traffic->port;
    mbuf->offload_flags = 0;
    mbuf->packet_length = template->length;
    mbuf->data_length = template->length;
    nfv_mbuf_reset(mbuf);
    write_frame(traffic, template, (uint8_t *)mbuf->buffer + RTE_PKTMBUF_HEADROOM, flow);
    sum += template->length;
    flow += traffic->stride;
    if (flow >= traffic->flows) flow = traffic->first_flow;
  }
  traffic->next_flow = flow;
  traffic->pattern_next = step;
  *bytes += sum;
  return count;
}

void nfv_traffic_skip(nfv_traffic *traffic) {
  traffic->next_flow += traffic->stride;
  if (traffic->next_flow >= traffic->flows) traffic->next_flow = traffic->first_flow;
  if (++traffic->pattern_next == traffic->pattern_length) traffic->pattern_next = 0;
}

#include "coalesce.h"

#include <netinet/in.h>

#include "wire_fields.h"

enum {
  TCP_ACK = 0x10,
  /// The kernel wants less than 64 KB, headers included.
  LONGEST_RUN = 65000,
};

/// Finds the headers of a TCP segment with payload whose only flags are ACK and PSH. Everything else that a run's
/// members must have in common is compared later.
static bool find_headers(nfv_run *run, const uint8_t *frame, uint32_t length) {
  uint32_t network = MAC_ADDRESSES + 2;
  if (length < network) return false;
  uint16_t type = load16(frame + MAC_ADDRESSES);
  for (int tags = 0; tags < 2 && is_tag(type); tags++) {
    if (length < network + TAG) return false;
    type = load16(frame + network + 2);
    network += TAG;
  }
  const uint8_t *header = frame + network;
  uint32_t transport;
  if (type == ETH_P_IP) {
    if (length < network + IPV4_MINIMUM) return false;
    uint32_t header_length = 4 * (header[0] & 15u);
    bool fragment = (load16(header + 6) & 0x3fff) != 0;
    if (header[0] >> 4 != 4 || header_length < IPV4_MINIMUM || fragment || header[9] != IPPROTO_TCP) return false;
    if (load16(header + IPV4_LENGTH) != length - network) return false;
    transport = network + header_length;
  } else if (type == ETH_P_IPV6) {
    if (length < network + IPV6_HEADER || header[0] >> 4 != 6 || header[IPV6_NEXT] != IPPROTO_TCP) return false;
    if (load16(header + IPV6_LENGTH) != length - network - IPV6_HEADER) return false;
    transport = network + IPV6_HEADER;
  } else {
    return false;
  }
  if (length < transport + TCP_MINIMUM) return false;
  uint32_t transport_header = 4 * (frame[transport + 12] >> 4);
  uint32_t headers = transport + transport_header;
  if (transport_header < TCP_MINIMUM || headers >= length || headers > NFV_RUN_HEADERS) return false;
  if ((frame[transport + TCP_FLAGS] & ~TCP_PSH) != TCP_ACK) return false;
  run->ipv6 = type == ETH_P_IPV6;
  run->network = (uint16_t)network;
  run->transport = (uint16_t)transport;
  run->headers_length = (uint16_t)headers;
  return true;
}

static uint64_t addresses_and_protocol(const nfv_run *run, const uint8_t *frame) {
  const uint8_t *header = frame + run->network;
  uint64_t sum = run->ipv6 ? add_bytes(0, header + IPV6_ADDRESSES, 32) : add_bytes(0, header + IPV4_ADDRESSES, 8);
  return sum + htons(IPPROTO_TCP);
}

static bool checksums_are_good(const nfv_run *run, const uint8_t *frame, uint32_t length) {
  const uint8_t *header = frame + run->network;
  if (!run->ipv6 && fold(add_bytes(0, header, 4 * (header[0] & 15u))) != 0xffff) return false;
  uint32_t covered = length - run->transport;
  uint64_t pseudo_header = addresses_and_protocol(run, frame) + htonl(covered);
  return fold(add_bytes(pseudo_header, frame + run->transport, covered)) == 0xffff;
}

/// Takes note of what the last segment says about the next.
static void advance(nfv_run *run, const uint8_t *frame, uint32_t length) {
  uint32_t payload = length - run->headers_length;
  run->next_sequence += payload;
  run->next_identification++;
  run->pushed = (frame[run->transport + TCP_FLAGS] & TCP_PSH) != 0;
  run->closed = payload < run->size || run->pushed;
  run->length += payload;
  run->count++;
}

void nfv_run_begin(nfv_run *run, const uint8_t *frame, uint32_t length) {
  run->count = 0;
  if (length > LONGEST_RUN || !find_headers(run, frame, length)) return;
  run->first = frame;
  run->first_length = length;
  run->verified = false;
  run->size = (uint16_t)(length - run->headers_length);
  run->length = run->headers_length;
  run->next_identification = run->ipv6 ? 0 : load16(frame + run->network + IPV4_IDENTIFICATION);
  run->next_sequence = load32(frame + run->transport + TCP_SEQUENCE);
  advance(run, frame, length);
}

static bool same(const nfv_run *run, const uint8_t *frame, uint32_t from, uint32_t to) {
  return memcmp(run->first + from, frame + from, to - from) == 0;
}

bool nfv_run_extend(nfv_run *run, const uint8_t *frame, uint32_t length) {
  if (run->count == 0 || run->closed || length > run->first_length || length <= run->headers_length) return false;
  if (run->length + length - run->headers_length > LONGEST_RUN) return false;

  // All of the headers but lengths, identification, sequence number, flags and checksums. That the IP version, the
  // protocol and the header lengths are the same makes the offsets good for this frame as well.
  uint32_t network = run->network, transport = run->transport;
  if (load32(frame + transport + TCP_SEQUENCE) != run->next_sequence) return false;
  if (!same(run, frame, transport, transport + TCP_SEQUENCE)) return false;
  if (!same(run, frame, 0, network + (run->ipv6 ? IPV6_LENGTH : IPV4_LENGTH))) return false;
  if (run->ipv6) {
    if (!same(run, frame, network + IPV6_NEXT, transport)) return false;
    if (load16(frame + network + IPV6_LENGTH) != length - network - IPV6_HEADER) return false;
  } else {
    if (!same(run, frame, network + 6, network + IPV4_CHECKSUM)) return false;
    if (!same(run, frame, network + IPV4_ADDRESSES, transport)) return false;
    if (load16(frame + network + IPV4_LENGTH) != length - network) return false;
    if (load16(frame + network + IPV4_IDENTIFICATION) != run->next_identification) return false;
  }
  if (!same(run, frame, transport + 8, transport + TCP_FLAGS)) return false;
  if ((frame[transport + TCP_FLAGS] & ~TCP_PSH) != TCP_ACK) return false;
  if (!same(run, frame, transport + 14, transport + TCP_CHECKSUM)) return false;
  if (!same(run, frame, transport + 18, run->headers_length)) return false;

  if (!run->verified && !checksums_are_good(run, run->first, run->first_length)) {
    run->closed = true;
    return false;
  }
  run->verified = true;
  if (!checksums_are_good(run, frame, length)) return false;
  advance(run, frame, length);
  return true;
}

void nfv_run_finish(nfv_run *run) {
  memcpy(run->headers, run->first, run->headers_length);
  uint8_t *header = run->headers + run->network, *transport = run->headers + run->transport;
  if (run->ipv6) {
    store16(header + IPV6_LENGTH, run->length - run->network - IPV6_HEADER);
  } else {
    store16(header + IPV4_LENGTH, run->length - run->network);
    store16(header + IPV4_CHECKSUM, 0);
    store_checksum(header + IPV4_CHECKSUM, add_bytes(0, header, 4 * (header[0] & 15u)), false);
  }
  // Cutting leaves the flag to the last segment, and no other had it.
  if (run->pushed) transport[TCP_FLAGS] |= TCP_PSH;
  uint16_t partial = fold(addresses_and_protocol(run, run->headers) + htonl(run->length - run->transport));
  memcpy(transport + TCP_CHECKSUM, &partial, 2);
  run->offload = (struct virtio_net_hdr){
      .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
      .gso_type = run->ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4,
      .hdr_len = run->headers_length,
      .gso_size = run->size,
      .csum_start = run->transport,
      .csum_offset = TCP_CHECKSUM,
  };
}

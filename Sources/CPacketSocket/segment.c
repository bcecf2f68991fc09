#include "segment.h"

#include "wire_fields.h"

#include <string.h>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/in.h>

/// CRC32c by half bytes. Only SCTP from a local stack comes here, so a small table is worth more than speed.
static uint32_t crc32c(uint32_t crc, const uint8_t *bytes, uint32_t length) {
  static const uint32_t table[16] = {
      0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
      0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
  };
  for (uint32_t i = 0; i < length; i++) {
    crc ^= bytes[i];
    crc = crc >> 4 ^ table[crc & 15];
    crc = crc >> 4 ^ table[crc & 15];
  }
  return crc;
}

// MARK: Headers

/// Where the walk over the headers stopped.
typedef struct walk {
  nfv_layer layers[NFV_SEGMENT_LAYERS];
  uint16_t layer_count;
  uint32_t transport;
  uint8_t protocol;
} walk;

/// Follows the tags from `*offset`, which is at an EtherType; leaves it behind the last one.
static bool skip_tags(const uint8_t *bytes, uint32_t length, uint32_t *offset, uint16_t *type) {
  for (;;) {
    if (*offset + 2 > length) return false;
    *type = load16(bytes + *offset);
    *offset += 2;
    if (!is_tag(*type)) return true;
    *offset += 2;
  }
}

static bool add_layer(walk *walk, int kind, uint32_t offset) {
  if (walk->layer_count == NFV_SEGMENT_LAYERS) return false;
  walk->layers[walk->layer_count].kind = kind;
  walk->layers[walk->layer_count++].offset = (uint16_t)offset;
  return true;
}

/// Walks over the headers of a frame to the transport header at `target`, or to the first one when `target` is 0.
/// Headers in front of `target` that carry another frame (VXLAN, Geneve, GRE, IP in IP) are walked through.
static bool walk_headers(const uint8_t *bytes, uint32_t length, uint32_t target, walk *walk) {
  uint32_t offset = MAC_ADDRESSES;
  uint16_t type;
  if (!skip_tags(bytes, length, &offset, &type)) return false;
  walk->layer_count = 0;

  for (;;) {
    uint8_t protocol;
    if (type == ETH_P_IP) {
      if (offset + IPV4_MINIMUM > length || bytes[offset] >> 4 != 4) return false;
      uint32_t header = 4 * (bytes[offset] & 15u);
      if (header < IPV4_MINIMUM || offset + header > length) return false;
      bool fragment = (load16(bytes + offset + 6) & 0x3fff) != 0;
      if (fragment || !add_layer(walk, NFV_LAYER_IPV4, offset)) return false;
      protocol = bytes[offset + 9];
      offset += header;
    } else if (type == ETH_P_IPV6) {
      if (offset + IPV6_HEADER > length || bytes[offset] >> 4 != 6) return false;
      if (!add_layer(walk, NFV_LAYER_IPV6, offset)) return false;
      protocol = bytes[offset + IPV6_NEXT];
      offset += IPV6_HEADER;
      while (protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING || protocol == IPPROTO_DSTOPTS) {
        if (offset + 8 > length) return false;
        protocol = bytes[offset];
        offset += 8 * (bytes[offset + 1] + 1u);
      }
    } else {
      return false;
    }

    if (target == 0 ? protocol == IPPROTO_TCP || protocol == IPPROTO_UDP : offset == target) {
      walk->transport = offset;
      walk->protocol = protocol;
      return true;
    }
    if (offset > target || offset > length) return false;

    if (protocol == IPPROTO_IPIP) {
      type = ETH_P_IP;
    } else if (protocol == IPPROTO_IPV6) {
      type = ETH_P_IPV6;
    } else if (protocol == IPPROTO_GRE) {
      if (offset + GRE_HEADER > length) return false;
      // A checksum or a sequence number would have to be made anew for each segment.
      uint16_t options = load16(bytes + offset);
      if ((options & ~GRE_KEY) != 0) return false;
      type = load16(bytes + offset + 2);
      offset += GRE_HEADER + ((options & GRE_KEY) != 0 ? 4 : 0);
      if (type == TRANSPARENT_ETHERNET) {
        offset += MAC_ADDRESSES;
        if (!skip_tags(bytes, length, &offset, &type)) return false;
      }
    } else if (protocol == IPPROTO_UDP) {
      if (offset + UDP_HEADER + GENEVE_HEADER > length || !add_layer(walk, NFV_LAYER_UDP, offset)) return false;
      const uint8_t *tunnel = bytes + offset + UDP_HEADER;
      if (load16(bytes + offset + 2) == GENEVE_PORT) {
        offset += UDP_HEADER + GENEVE_HEADER + 4 * (tunnel[0] & 0x3fu);
        type = load16(tunnel + 2);
        if (type != TRANSPARENT_ETHERNET) continue;
      } else if (tunnel[0] == VXLAN_HAS_IDENTIFIER) {
        offset += UDP_HEADER + VXLAN_HEADER;
      } else {
        return false;
      }
      offset += MAC_ADDRESSES;
      if (!skip_tags(bytes, length, &offset, &type)) return false;
    } else {
      return false;
    }
  }
}

/// Copies the first `length` bytes of the frame (of the stripped form), with the tag back in place.
static uint32_t copy_tagged(const nfv_raw_frame *frame, uint32_t length, uint8_t *out) {
  if (!frame->tagged) {
    memcpy(out, frame->bytes, length);
    return length;
  }
  memcpy(out, frame->bytes, MAC_ADDRESSES);
  store16(out + MAC_ADDRESSES, frame->tag_protocol);
  store16(out + MAC_ADDRESSES + 2, frame->tag_control);
  memcpy(out + MAC_ADDRESSES + TAG, frame->bytes + MAC_ADDRESSES, length - MAC_ADDRESSES);
  return length + TAG;
}

enum nfv_frame_verdict nfv_frame_finish(const nfv_raw_frame *frame, uint8_t *out) {
  if (frame->length < ETH_HLEN) return NFV_FRAME_MALFORMED;
  bool incomplete = (frame->offload.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0;
  uint32_t start = frame->offload.csum_start, field = start + frame->offload.csum_offset;
  if (incomplete && field + 2 > frame->length) return NFV_FRAME_MALFORMED;

  uint32_t length = copy_tagged(frame, frame->length, out);
  if (!incomplete) return NFV_FRAME_GOOD;
  if (frame->tagged) {
    if (start < MAC_ADDRESSES) return NFV_FRAME_MALFORMED;
    start += TAG;
    field += TAG;
  }

  // The kernel describes SCTP's CRC in the same terms as an Internet checksum.
  walk walk;
  if (frame->offload.csum_offset == SCTP_CHECKSUM && field + 4 <= length && walk_headers(out, length, start, &walk) &&
      walk.protocol == IPPROTO_SCTP) {
    memset(out + field, 0, 4);
    uint32_t crc = ~crc32c(UINT32_MAX, out + start, length - start);
    for (int i = 0; i < 4; i++) out[field + (uint32_t)i] = (uint8_t)(crc >> 8 * i);
    return NFV_FRAME_GOOD;
  }
  // The field holds the sum over the pseudo-header, so summing over everything includes it.
  bool udp = frame->offload.csum_offset == UDP_CHECKSUM;
  store_checksum(out + field, add_bytes(0, out + start, length - start), udp);
  return NFV_FRAME_GOOD;
}

// MARK: Segments

/// Takes the jumbo payload option out of the headers: Linux puts it into super-frames above 64 KB, and no frame on the
/// wire has it. Returns how many bytes that took away.
static uint32_t remove_jumbo(uint8_t *headers, uint32_t length) {
  uint32_t offset = MAC_ADDRESSES;
  uint16_t type;
  if (!skip_tags(headers, length, &offset, &type) || type != ETH_P_IPV6) return 0;
  uint32_t after = offset + IPV6_HEADER;
  if (after + JUMBO_HEADER > length || headers[offset + IPV6_NEXT] != IPPROTO_HOPOPTS) return 0;
  if (load16(headers + offset + IPV6_LENGTH) != 0) return 0;
  if (headers[after + 1] != 0 || headers[after + 2] != JUMBO_OPTION || headers[after + 3] != 4) return 0;
  headers[offset + IPV6_NEXT] = headers[after];
  memmove(headers + after, headers + after + JUMBO_HEADER, length - after - JUMBO_HEADER);
  return JUMBO_HEADER;
}

enum nfv_frame_verdict nfv_segmenter_begin(nfv_segmenter *segmenter, const nfv_raw_frame *frame) {
  segmenter->active = false;
  uint8_t kind = frame->offload.gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
  bool tcp = kind == VIRTIO_NET_HDR_GSO_TCPV4 || kind == VIRTIO_NET_HDR_GSO_TCPV6;
  if (!tcp && kind != VIRTIO_NET_HDR_GSO_UDP_L4) return NFV_FRAME_UNSUPPORTED;
  if (frame->length < ETH_HLEN || frame->offload.gso_size == 0) return NFV_FRAME_MALFORMED;

  // The headers are brought into the form they have on the wire first; all offsets below are into that.
  uint32_t most = NFV_SEGMENT_HEADERS - TAG;
  uint32_t copied = frame->length < most ? frame->length : most;
  uint32_t length = copy_tagged(frame, copied, segmenter->headers);
  uint32_t removed = remove_jumbo(segmenter->headers, length);
  length -= removed;

  uint32_t target = 0;
  if ((frame->offload.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0) {
    target = frame->offload.csum_start + (frame->tagged ? TAG : 0u);
    if (frame->offload.csum_start < ETH_HLEN || target < removed + ETH_HLEN) return NFV_FRAME_MALFORMED;
    target -= removed;
  }
  walk walk;
  if (!walk_headers(segmenter->headers, length, target, &walk)) return NFV_FRAME_UNSUPPORTED;
  if (walk.protocol != (tcp ? IPPROTO_TCP : IPPROTO_UDP)) return NFV_FRAME_UNSUPPORTED;

  const uint8_t *transport = segmenter->headers + walk.transport;
  if (walk.transport + (tcp ? TCP_MINIMUM : UDP_HEADER) > length) return NFV_FRAME_MALFORMED;
  uint32_t transport_header = tcp ? 4 * (transport[12] >> 4) : UDP_HEADER;
  if (tcp && transport_header < TCP_MINIMUM) return NFV_FRAME_MALFORMED;
  if (walk.transport + transport_header > length) return NFV_FRAME_MALFORMED;

  uint32_t stripped_headers = walk.transport + transport_header + removed - (frame->tagged ? TAG : 0u);
  uint32_t payload = frame->length - stripped_headers;
  uint32_t largest = payload < frame->offload.gso_size ? payload : frame->offload.gso_size;
  if (walk.transport + transport_header + largest - walk.layers[0].offset > UINT16_MAX) return NFV_FRAME_MALFORMED;

  segmenter->headers_length = (uint16_t)(walk.transport + transport_header);
  segmenter->transport = (uint16_t)walk.transport;
  segmenter->layer_count = walk.layer_count;
  for (uint16_t i = 0; i < walk.layer_count; i++) {
    segmenter->layers[i] = walk.layers[i];
    const uint8_t *header = segmenter->headers + walk.layers[i].offset;
    segmenter->identifications[i] =
        walk.layers[i].kind == NFV_LAYER_IPV4 ? load16(header + IPV4_IDENTIFICATION) : 0;
  }
  segmenter->payload = frame->bytes + stripped_headers;
  segmenter->left = payload;
  segmenter->size = frame->offload.gso_size;
  segmenter->index = 0;
  segmenter->tcp = tcp;
  segmenter->without_checksum = !tcp && target == 0 && load16(transport + UDP_CHECKSUM) == 0;
  segmenter->sequence = tcp ? load32(transport + TCP_SEQUENCE) : 0;
  segmenter->flags = tcp ? transport[TCP_FLAGS] : 0;
  // Without the mark the flag is no signal of its own but part of a counter (accurate ECN), the same in all segments.
  segmenter->congestion_window_reduced_once = (frame->offload.gso_type & VIRTIO_NET_HDR_GSO_ECN) != 0;
  segmenter->active = true;
  return NFV_FRAME_GOOD;
}

uint32_t nfv_segmenter_next_length(const nfv_segmenter *segmenter) {
  return segmenter->headers_length + (segmenter->left < segmenter->size ? segmenter->left : segmenter->size);
}

uint32_t nfv_segmenter_left(const nfv_segmenter *segmenter) {
  if (!segmenter->active) return 0;
  return segmenter->left <= segmenter->size ? 1 : (segmenter->left + segmenter->size - 1) / segmenter->size;
}

/// The sum over the pseudo-header of whatever `layer` carries (RFC 9293, section 3.1; RFC 8200, section 8.1).
static uint64_t pseudo_header(const uint8_t *frame, nfv_layer layer, uint8_t protocol, uint32_t length) {
  const uint8_t *header = frame + layer.offset;
  uint64_t sum = layer.kind == NFV_LAYER_IPV4 ? add_bytes(0, header + IPV4_ADDRESSES, 8)
                                              : add_bytes(0, header + IPV6_ADDRESSES, 32);
  return sum + htonl(length) + htons(protocol);
}

void nfv_segmenter_next(nfv_segmenter *segmenter, uint8_t *out) {
  uint32_t part = segmenter->left < segmenter->size ? segmenter->left : segmenter->size;
  bool last = part == segmenter->left;
  uint32_t end = segmenter->headers_length + part;
  memcpy(out, segmenter->headers, segmenter->headers_length);
  memcpy(out + segmenter->headers_length, segmenter->payload, part);

  for (uint16_t i = 0; i < segmenter->layer_count; i++) {
    nfv_layer layer = segmenter->layers[i];
    uint8_t *header = out + layer.offset;
    if (layer.kind == NFV_LAYER_IPV4) {
      store16(header + IPV4_LENGTH, end - layer.offset);
      store16(header + IPV4_IDENTIFICATION, segmenter->identifications[i] + segmenter->index);
      store16(header + IPV4_CHECKSUM, 0);
      store_checksum(header + IPV4_CHECKSUM, add_bytes(0, header, 4 * (header[0] & 15u)), false);
    } else if (layer.kind == NFV_LAYER_IPV6) {
      store16(header + IPV6_LENGTH, end - layer.offset - IPV6_HEADER);
    } else {
      store16(header + UDP_LENGTH, end - layer.offset);
    }
  }

  uint8_t *transport = out + segmenter->transport;
  uint8_t *checksum;
  if (segmenter->tcp) {
    store32(transport + TCP_SEQUENCE, segmenter->sequence + segmenter->index * segmenter->size);
    uint8_t flags = segmenter->flags;
    if (!last) flags &= (uint8_t)~(TCP_FIN | TCP_PSH);
    if (segmenter->index != 0 && segmenter->congestion_window_reduced_once) flags &= (uint8_t)~TCP_CWR;
    transport[TCP_FLAGS] = flags;
    checksum = transport + TCP_CHECKSUM;
  } else {
    store16(transport + UDP_LENGTH, UDP_HEADER + part);
    checksum = transport + UDP_CHECKSUM;
  }
  store16(checksum, 0);
  if (!segmenter->without_checksum) {
    uint32_t covered = end - segmenter->transport;
    uint8_t protocol = segmenter->tcp ? IPPROTO_TCP : IPPROTO_UDP;
    uint64_t sum = pseudo_header(out, segmenter->layers[segmenter->layer_count - 1], protocol, covered);
    store_checksum(checksum, add_bytes(sum, transport, covered), !segmenter->tcp);
  }

  // Checksums of tunnels cover the inner ones, so they come last and from the inside out.
  for (uint16_t i = segmenter->layer_count; i-- > 1;) {
    nfv_layer layer = segmenter->layers[i];
    if (layer.kind != NFV_LAYER_UDP) continue;
    uint8_t *field = out + layer.offset + UDP_CHECKSUM;
    if (load16(field) == 0) continue;
    store16(field, 0);
    uint32_t covered = end - layer.offset;
    uint64_t sum = pseudo_header(out, segmenter->layers[i - 1], IPPROTO_UDP, covered);
    store_checksum(field, add_bytes(sum, out + layer.offset, covered), true);
  }

  segmenter->payload += part;
  segmenter->left -= part;
  segmenter->index++;
  segmenter->active = !last;
}

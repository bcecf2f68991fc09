/// Finishing what a stack left to hardware: checksums, and the cutting of super-frames.
#ifndef NFV_SEGMENT_H
#define NFV_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_net.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/// The longest headers of a super-frame that are dealt with, Ethernet to TCP options.
#define NFV_SEGMENT_HEADERS 512
/// Nested headers whose fields depend on a segment's length.
#define NFV_SEGMENT_LAYERS 6

/// A frame as AF_PACKET hands it over.
typedef struct nfv_raw_frame {
  const uint8_t *bytes;
  uint32_t length;
  bool tagged; ///< Whether a tag was stripped.
  uint16_t tag_protocol;
  uint16_t tag_control;
  struct virtio_net_hdr offload;
} nfv_raw_frame;

/// A header whose length or checksum depends on the frame's length.
typedef struct nfv_layer {
  enum { NFV_LAYER_IPV4, NFV_LAYER_IPV6, NFV_LAYER_UDP } kind;
  uint16_t offset;
} nfv_layer;

/// A super-frame that is being cut.
typedef struct nfv_segmenter {
  const uint8_t *payload; ///< What is left of it.
  uint32_t left;
  uint32_t size; ///< Payload of each segment but the last.
  uint32_t index;
  bool active;
  bool tcp;
  bool without_checksum;
  bool congestion_window_reduced_once;
  uint16_t headers_length;
  uint16_t transport;
  uint16_t layer_count;
  nfv_layer layers[NFV_SEGMENT_LAYERS];
  uint16_t identifications[NFV_SEGMENT_LAYERS];
  uint32_t sequence;
  uint8_t flags;
  uint8_t headers[NFV_SEGMENT_HEADERS];
} nfv_segmenter;

enum nfv_frame_verdict { NFV_FRAME_GOOD, NFV_FRAME_MALFORMED, NFV_FRAME_UNSUPPORTED };

/// Bytes of the frame on the wire.
static inline uint32_t nfv_frame_wire_length(const nfv_raw_frame *frame) {
  return frame->length + (frame->tagged ? 4 : 0);
}

/// Writes the frame as it is on the wire: tag back in place, checksum completed. `out` has room for the wire length.
enum nfv_frame_verdict nfv_frame_finish(const nfv_raw_frame *frame, uint8_t *out);

/// Starts to cut a frame whose `gso_type` is set. Its bytes are read until the last segment is out.
enum nfv_frame_verdict nfv_segmenter_begin(nfv_segmenter *segmenter, const nfv_raw_frame *frame);
/// Bytes of the next segment on the wire.
uint32_t nfv_segmenter_next_length(const nfv_segmenter *segmenter);
/// Segments left.
uint32_t nfv_segmenter_left(const nfv_segmenter *segmenter);
/// Writes the next segment; `active` is false after the last.
void nfv_segmenter_next(nfv_segmenter *segmenter, uint8_t *out);

#endif

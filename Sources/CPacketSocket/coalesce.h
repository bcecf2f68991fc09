/// Putting consecutive TCP segments together into super-frames, from which exactly the same segments are cut again.
#ifndef NFV_COALESCE_H
#define NFV_COALESCE_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_net.h>

/// The longest headers that are dealt with, Ethernet to TCP options.
#define NFV_RUN_HEADERS 160

/// Consecutive segments of one connection.
typedef struct nfv_run {
  struct virtio_net_hdr offload; ///< Goes in front of the frame.
  uint16_t count;                ///< Segments; 0 when the frame cannot be the start of a run.
  uint16_t headers_length;
  uint16_t network;
  uint16_t transport;
  uint16_t size; ///< Payload of each segment but the last.
  bool ipv6;
  bool closed;   ///< The last segment was short or pushed: nothing may follow.
  bool pushed;   ///< The last segment was.
  bool verified; ///< The first segment's checksums were found good.
  uint16_t next_identification;
  uint32_t next_sequence;
  uint32_t length; ///< Of the super-frame.
  const uint8_t *first;
  uint32_t first_length;
  uint8_t headers[NFV_RUN_HEADERS]; ///< Of the super-frame, once `nfv_run_finish` was called.
} nfv_run;

/// Starts a run with a frame, if it is a TCP segment that more may be joined to; else the run's count is 0.
void nfv_run_begin(nfv_run *run, const uint8_t *frame, uint32_t length);
/// Joins the next segment. Returns whether it belongs to the run: its headers differ only in what cutting a super-frame
/// makes anew, and its checksums are good, so that damage is never covered up. What is to be sent of it is what follows
/// `headers_length`.
bool nfv_run_extend(nfv_run *run, const uint8_t *frame, uint32_t length);
/// Makes the headers of a run of several segments.
void nfv_run_finish(nfv_run *run);

#endif

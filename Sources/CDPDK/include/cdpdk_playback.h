/// Frames kept in memory and played round and round.
#ifndef NFV_CDPDK_PLAYBACK_H
#define NFV_CDPDK_PLAYBACK_H

#include "cdpdk.h"

/// Where one frame lies in the bytes of all.
typedef struct nfv_playback_frame {
  uint64_t offset;
  uint32_t length;
} nfv_playback_frame;

/// What is played; at least one frame.
typedef struct nfv_playback {
  const uint8_t *bytes;
  const nfv_playback_frame *frames;
  uint32_t count;
  uint32_t next; ///< The frame that is next.
  uint16_t port; ///< Ingress port that packets carry.
} nfv_playback;

/// Copies the next `count` frames into packets from `pool`; fewer when that is short of them. Adds their bytes to
/// `*bytes`. Returns how many.
uint16_t nfv_playback_receive(
    nfv_playback *playback, nfv_mbuf **mbufs, uint16_t count, nfv_pool *pool, uint64_t *bytes);

#endif

#include "cdpdk_playback.h"

#include <string.h>

#include <rte_mbuf.h>
#include <rte_prefetch.h>

uint16_t nfv_playback_receive(
    nfv_playback *playback, nfv_mbuf **mbufs, uint16_t count, nfv_pool *pool, uint64_t *bytes) {
  if (!nfv_alloc(pool, mbufs, count)) return 0;
  uint32_t next = playback->next;
  uint64_t sum = 0;
  uint16_t done = 0;
  for (; done < count; done++) {
    const nfv_playback_frame *frame = &playback->frames[next];
    const uint8_t *from = playback->bytes + frame->offset;
    if (++next == playback->count) next = 0;
    // Long captures come from memory, not from a cache.
    rte_prefetch0(playback->bytes + playback->frames[next].offset);
    nfv_mbuf *mbuf = mbufs[done];
    mbuf->port = playback->port;
    if (frame->length <= mbuf->buffer_length - RTE_PKTMBUF_HEADROOM) {
      memcpy(nfv_mbuf_data(mbuf), from, frame->length);
      mbuf->data_length = (uint16_t)frame->length;
      mbuf->packet_length = frame->length;
    } else if (!nfv_write(mbuf, from, frame->length, pool)) {
      break;
    }
    sum += frame->length;
    playback->next = next;
  }
  if (done < count) nfv_free(mbufs + done, count - done);
  *bytes += sum;
  return done;
}

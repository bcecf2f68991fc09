#include "cdpdk_copying.h"

#include <string.h>

#include <rte_mbuf.h>

static bool is_own(const struct rte_mbuf *segment) {
  return RTE_MBUF_DIRECT(segment) && rte_mbuf_refcnt_read(segment) == 1;
}

bool nfv_append(nfv_mbuf *to, const nfv_mbuf *from, uint32_t offset, uint32_t length, nfv_pool *pool) {
  if (offset > from->packet_length || length > from->packet_length - offset) return false;
  if (length > UINT32_MAX - to->packet_length) return false;
  if (length == 0) return true;
  const struct rte_mbuf *source = (const struct rte_mbuf *)from;
  while (offset >= source->data_len) {
    offset -= source->data_len;
    source = source->next;
  }
  struct rte_mbuf *head = (struct rte_mbuf *)to;
  struct rte_mbuf *const end = rte_pktmbuf_lastseg(head);
  const uint16_t length_before = end->data_len, segments_before = head->nb_segs;
  struct rte_mbuf *last = end;
  uint16_t room = is_own(end) ? rte_pktmbuf_tailroom(end) : 0;
  for (uint32_t left = length; left > 0;) {
    if (room == 0) {
      struct rte_mbuf *more =
          head->nb_segs == RTE_MBUF_MAX_NB_SEGS ? NULL : rte_pktmbuf_alloc((struct rte_mempool *)pool);
      if (more == NULL) {
        if (end->next != NULL) rte_pktmbuf_free(end->next);
        end->next = NULL;
        end->data_len = length_before;
        head->nb_segs = segments_before;
        return false;
      }
      last->next = more;
      last = more;
      head->nb_segs++;
      room = rte_pktmbuf_tailroom(more);
    }
    uint32_t part = source->data_len - offset;
    if (part > left) part = left;
    if (part > room) part = room;
    memcpy(rte_pktmbuf_mtod_offset(last, void *, last->data_len), rte_pktmbuf_mtod_offset(source, void *, offset), part);
    last->data_len += (uint16_t)part;
    room -= (uint16_t)part;
    left -= part;
    offset += part;
    while (left > 0 && offset == source->data_len) {
      source = source->next;
      offset = 0;
    }
  }
  nfv_length_changed();
  head->pkt_len += length;
  return true;
}

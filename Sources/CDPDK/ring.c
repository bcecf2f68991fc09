// Rings by which one worker hands packets to another.
#include "cdpdk.h"

#include <rte_ring.h>
#include <stdlib.h>

nfv_ring *nfv_ring_create(unsigned count) {
  ssize_t size = rte_ring_get_memsize(count);
  if (size < 0) return NULL;
  struct rte_ring *ring = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL((size_t)size, RTE_CACHE_LINE_SIZE));
  if (ring == NULL) return NULL;
  if (rte_ring_init(ring, "handover", count, RING_F_SP_ENQ | RING_F_SC_DEQ) != 0) {
    free(ring);
    return NULL;
  }
  return (nfv_ring *)ring;
}

void nfv_ring_destroy(nfv_ring *ring) { free(ring); }

unsigned nfv_ring_put(nfv_ring *ring, nfv_mbuf *const *mbufs, unsigned count) {
  return rte_ring_sp_enqueue_burst((struct rte_ring *)ring, (void *const *)mbufs, count, NULL);
}

unsigned nfv_ring_take(nfv_ring *ring, nfv_mbuf **mbufs, unsigned count) {
  return rte_ring_sc_dequeue_burst((struct rte_ring *)ring, (void **)mbufs, count, NULL);
}

bool nfv_ring_is_empty(const nfv_ring *ring) { return rte_ring_empty((const struct rte_ring *)ring) != 0; }

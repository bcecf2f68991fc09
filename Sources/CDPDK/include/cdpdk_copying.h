/// Copies between packets, across segments.
#ifndef NFV_CDPDK_COPYING_H
#define NFV_CDPDK_COPYING_H

#include "cdpdk.h"

/// Copies `length` bytes of `from` at `offset` behind the end of `to`; further segments come from `pool`. False, with `to`
/// unchanged, when `from` is shorter, the pool is empty or there would be too many segments. `from` must be another packet.
bool nfv_append(nfv_mbuf *to, const nfv_mbuf *from, uint32_t offset, uint32_t length, nfv_pool *pool);

#endif

/* Swift has no way of its own to ask for a cache line. */
#ifndef NFV_PREFETCH_H
#define NFV_PREFETCH_H

/* Asks for the cache line of an address, which need not be a valid one, to be read and perhaps written. */
static inline void nfv_prefetch(const void *address) { __builtin_prefetch(address, 0, 3); }

#endif

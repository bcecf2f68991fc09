// What tables that are read while they change need of the processor, and Swift has no word for.
#ifndef NFV_CTABLES_H
#define NFV_CTABLES_H

#include <stdint.h>

// Begins to bring the cache line at `address`, which need not be mapped, near the processor.
static inline void nfv_prefetch(const void *address) { __builtin_prefetch(address, 0, 3); }

// Reads an entry; what was written before the entry was stored is seen, too.
static inline uint32_t nfv_load_entry(const uint32_t *entry) { return __atomic_load_n(entry, __ATOMIC_ACQUIRE); }

// Replaces an entry at once; readers see the old or the new one.
static inline void nfv_store_entry(uint32_t *entry, uint32_t value) {
  __atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

#endif

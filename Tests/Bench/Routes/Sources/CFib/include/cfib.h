// DPDK's forwarding tables, for comparison.
#ifndef CFIB_H
#define CFIB_H

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <x86intrin.h>
static inline uint64_t cfib_cycles(void) { return __rdtsc(); }
#else
static inline uint64_t cfib_cycles(void) {
  uint64_t v;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(v));
  return v;
}
#endif

// Starts DPDK without huge pages: its tables then lie in pages of 4 KB. 0 is success.
int cfib_start(void);

// Whether the table made last is looked up by AVX-512, rather than one address after the other.
int cfib4_usesVectors(void);
int cfib6_usesVectors(void);

// A DIR24_8 table (4-byte entries) for `routes` routes, or NULL.
void *cfib4_create(uint32_t routes);
int cfib4_add(void *fib, uint32_t address, uint8_t length, uint32_t value);
void cfib4_free(void *fib);
// Looks up all addresses in bursts of 64 by the vector code where there is any; the cycles it took.
uint64_t cfib4_lookup(void *fib, const uint32_t *addresses, size_t count, uint64_t *values);

// A trie (4-byte entries) for `routes` routes, or NULL.
void *cfib6_create(uint32_t routes);
int cfib6_add(void *fib, const uint8_t *address, uint8_t length, uint32_t value);
void cfib6_free(void *fib);
uint64_t cfib6_lookup(void *fib, const uint8_t *addresses, size_t count, uint64_t *values);

#endif

#include "cfib.h"

#include <rte_eal.h>
#include <rte_fib.h>
#include <rte_fib6.h>
#include <rte_memory.h>

#define BURST 64

static int cfib_vectors4, cfib_vectors6;

int cfib4_usesVectors(void) { return cfib_vectors4; }
int cfib6_usesVectors(void) { return cfib_vectors6; }

int cfib_start(void) {
  char *arguments[] = {"bench", "--no-huge", "--no-shconf", "--no-pci", "--no-telemetry", "-m", "3072", "-l", "0", "--log-level", "error",
                       "--force-max-simd-bitwidth=512"};
  return rte_eal_init(12, arguments) < 0 ? -1 : 0;
}

void *cfib4_create(uint32_t routes) {
  struct rte_fib_conf c = {.type = RTE_FIB_DIR24_8, .default_nh = UINT32_MAX >> 1, .max_routes = routes * 2,
                           .dir24_8 = {.nh_sz = RTE_FIB_DIR24_8_4B, .num_tbl8 = 1 << 15}};
  struct rte_fib *fib = rte_fib_create("v4", SOCKET_ID_ANY, &c);
  cfib_vectors4 = fib && rte_fib_select_lookup(fib, RTE_FIB_LOOKUP_DIR24_8_VECTOR_AVX512) == 0;
  return fib;
}

int cfib4_add(void *fib, uint32_t address, uint8_t length, uint32_t value) {
  return rte_fib_add(fib, address, length, value);
}

void cfib4_free(void *fib) { rte_fib_free(fib); }

uint64_t cfib4_lookup(void *fib, const uint32_t *addresses, size_t count, uint64_t *values) {
  uint64_t start = cfib_cycles();
  for (size_t i = 0; i + BURST <= count; i += BURST)
    rte_fib_lookup_bulk(fib, (uint32_t *)(uintptr_t)(addresses + i), values + i, BURST);
  return cfib_cycles() - start;
}

void *cfib6_create(uint32_t routes) {
  struct rte_fib6_conf c = {.type = RTE_FIB6_TRIE, .default_nh = UINT32_MAX >> 1, .max_routes = routes * 2,
                            .trie = {.nh_sz = RTE_FIB6_TRIE_4B, .num_tbl8 = 1 << 18}};
  struct rte_fib6 *fib = rte_fib6_create("v6", SOCKET_ID_ANY, &c);
  cfib_vectors6 = fib && rte_fib6_select_lookup(fib, RTE_FIB6_LOOKUP_TRIE_VECTOR_AVX512) == 0;
  return fib;
}

int cfib6_add(void *fib, const uint8_t *address, uint8_t length, uint32_t value) {
  return rte_fib6_add(fib, address, length, value);
}

void cfib6_free(void *fib) { rte_fib6_free(fib); }

uint64_t cfib6_lookup(void *fib, const uint8_t *addresses, size_t count, uint64_t *values) {
  uint64_t start = cfib_cycles();
  for (size_t i = 0; i + BURST <= count; i += BURST)
    rte_fib6_lookup_bulk(fib, (uint8_t(*)[16])(uintptr_t)(addresses + 16 * i), values + i, BURST);
  return cfib_cycles() - start;
}

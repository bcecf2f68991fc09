/// The part of DPDK that nfvrun uses, as plain C that includes no DPDK header.
///
/// Swift cannot import `struct rte_mbuf` (it is over-aligned), and headers of DPDK's in this file would force compiler
/// flags on every package that depends on this one. So the layout is declared again here, and checked against DPDK's
/// with static assertions in cdpdk.c. Functions take bursts: DPDK's own inline functions are called once a burst.
#ifndef NFV_CDPDK_H
#define NFV_CDPDK_H

// What Swift, by way of Clang, is told of pointers; the others' nullability is not said.
#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wnullability-completeness"
#define NFV_NONNULL _Nonnull
#define NFV_ASSUME(condition) __builtin_assume(condition)
#else
#define NFV_NONNULL
#define NFV_ASSUME(condition) ((void)0)
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// What parsing found out about a packet; kept in `nfv_mbuf.parsed`.
enum nfv_parsed {
  NFV_PARSED = 1 << 0,         ///< Parsing was tried; without it nothing else here means anything.
  NFV_IPV4 = 1 << 1,           ///< A structurally sound IPv4 header at `network_offset`.
  NFV_IPV6 = 1 << 2,           ///< A structurally sound IPv6 header and extension chain at `network_offset`.
  NFV_FRAGMENT = 1 << 3,       ///< One fragment of several.
  NFV_LATER_FRAGMENT = 1 << 4, ///< A fragment that is not the first: it has no transport header.
  NFV_TRANSPORT = 1 << 5,      ///< The whole fixed transport header is there at `transport_offset`.
  NFV_ARP = 1 << 6,            ///< An Ethernet/IPv4 ARP packet at `network_offset`.
  NFV_HASHED = 1 << 7,         ///< `flow_hash` holds the symmetric flow hash.
};

/// A packet buffer: `struct rte_mbuf` under field names of our own where DPDK's field is free between receipt and
/// transmission. Everything that elements read stands in the first cache line.
typedef struct nfv_mbuf {
  void *NFV_NONNULL buffer;
  uint64_t buffer_iova;
  uint16_t data_offset;
  uint16_t reference_count;
  uint16_t segment_count;
  uint16_t port;
  uint64_t offload_flags;
  uint8_t protocol;        ///< IP protocol number of the transport header (DPDK: packet_type).
  uint8_t parsed;          ///< Bits of `enum nfv_parsed`.
  uint16_t network_offset; ///< Offset of the IP or ARP header from the start of the frame.
  uint32_t packet_length;
  uint16_t data_length;
  uint16_t transport_offset; ///< Offset of the transport header from the start of the frame (DPDK: vlan_tci).
  uint32_t flow_hash;        ///< DPDK: hash.rss.
  uint32_t mark;             ///< The user's mark (DPDK: hash.fdir.hi).
  uint16_t network_length;   ///< Length that the IP header declares, header included (DPDK: vlan_tci_outer).
  uint16_t buffer_length;
  void *pool;
  struct nfv_mbuf *next;
  uint64_t tx_offload;
  void *shared_info;
  uint16_t private_size;
  uint16_t timesync;
  /// Order of arrival, in replay; where a packet goes that is handed to another worker (DPDK: dynfield1[0], registered).
  uint32_t sequence;
  uint32_t annotation; ///< What an element leaves for the next one (DPDK: dynfield1[1], registered).
  uint32_t dynamic[7];
} __attribute__((aligned(16))) nfv_mbuf;

/// Forgets what was learned about the packet; to be called on every packet that enters.
static inline void nfv_mbuf_reset(nfv_mbuf *mbuf) {
  // One store for three neighbours.
  uint32_t nothing = 0;
  __builtin_memcpy(&mbuf->protocol, &nothing, sizeof nothing);
  mbuf->mark = 0;
}

/// Writes down what parsing found out.
static inline void nfv_mbuf_note(nfv_mbuf *mbuf, uint8_t protocol, uint8_t parsed, uint16_t network_offset,
                                 uint16_t transport_offset, uint16_t network_length) {
  struct { uint8_t protocol, parsed; uint16_t network_offset; } found = {protocol, parsed, network_offset};
  __builtin_memcpy(&mbuf->protocol, &found, sizeof found);
  mbuf->transport_offset = transport_offset;
  mbuf->network_length = network_length;
}

/// Where the first segment's bytes start. The optimiser is told that this is somewhere, which saves Swift a test wherever
/// a header view is optional.
static inline void *NFV_NONNULL nfv_mbuf_data(const nfv_mbuf *NFV_NONNULL mbuf) {
  uint8_t *data = (uint8_t *)mbuf->buffer + mbuf->data_offset;
  NFV_ASSUME(data != NULL);
  return data;
}

/// Lengths of `count` packets together.
static inline uint64_t nfv_total_length(nfv_mbuf *const *mbufs, uint32_t count) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < count; i++) sum += mbufs[i]->packet_length;
  return sum;
}

/// Whether `count` (at least one) verdicts are all the same.
static inline bool nfv_all_equal(const uint16_t *codes, uint32_t count) {
  uint16_t different = 0;
  for (uint32_t i = 0; i < count; i++) different |= codes[i] ^ codes[0];
  return different == 0;
}

/// Whether all of `count` verdicts are below `limit`.
static inline bool nfv_all_below(const uint16_t *codes, uint32_t count, uint16_t limit) {
  uint16_t reached = 0;
  for (uint32_t i = 0; i < count; i++) reached |= codes[i] >= limit;
  return reached == 0;
}

/// Goes up whenever this thread makes a packet longer or shorter, so that lengths that were added up before still hold
/// as long as it stands still.
extern _Thread_local uint64_t nfv_length_changes_word __attribute__((tls_model("initial-exec")));
static inline uint64_t nfv_length_changes(void) { return nfv_length_changes_word; }
static inline void nfv_length_changed(void) { nfv_length_changes_word++; }

/// The time-stamp counter.
static inline uint64_t nfv_tsc(void) {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#else
  uint64_t ticks;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks;
#endif
}

// MARK: Environment

/// Starts the environment abstraction layer and leaves the calling thread on the CPUs it had. `arguments` excludes the
/// program's name. Returns 0, or a negative errno.
int nfv_eal_init(int count, const char *const *arguments);
/// Stops EAL and removes its run-time files.
void nfv_eal_cleanup(void);
/// Time-stamp counter ticks a second, measured by EAL.
uint64_t nfv_tsc_hz(void);
/// Huge pages of the default size that are free.
unsigned long nfv_free_huge_pages(void);
/// Gives the calling thread an lcore identity of its own, so that it has a mempool cache. Returns 0 or a negative errno.
int nfv_thread_register(void);
/// Gives back what `nfv_thread_register` gave; there are RTE_MAX_LCORE identities in a process.
void nfv_thread_unregister(void);
/// The first CPU that this process may use.
unsigned nfv_first_cpu(void);
/// Pins the calling thread to one CPU. Returns 0 or a negative errno.
int nfv_thread_pin(unsigned cpu);
/// Names the calling thread for `top` and debuggers; 15 characters at most.
void nfv_thread_name(const char *name);
/// Waits until one of the descriptors is readable or the time is over. At most 64 descriptors are looked at. Returns
/// whether one of them has an error.
bool nfv_thread_wait(const int *descriptors, unsigned count, uint64_t nanoseconds);
/// A descriptor that is readable once it was signalled, until it is cleared; -1 when the system has none.
int nfv_event_make(void);
void nfv_event_signal(int descriptor);
void nfv_event_clear(int descriptor);
/// The text for a DPDK or errno number.
const char *nfv_strerror(int error);
/// From here on keeps what DPDK logs, instead of writing it to standard error.
void nfv_log_keep(void);
/// Ends that, and gives what was kept (NUL-terminated, truncated to `size`).
void nfv_log_take(char *text, size_t size);

// MARK: Pools and packets

typedef struct nfv_pool nfv_pool;

/// Makes a pool of `count` packets with `data_room` bytes behind the headroom of 128. NULL sets `*error` to an errno.
nfv_pool *nfv_pool_create(const char *name, unsigned count, unsigned cache, uint16_t data_room, int *error);
void nfv_pool_destroy(nfv_pool *pool);
/// Packets not in use.
unsigned nfv_pool_available(const nfv_pool *pool);
unsigned nfv_pool_capacity(const nfv_pool *pool);
/// Allocates exactly `count` empty packets, or none. Returns whether it did.
bool nfv_alloc(nfv_pool *pool, nfv_mbuf **mbufs, unsigned count);
/// Frees packets, every segment of each.
void nfv_free(nfv_mbuf **mbufs, unsigned count);
/// A packet that shares the bytes of `mbuf` (header metadata copied), or NULL when the pool is empty.
nfv_mbuf *nfv_clone(nfv_mbuf *mbuf, nfv_pool *pool);
/// Makes the first `length` bytes contiguous and owned by this packet alone. Replaces `*mbuf` when it must.
/// Returns false, with the packet unharmed, when the pool is empty or the packet is too short or too long for one buffer.
bool nfv_make_writable(nfv_mbuf **mbuf, uint32_t length, nfv_pool *pool);
/// Brings as many of the first `length` bytes as there are into the first segment, in place. False when that segment's
/// bytes are shared or its buffer has no room.
bool nfv_pull_up(nfv_mbuf *mbuf, uint32_t length);
/// Joins `tail` behind `head`; both become one packet. False when there would be too many segments.
bool nfv_chain(nfv_mbuf *head, nfv_mbuf *tail);
/// Cuts the packet to `length` bytes, freeing whole segments beyond it.
void nfv_truncate(nfv_mbuf *mbuf, uint32_t length);
/// Copies `length` bytes from `offset` across segments. False when the packet is shorter.
bool nfv_read(const nfv_mbuf *mbuf, uint32_t offset, uint32_t length, void *out);
/// Fills a chain of empty packets (first one given) from `bytes`; further segments come from `pool`. False when the
/// pool runs out; the packet is then empty.
bool nfv_write(nfv_mbuf *mbuf, const void *bytes, uint32_t length, nfv_pool *pool);
/// Whether any segment's bytes are shared with another packet.
bool nfv_is_shared(const nfv_mbuf *mbuf);
/// Frees a packet that died without a verdict, and counts it.
void nfv_abandon(nfv_mbuf *mbuf);
/// Packets of this pool that died without a verdict.
uint64_t nfv_pool_abandoned(const nfv_pool *pool);

// MARK: Ethernet devices

/// Creates a device from `net_null0,copy=0` or a PCI address. Returns its number, or a negative errno.
int nfv_device_probe(const char *description);
/// Stops, closes and removes a device.
void nfv_device_remove(uint16_t device);
/// Whether a device with this name exists, and its number.
int nfv_device_find(const char *name);

typedef struct nfv_device_info {
  char driver[64];
  uint16_t max_rx_queues, max_tx_queues;
  uint16_t min_mtu, max_mtu;
  uint64_t mac; ///< 48 bits, first octet on the wire highest.
} nfv_device_info;

typedef struct nfv_device_settings {
  uint16_t rx_queues, tx_queues;
  uint16_t rx_descriptors, tx_descriptors; ///< 0: the driver's choice.
  uint16_t mtu;                            ///< 0: leave as it is.
  bool promiscuous;
} nfv_device_settings;

typedef struct nfv_device_counters {
  uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes, rx_missed, rx_errors, tx_errors, rx_no_buffer;
} nfv_device_counters;

int nfv_device_describe(uint16_t device, nfv_device_info *info);
/// Configures queues and starts the device. On failure returns a negative errno and names the step in `*step`.
int nfv_device_start(uint16_t device, const nfv_device_settings *settings, nfv_pool *pool, const char **step);
int nfv_device_counters_read(uint16_t device, nfv_device_counters *counters);
/// Receives up to `count` packets, their metadata reset; adds their bytes to `*bytes`. Their ingress port is what the
/// driver sets: the device, but for net_ring and for devices made of others.
uint16_t nfv_device_receive(uint16_t device, uint16_t queue, nfv_mbuf **mbufs, uint16_t count, uint64_t *bytes);
/// Transmits; returns how many were taken, from the front.
uint16_t nfv_device_transmit(uint16_t device, uint16_t queue, nfv_mbuf **mbufs, uint16_t count);

// MARK: Handing over between workers

typedef struct nfv_ring nfv_ring;

/// A ring from one thread to another with room for `count` packets less one, a power of two; NULL when memory is short.
nfv_ring *nfv_ring_create(unsigned count);
/// The ring must be empty.
void nfv_ring_destroy(nfv_ring *ring);
/// Puts packets in, from the front; returns how many there was room for.
unsigned nfv_ring_put(nfv_ring *ring, nfv_mbuf *const *mbufs, unsigned count);
/// Takes up to `count` packets out.
unsigned nfv_ring_take(nfv_ring *ring, nfv_mbuf **mbufs, unsigned count);
bool nfv_ring_is_empty(const nfv_ring *ring);

// MARK: Quiescent-state reclamation

typedef struct nfv_rcu nfv_rcu;

/// A domain of up to `threads` readers, or NULL.
nfv_rcu *nfv_rcu_create(unsigned threads);
void nfv_rcu_destroy(nfv_rcu *rcu);
void nfv_rcu_online(nfv_rcu *rcu, unsigned thread);
void nfv_rcu_offline(nfv_rcu *rcu, unsigned thread);
/// The reader holds nothing that was read before.
void nfv_rcu_quiescent(nfv_rcu *rcu, unsigned thread);
/// Waits until every reader that is online has been quiescent.
void nfv_rcu_synchronize(nfv_rcu *rcu);

// MARK: Words shared by threads

/// Loads and stores for counters with one writer and for published pointers. On the machines DPDK supports these cost
/// what plain ones do.
static inline uint64_t nfv_load_relaxed(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }
static inline void nfv_store_relaxed(uint64_t *word, uint64_t value) { __atomic_store_n(word, value, __ATOMIC_RELAXED); }
/// Nothing written before is seen by other threads after what is written next.
static inline void nfv_release(void) { __atomic_thread_fence(__ATOMIC_RELEASE); }
/// Nothing read next is older than what was read before.
static inline void nfv_acquire(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
/// What was written before is seen by other threads before anything is read next.
static inline void nfv_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
/// Adds to `counters` how many of `count` verdicts, all below `limit`, name each output.
static inline void nfv_count_outputs(const uint16_t *codes, uint32_t count, uint64_t *counters, uint32_t limit) {
  // Neighbours are counted apart: one that follows its like would wait for the store before it.
  enum { outputs = 32 };
  uint16_t even[outputs] = {0}, odd[outputs] = {0};
  if (limit > outputs) {
    for (uint32_t i = 0; i < count; i++) nfv_store_relaxed(counters + codes[i], counters[codes[i]] + 1);
    return;
  }
  for (uint32_t i = 0; i + 1 < count; i += 2) {
    even[codes[i]]++;
    odd[codes[i + 1]]++;
  }
  if (count % 2 != 0) even[codes[count - 1]]++;
  for (uint32_t i = 0; i < limit; i++) nfv_store_relaxed(counters + i, counters[i] + even[i] + odd[i]);
}
static inline void *nfv_load_pointer(void *const *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static inline void *nfv_exchange_pointer(void **word, void *value) {
  return __atomic_exchange_n(word, value, __ATOMIC_ACQ_REL);
}

#ifdef __clang__
#pragma clang diagnostic pop
#endif

#endif

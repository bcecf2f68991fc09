#define _GNU_SOURCE
#include "cdpdk.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_rcu_qsbr.h>

#define SAME(ours, theirs)                                                                                             \
  _Static_assert(offsetof(nfv_mbuf, ours) == offsetof(struct rte_mbuf, theirs), "layout of " #ours)
#define SIZED(ours, theirs)                                                                                            \
  SAME(ours, theirs);                                                                                                  \
  _Static_assert(sizeof(((nfv_mbuf *)0)->ours) == sizeof(((struct rte_mbuf *)0)->theirs), "size of " #ours)

_Static_assert(sizeof(nfv_mbuf) == sizeof(struct rte_mbuf), "size of the packet buffer");
SIZED(buffer, buf_addr);
SIZED(buffer_iova, buf_iova);
SIZED(data_offset, data_off);
SIZED(reference_count, refcnt);
SIZED(segment_count, nb_segs);
SIZED(port, port);
SIZED(offload_flags, ol_flags);
SAME(protocol, packet_type);
_Static_assert(offsetof(nfv_mbuf, network_offset) == offsetof(struct rte_mbuf, packet_type) + 2, "within packet_type");
SIZED(packet_length, pkt_len);
SIZED(data_length, data_len);
SIZED(transport_offset, vlan_tci);
SIZED(flow_hash, hash.rss);
SIZED(mark, hash.fdir.hi);
SIZED(network_length, vlan_tci_outer);
SIZED(buffer_length, buf_len);
SIZED(pool, pool);
SIZED(next, next);
SIZED(tx_offload, tx_offload);
SIZED(shared_info, shinfo);
SIZED(private_size, priv_size);
SIZED(timesync, timesync);
SAME(sequence, dynfield1);
_Static_assert(offsetof(nfv_mbuf, annotation) == offsetof(struct rte_mbuf, dynfield1[1]), "behind the sequence");
_Static_assert(RTE_PKTMBUF_HEADROOM == 128, "documented headroom");

static inline struct rte_mbuf *theirs(nfv_mbuf *mbuf) { return (struct rte_mbuf *)mbuf; }
static inline struct rte_mbuf **theirs_array(nfv_mbuf **mbufs) { return (struct rte_mbuf **)mbufs; }

// MARK: Environment

static int reserve_fields(void) {
  static const struct rte_mbuf_dynfield sequence = {
      .name = "nfvrun_sequence", .size = sizeof(uint32_t), .align = __alignof__(uint32_t)};
  static const struct rte_mbuf_dynfield annotation = {
      .name = "nfvrun_annotation", .size = sizeof(uint32_t), .align = __alignof__(uint32_t)};
  int offset = rte_mbuf_dynfield_register_offset(&sequence, offsetof(nfv_mbuf, sequence));
  if (offset >= 0) offset = rte_mbuf_dynfield_register_offset(&annotation, offsetof(nfv_mbuf, annotation));
  return offset < 0 ? -rte_errno : 0;
}

/// What DPDK logs while it is kept. The stream's own lock keeps threads of DPDK's apart that log meanwhile.
static struct {
  FILE *stream;
  bool is_kept;
  size_t length;
  char text[8192];
} logged;

static ssize_t write_log(void *cookie, const char *bytes, size_t count) {
  (void)cookie;
  if (!logged.is_kept) return fwrite(bytes, 1, count, stderr) == count ? (ssize_t)count : -1;
  size_t room = sizeof logged.text - 1 - logged.length;
  size_t kept = count < room ? count : room;
  memcpy(logged.text + logged.length, bytes, kept);
  logged.length += kept;
  return (ssize_t)count;
}

void nfv_log_keep(void) {
  if (logged.stream == NULL) {
    logged.stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_log});
    if (logged.stream == NULL) return;
    setvbuf(logged.stream, NULL, _IONBF, 0);
    rte_openlog_stream(logged.stream);
  }
  flockfile(logged.stream);
  logged.is_kept = true;
  logged.length = 0;
  funlockfile(logged.stream);
}

void nfv_log_take(char *text, size_t size) {
  text[0] = 0;
  if (logged.stream == NULL) return;
  flockfile(logged.stream);
  logged.is_kept = false;
  logged.text[logged.length] = 0;
  snprintf(text, size, "%s", logged.text);
  funlockfile(logged.stream);
}

int nfv_eal_init(int count, const char *const *arguments) {
  char **argv = calloc((size_t)count + 2, sizeof *argv);
  if (argv == NULL) return -ENOMEM;
  argv[0] = (char *)"nfvrun";
  for (int i = 0; i < count; i++) argv[i + 1] = strdup(arguments[i]);

  cpu_set_t cpus;
  pthread_getaffinity_np(pthread_self(), sizeof cpus, &cpus);
  int result = rte_eal_init(count + 1, argv);
  // EAL pins its main thread, and the threads it starts would inherit that.
  pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus);
  int error = result < 0 ? (rte_errno != 0 ? -rte_errno : -EINVAL) : reserve_fields();
  // EAL keeps pointers into argv for as long as the process lives.
  return error;
}

void nfv_eal_cleanup(void) { rte_eal_cleanup(); }
uint64_t nfv_tsc_hz(void) { return rte_get_tsc_hz(); }

unsigned long nfv_free_huge_pages(void) {
  unsigned long free_pages = 0;
  char line[128];
  FILE *file = fopen("/proc/meminfo", "r");
  if (file == NULL) return 0;
  while (fgets(line, sizeof line, file) != NULL) {
    if (sscanf(line, "HugePages_Free: %lu", &free_pages) == 1) break;
  }
  fclose(file);
  return free_pages;
}

int nfv_thread_register(void) { return rte_lcore_id() != LCORE_ID_ANY || rte_thread_register() == 0 ? 0 : -rte_errno; }
void nfv_thread_unregister(void) {
  // EAL's own threads keep their identity: it would not be given back.
  unsigned lcore = rte_lcore_id();
  if (lcore != LCORE_ID_ANY && rte_eal_lcore_role(lcore) == ROLE_NON_EAL) rte_thread_unregister();
}

unsigned nfv_first_cpu(void) {
  cpu_set_t cpus;
  if (pthread_getaffinity_np(pthread_self(), sizeof cpus, &cpus) != 0) return 0;
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (CPU_ISSET(cpu, &cpus)) return cpu;
  }
  return 0;
}

int nfv_thread_pin(unsigned cpu) {
  if (cpu >= CPU_SETSIZE) return -EINVAL;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return -pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

void nfv_thread_name(const char *name) {
  char shortened[16];
  snprintf(shortened, sizeof shortened, "%s", name);
  pthread_setname_np(pthread_self(), shortened);
}

bool nfv_thread_wait(const int *descriptors, unsigned count, uint64_t nanoseconds) {
  struct pollfd polled[64];
  if (count > 64) count = 64;
  for (unsigned i = 0; i < count; i++) polled[i] = (struct pollfd){.fd = descriptors[i], .events = POLLIN};
  struct timespec time = {.tv_sec = (time_t)(nanoseconds / 1000000000), .tv_nsec = (long)(nanoseconds % 1000000000)};
  if (ppoll(polled, count, &time, NULL) <= 0) return false;
  for (unsigned i = 0; i < count; i++) {
    if ((polled[i].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) return true;
  }
  return false;
}

int nfv_event_make(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

void nfv_event_signal(int descriptor) { (void)eventfd_write(descriptor, 1); }

void nfv_event_clear(int descriptor) {
  eventfd_t count;
  (void)eventfd_read(descriptor, &count);
}

const char *nfv_strerror(int error) { return rte_strerror(error < 0 ? -error : error); }


// MARK: Pools and packets

_Thread_local uint64_t nfv_length_changes_word __attribute__((tls_model("initial-exec")));

/// What a pool keeps beside its buffers; DPDK's part stands first because rte_mbuf looks there for it.
struct pool_private {
  struct rte_pktmbuf_pool_private standard;
  uint64_t abandoned;
};

static struct pool_private *private_of(const struct rte_mempool *pool) {
  return rte_mempool_get_priv((struct rte_mempool *)(uintptr_t)pool);
}

static void unmap(struct rte_mempool_memhdr *memory, void *length) { munmap(memory->addr, (size_t)(uintptr_t)length); }

/// Populates a pool with anonymous memory, on huge pages of the kernel's own making where it has some, which takes no
/// set-up of the host. Returns how many objects were made, or a negative errno.
static int populate_anonymous(struct rte_mempool *pool) {
  const size_t page = 2u << 20;
  size_t least, alignment;
  ssize_t size = rte_mempool_op_calc_mem_size_default(pool, pool->size, 0, &least, &alignment);
  if (size < 0) return (int)size;
  size_t length = RTE_ALIGN_CEIL((size_t)size, page) + page;
  uint8_t *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return -errno;
  // The kernel gives huge pages for whole ones at whole addresses only.
  size_t before = RTE_PTR_ALIGN_CEIL(memory, page) - memory;
  if (before > 0) munmap(memory, before);
  memory += before;
  length -= before;
  madvise(memory, length, MADV_HUGEPAGE);
  int result = rte_mempool_populate_iova(
      pool, (char *)memory, (rte_iova_t)(uintptr_t)memory, length, unmap, (void *)(uintptr_t)length);
  if (result <= 0) munmap(memory, length);
  return result == 0 ? -ENOMEM : result;
}

nfv_pool *nfv_pool_create(const char *name, unsigned count, unsigned cache, uint16_t data_room, int *error) {
  struct rte_pktmbuf_pool_private standard = {.mbuf_data_room_size = (uint16_t)(data_room + RTE_PKTMBUF_HEADROOM)};
  unsigned size = (unsigned)sizeof(struct rte_mbuf) + standard.mbuf_data_room_size;
  // Without huge pages DPDK would give every packet a page of 4 KB to itself, so that no packet lies in two that a device
  // sees apart. There is no such device then; and headers that all have the same offset in a page share so few sets of
  // the first-level cache that every look at one is a miss.
  unsigned flags = rte_eal_has_hugepages() ? 0 : RTE_MEMPOOL_F_NO_IOVA_CONTIG;
  struct rte_mempool *pool =
      rte_mempool_create_empty(name, count, size, cache, sizeof(struct pool_private), SOCKET_ID_ANY, flags);
  if (pool == NULL) {
    *error = rte_errno;
    return NULL;
  }
  int result = rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), NULL);
  if (result == 0) {
    rte_pktmbuf_pool_init(pool, &standard);
    result = rte_eal_has_hugepages() ? rte_mempool_populate_default(pool) : populate_anonymous(pool);
  }
  if (result < 0) {
    rte_mempool_free(pool);
    *error = -result;
    return NULL;
  }
  private_of(pool)->abandoned = 0;
  rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
  return (nfv_pool *)pool;
}

void nfv_pool_destroy(nfv_pool *pool) { rte_mempool_free((struct rte_mempool *)pool); }
unsigned nfv_pool_available(const nfv_pool *pool) { return rte_mempool_avail_count((const struct rte_mempool *)pool); }
unsigned nfv_pool_capacity(const nfv_pool *pool) { return ((const struct rte_mempool *)pool)->size; }

bool nfv_alloc(nfv_pool *pool, nfv_mbuf **mbufs, unsigned count) {
  if (rte_pktmbuf_alloc_bulk((struct rte_mempool *)pool, theirs_array(mbufs), count) != 0) return false;
  for (unsigned i = 0; i < count; i++) {
    nfv_mbuf_reset(mbufs[i]);
    mbufs[i]->annotation = 0;
  }
  return true;
}

void nfv_free(nfv_mbuf **mbufs, unsigned count) { rte_pktmbuf_free_bulk(theirs_array(mbufs), count); }

nfv_mbuf *nfv_clone(nfv_mbuf *mbuf, nfv_pool *pool) {
  return (nfv_mbuf *)rte_pktmbuf_clone(theirs(mbuf), (struct rte_mempool *)pool);
}

/// `rte_pktmbuf_copy` takes an empty packet for a mistake.
static struct rte_mbuf *copy_all(const struct rte_mbuf *old, struct rte_mempool *pool) {
  if (old->pkt_len > 0) return rte_pktmbuf_copy(old, pool, 0, UINT32_MAX);
  struct rte_mbuf *copy = rte_pktmbuf_alloc(pool);
  if (copy != NULL) __rte_pktmbuf_copy_hdr(copy, old);
  return copy;
}

bool nfv_is_shared(const nfv_mbuf *mbuf) {
  for (const struct rte_mbuf *segment = (const struct rte_mbuf *)mbuf; segment != NULL; segment = segment->next) {
    if (!RTE_MBUF_DIRECT(segment) || rte_mbuf_refcnt_read(segment) != 1) return true;
  }
  return false;
}

bool nfv_make_writable(nfv_mbuf **mbuf, uint32_t length, nfv_pool *pool) {
  struct rte_mbuf *old = theirs(*mbuf);
  if (length > old->pkt_len) return false;
  if (!nfv_is_shared(*mbuf) && length <= old->data_len) return true;
  struct rte_mbuf *copy = copy_all(old, (struct rte_mempool *)pool);
  if (copy == NULL) return false;
  if (copy->data_len < length) {
    rte_pktmbuf_free(copy);
    return false;
  }
  rte_pktmbuf_free(old);
  *mbuf = (nfv_mbuf *)copy;
  return true;
}

bool nfv_pull_up(nfv_mbuf *mbuf, uint32_t length) {
  struct rte_mbuf *head = theirs(mbuf);
  if (length > head->pkt_len) length = head->pkt_len;
  if (length <= head->data_len) return true;
  uint16_t wanted = (uint16_t)(length - head->data_len);
  if (!RTE_MBUF_DIRECT(head) || rte_mbuf_refcnt_read(head) != 1 || rte_pktmbuf_tailroom(head) < wanted) return false;
  while (wanted > 0) {
    struct rte_mbuf *next = head->next;
    uint16_t part = next->data_len < wanted ? next->data_len : wanted;
    memcpy(rte_pktmbuf_mtod_offset(head, void *, head->data_len), rte_pktmbuf_mtod(next, void *), part);
    head->data_len += part;
    next->data_off += part;
    next->data_len -= part;
    wanted -= part;
    if (next->data_len == 0) {
      head->next = next->next;
      head->nb_segs--;
      next->next = NULL;
      next->nb_segs = 1;
      rte_pktmbuf_free_seg(next);
    }
  }
  return true;
}

bool nfv_chain(nfv_mbuf *head, nfv_mbuf *tail) {
  nfv_length_changed();
  return rte_pktmbuf_chain(theirs(head), theirs(tail)) == 0;
}

void nfv_truncate(nfv_mbuf *mbuf, uint32_t length) {
  struct rte_mbuf *head = theirs(mbuf);
  if (length >= head->pkt_len) return;
  nfv_length_changed();
  uint32_t left = length;
  uint16_t kept = 1;
  struct rte_mbuf *segment = head;
  while (segment->data_len < left) {
    left -= segment->data_len;
    segment = segment->next;
    kept++;
  }
  segment->data_len = (uint16_t)left;
  if (segment->next != NULL) {
    rte_pktmbuf_free(segment->next);
    segment->next = NULL;
  }
  head->nb_segs = kept;
  head->pkt_len = length;
}

bool nfv_read(const nfv_mbuf *mbuf, uint32_t offset, uint32_t length, void *out) {
  if (length == 0) return offset <= mbuf->packet_length;
  const void *found = rte_pktmbuf_read((const struct rte_mbuf *)mbuf, offset, length, out);
  if (found == NULL) return false;
  if (found != out) memcpy(out, found, length);
  return true;
}

bool nfv_write(nfv_mbuf *mbuf, const void *bytes, uint32_t length, nfv_pool *pool) {
  struct rte_mbuf *head = theirs(mbuf), *segment = head;
  const uint8_t *from = bytes;
  uint32_t left = length;
  nfv_length_changed();
  for (;;) {
    uint16_t room = rte_pktmbuf_tailroom(segment);
    uint16_t part = left < room ? (uint16_t)left : room;
    memcpy(rte_pktmbuf_mtod(segment, void *), from, part);
    segment->data_len = part;
    from += part;
    left -= part;
    if (left == 0) break;
    struct rte_mbuf *more = head->nb_segs == RTE_MBUF_MAX_NB_SEGS ? NULL : rte_pktmbuf_alloc((struct rte_mempool *)pool);
    if (more == NULL) {
      if (head->next != NULL) rte_pktmbuf_free(head->next);
      head->next = NULL;
      head->nb_segs = 1;
      head->data_len = 0;
      head->pkt_len = 0;
      return false;
    }
    segment->next = more;
    segment = more;
    head->nb_segs++;
  }
  head->pkt_len = length;
  return true;
}

void nfv_abandon(nfv_mbuf *mbuf) {
  __atomic_fetch_add(&private_of(mbuf->pool)->abandoned, 1, __ATOMIC_RELAXED);
  rte_pktmbuf_free(theirs(mbuf));
}

uint64_t nfv_pool_abandoned(const nfv_pool *pool) {
  return __atomic_load_n(&private_of((const struct rte_mempool *)pool)->abandoned, __ATOMIC_RELAXED);
}

// MARK: Ethernet devices

int nfv_device_find(const char *name) {
  uint16_t device;
  return rte_eth_dev_get_port_by_name(name, &device) == 0 ? device : -ENODEV;
}

int nfv_device_probe(const char *description) {
  struct rte_dev_iterator iterator;
  uint16_t device;
  int result = rte_dev_probe(description);
  if (result < 0 && result != -EEXIST) return result;
  char name[RTE_ETH_NAME_MAX_LEN];
  snprintf(name, sizeof name, "%.*s", (int)strcspn(description, ","), description);
  int found = nfv_device_find(name);
  if (found >= 0) return found;
  char matching[RTE_ETH_NAME_MAX_LEN + 8];
  snprintf(matching, sizeof matching, "%s", name);
  RTE_ETH_FOREACH_MATCHING_DEV(device, matching, &iterator) {
    rte_eth_iterator_cleanup(&iterator);
    return device;
  }
  return -ENODEV;
}

void nfv_device_remove(uint16_t device) {
  struct rte_eth_dev_info info;
  if (rte_eth_dev_info_get(device, &info) != 0) return;
  rte_eth_dev_stop(device);
  rte_eth_dev_close(device);
  if (info.device != NULL) rte_dev_remove(info.device);
}

int nfv_device_describe(uint16_t device, nfv_device_info *out) {
  struct rte_eth_dev_info info;
  struct rte_ether_addr address;
  int result = rte_eth_dev_info_get(device, &info);
  if (result != 0) return result;
  result = rte_eth_macaddr_get(device, &address);
  if (result != 0) return result;
  memset(out, 0, sizeof *out);
  snprintf(out->driver, sizeof out->driver, "%s", info.driver_name);
  out->max_rx_queues = info.max_rx_queues;
  out->max_tx_queues = info.max_tx_queues;
  out->min_mtu = info.min_mtu;
  out->max_mtu = info.max_mtu;
  for (int i = 0; i < RTE_ETHER_ADDR_LEN; i++) out->mac = out->mac << 8 | address.addr_bytes[i];
  return 0;
}

int nfv_device_start(uint16_t device, const nfv_device_settings *settings, nfv_pool *pool, const char **step) {
  struct rte_eth_dev_info info;
  *step = "describe";
  int result = rte_eth_dev_info_get(device, &info);
  if (result != 0) return result;

  struct rte_eth_conf configuration = {0};
  if (settings->rx_queues > 1 && (info.flow_type_rss_offloads & RTE_ETH_RSS_IP) != 0) {
    configuration.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    configuration.rx_adv_conf.rss_conf.rss_hf =
        info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
  }
  configuration.rxmode.offloads = info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
  configuration.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
  *step = "configure";
  result = rte_eth_dev_configure(device, settings->rx_queues, settings->tx_queues, &configuration);
  if (result != 0) return result;

  if (settings->mtu != 0) {
    *step = "set the MTU";
    result = rte_eth_dev_set_mtu(device, settings->mtu);
    if (result != 0) return result;
  }
  uint16_t rx = settings->rx_descriptors, tx = settings->tx_descriptors;
  if (rx == 0) rx = info.default_rxportconf.ring_size != 0 ? info.default_rxportconf.ring_size : 1024;
  if (tx == 0) tx = info.default_txportconf.ring_size != 0 ? info.default_txportconf.ring_size : 1024;
  *step = "adjust descriptors";
  result = rte_eth_dev_adjust_nb_rx_tx_desc(device, &rx, &tx);
  if (result != 0) return result;
  int socket = rte_eth_dev_socket_id(device);
  for (uint16_t queue = 0; queue < settings->rx_queues; queue++) {
    *step = "set up a receive queue";
    struct rte_eth_rxconf rxconf = info.default_rxconf;
    rxconf.offloads = configuration.rxmode.offloads;
    result = rte_eth_rx_queue_setup(device, queue, rx, (unsigned)socket, &rxconf, (struct rte_mempool *)pool);
    if (result != 0) return result;
  }
  for (uint16_t queue = 0; queue < settings->tx_queues; queue++) {
    *step = "set up a transmit queue";
    struct rte_eth_txconf txconf = info.default_txconf;
    txconf.offloads = configuration.txmode.offloads;
    result = rte_eth_tx_queue_setup(device, queue, tx, (unsigned)socket, &txconf);
    if (result != 0) return result;
  }
  *step = "start";
  result = rte_eth_dev_start(device);
  if (result != 0) return result;
  if (settings->promiscuous) {
    *step = "enter promiscuous mode";
    result = rte_eth_promiscuous_enable(device);
    if (result == -ENOTSUP) result = 0;
  }
  return result;
}

int nfv_device_counters_read(uint16_t device, nfv_device_counters *counters) {
  struct rte_eth_stats stats;
  int result = rte_eth_stats_get(device, &stats);
  if (result != 0) return result;
  *counters = (nfv_device_counters){
      .rx_packets = stats.ipackets,
      .tx_packets = stats.opackets,
      .rx_bytes = stats.ibytes,
      .tx_bytes = stats.obytes,
      .rx_missed = stats.imissed,
      .rx_errors = stats.ierrors,
      .tx_errors = stats.oerrors,
      .rx_no_buffer = stats.rx_nombuf,
  };
  return 0;
}

uint16_t nfv_device_receive(uint16_t device, uint16_t queue, nfv_mbuf **mbufs, uint16_t count, uint64_t *bytes) {
  uint16_t received = rte_eth_rx_burst(device, queue, theirs_array(mbufs), count);
  uint64_t sum = 0;
  for (uint16_t i = 0; i < received; i++) {
    nfv_mbuf_reset(mbufs[i]);
    sum += mbufs[i]->packet_length;
  }
  *bytes += sum;
  return received;
}

uint16_t nfv_device_transmit(uint16_t device, uint16_t queue, nfv_mbuf **mbufs, uint16_t count) {
  return rte_eth_tx_burst(device, queue, theirs_array(mbufs), count);
}

// MARK: Quiescent-state reclamation

nfv_rcu *nfv_rcu_create(unsigned threads) {
  size_t size = rte_rcu_qsbr_get_memsize(threads);
  struct rte_rcu_qsbr *domain = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(size, RTE_CACHE_LINE_SIZE));
  if (domain == NULL) return NULL;
  if (rte_rcu_qsbr_init(domain, threads) != 0) {
    free(domain);
    return NULL;
  }
  return (nfv_rcu *)domain;
}

void nfv_rcu_destroy(nfv_rcu *rcu) { free(rcu); }

void nfv_rcu_online(nfv_rcu *rcu, unsigned thread) {
  rte_rcu_qsbr_thread_register((struct rte_rcu_qsbr *)rcu, thread);
  rte_rcu_qsbr_thread_online((struct rte_rcu_qsbr *)rcu, thread);
}

void nfv_rcu_offline(nfv_rcu *rcu, unsigned thread) {
  rte_rcu_qsbr_thread_offline((struct rte_rcu_qsbr *)rcu, thread);
  rte_rcu_qsbr_thread_unregister((struct rte_rcu_qsbr *)rcu, thread);
}

void nfv_rcu_quiescent(nfv_rcu *rcu, unsigned thread) { rte_rcu_qsbr_quiescent((struct rte_rcu_qsbr *)rcu, thread); }
void nfv_rcu_synchronize(nfv_rcu *rcu) { rte_rcu_qsbr_synchronize((struct rte_rcu_qsbr *)rcu, RTE_QSBR_THRID_INVALID); }

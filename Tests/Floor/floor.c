// The floor: what one core does when each network function is one hand-fused C loop over DPDK and nothing else.
// It is the yardstick that the framework's numbers are divided by, so it takes every liberty a specialised program
// may take and a framework may not: no graph, no counters beyond what it prints, one protocol, one output.
//
//     floor MODE [options]        (floor --help lists them)
//
// The traffic and the routes below are defined so that another program can make the very same ones.
// `floor frames` prints the frames and `floor prefixes` the routes, for comparing.
//
// FRAMES. Flow i (0 <= i < flows, at most 2^24 of them) is one 60-byte frame (64 on the wire, with the FCS):
//
//     destination MAC  02:00:00:00:00:01      source MAC  02:00:00:00:00:ff      EtherType 0x0800
//     IPv4             version 4, IHL 5, TOS 0, total length 46, identification 0, DF, TTL 64, protocol 17,
//                      header checksum right
//     source           172.16.0.0 + (i >> 4)  modulo 2^20       (172.16.0.0/12, sixteen flows a host)
//     destination      10.0.0.0 + (hash(i, 0x9E3779B1) >> 8)    (10.0.0.0/8)
//     UDP              source port 1024 + (i & 0x3fff), destination port 80, length 26, checksum 0 (none)
//     payload          18 bytes, each 0
//
// where hash(i, m) = i * m modulo 2^32. Frames leave the source round-robin: 0, 1, ..., flows - 1, 0, ...
// `--source null` puts the same frames into the buffers before the run, flow b in the b-th buffer of the pool, with
// TTL 255: the driver never writes to a buffer, so each comes back as it left. A router counts it down, and whoever
// finds it run out drops it, counts it as expired and winds it up again (one packet in 254).
//
// ROUTES. 10.0.0.0/8 goes to next hop 0, so that every frame has a route. Prefix j (0 <= j < prefixes) is
//
//     length           16 + j % 9                               (/16 to /24)
//     address          10.0.0.0 + (hash(j, 0x85EBCA6B) >> 8), the bits behind the length cleared
//     next hop         j % 16
//
// When two have the same address and length, the one with the greater j holds.
// Next hop k rewrites the destination MAC to 02:00:00:00:01:k and the source MAC to 02:00:00:00:00:02.
//
// RULES. Rule j (0 <= j < rules) looks at IPv4 packets, and the first that matches counts; what matches none is allowed:
//
//     protocol         17, or 6 when j % 8 = 7
//     source           172.16.0.0 + (hash(j, 0xC2B2AE35) >> 12), /(16 + j % 9)
//     destination      10.0.0.0 + (hash(j, 0x85EBCA6B) >> 8), /(12 + j % 13)
//     destination port any, 80, or 1024 to 65535, by j % 3
//     verdict          deny when j is odd, else allow

// BUFFERS. Compare programs only with buffers of one size (nfvrun's is `runtime: { buffer: N }`). How far apart buffers
// lie decides what the caches do: on an AMD Zen 4, 2,048 bytes and more apart costs up to 25 cycles a packet more than
// 1,984, which is `--buffer 1664`.

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <rte_acl.h>
#include <rte_branch_prediction.h>
#include <rte_byteorder.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_fib.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_vect.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FORCE_INLINE static inline __attribute__((always_inline))

enum { FRAME = 60, MAX_BURST = 512, NEXT_HOPS = 16, SLICES = 200, MAX_FLOWS = 1 << 24 };

// Offsets into a frame that begins with an untagged Ethernet header and an IPv4 header without options.
enum { ETHERTYPE = 12, IP = 14, TOTAL_LENGTH = 16, TTL = 22, PROTOCOL = 23, CHECKSUM = 24, SOURCE = 26,
       DESTINATION = 30, SOURCE_PORT = 34, DESTINATION_PORT = 36 };

enum mode { FORWARD, MACSWAP, ROUTER, BRANCH4, FIREWALL };
static const char *const modeNames[] = {"forward", "macswap", "router", "branch4", "firewall"};

enum source { SOURCE_NULL, SOURCE_TRAFFIC };
static const char *const sourceNames[] = {"null", "traffic"};

enum sink { SINK_NULL, SINK_FREE };
static const char *const sinkNames[] = {"null", "free"};

static struct {
  enum mode mode;
  enum source source;
  enum sink sink;
  unsigned burst, flows, prefixes, rules, pool, buffer, memory, core;
  double seconds;
  bool json, huge, scalar;
} options = {
    .mode = FORWARD, .source = SOURCE_NULL, .sink = SINK_NULL, .burst = 32, .flows = 65536, .prefixes = 1000, .rules = 100,
    .pool = 8191, .buffer = 2048, .memory = 256, .seconds = 2,
};

static struct rte_mempool *pool;
static struct rte_fib *fib;
static struct rte_acl_ctx *acl;

// What one run has done. `checked` sums what the branches of branch4 saw, so that no compiler may leave them out.
static struct { uint64_t packets, malformed, expired, unrouted, denied; uint64_t checked[4]; } count;

// MARK: Frames and routes

FORCE_INLINE uint32_t hash(uint32_t i, uint32_t multiplier) { return i * multiplier; }

FORCE_INLINE uint16_t load16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return v; }
FORCE_INLINE uint32_t load32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
FORCE_INLINE uint64_t load64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }
FORCE_INLINE void store16(uint8_t *p, uint16_t v) { memcpy(p, &v, 2); }
FORCE_INLINE void store32(uint8_t *p, uint32_t v) { memcpy(p, &v, 4); }
FORCE_INLINE void store64(uint8_t *p, uint64_t v) { memcpy(p, &v, 8); }

// 64 bytes so that copying it is whole vectors; a buffer has room for the four that are not part of the frame.
static _Alignas(64) uint8_t template[64] = {
    0x02, 0, 0, 0, 0, 0x01,  0x02, 0, 0, 0, 0, 0xff,  0x08, 0x00,
    0x45, 0, 0, 46,  0, 0, 0x40, 0,  64, 17, 0, 0,  0, 0, 0, 0,  0, 0, 0, 0,
    0, 0, 0, 80,  0, 26, 0, 0,
};

// The sum of the template's IPv4 header as 16-bit words in network order, with no addresses and no checksum.
static uint32_t templateSum;

static void prepareTemplate(uint8_t ttl) {
  template[TTL] = ttl;
  templateSum = 0;
  for (int i = IP; i < IP + 20; i += 2) templateSum += rte_be_to_cpu_16(load16(template + i));
}

FORCE_INLINE void writeFrame(uint8_t *frame, uint32_t flow) {
  uint32_t source = 0xac100000u + ((flow >> 4) & 0xfffff);
  uint32_t destination = 0x0a000000u + (hash(flow, 0x9E3779B1u) >> 8);
  uint32_t sum = templateSum + (source >> 16) + (source & 0xffff) + (destination >> 16) + (destination & 0xffff);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  memcpy(frame, template, 64);
  store16(frame + CHECKSUM, rte_cpu_to_be_16(~sum));
  store32(frame + SOURCE, rte_cpu_to_be_32(source));
  store32(frame + DESTINATION, rte_cpu_to_be_32(destination));
  store16(frame + SOURCE_PORT, rte_cpu_to_be_16(1024 + (flow & 0x3fff)));
}

struct route { uint32_t address; uint8_t length, nextHop; };

static struct route route(uint32_t j) {
  uint8_t length = 16 + j % 9;
  uint32_t address = 0x0a000000u + (hash(j, 0x85EBCA6Bu) >> 8);
  return (struct route){address & ~((1u << (32 - length)) - 1), length, j % NEXT_HOPS};
}

struct rule {
  uint32_t source, destination;
  uint16_t fromPort, toPort;
  uint8_t protocol, sourceLength, destinationLength;
  bool denies;
};

static struct rule rule(uint32_t j) {
  static const uint16_t ports[3][2] = {{0, 65535}, {80, 80}, {1024, 65535}};
  struct rule r = {.protocol = j % 8 == 7 ? 6 : 17, .sourceLength = 16 + j % 9, .destinationLength = 12 + j % 13,
                   .fromPort = ports[j % 3][0], .toPort = ports[j % 3][1], .denies = j % 2};
  r.source = (0xac100000u + (hash(j, 0xC2B2AE35u) >> 12)) & ~((1u << (32 - r.sourceLength)) - 1);
  r.destination = (0x0a000000u + (hash(j, 0x85EBCA6Bu) >> 8)) & ~((1u << (32 - r.destinationLength)) - 1);
  return r;
}

// The first 12 bytes of a frame to each next hop.
static _Alignas(16) uint8_t nextHopMACs[NEXT_HOPS][16];

static void prepareNextHops(void) {
  for (int k = 0; k < NEXT_HOPS; k++) {
    uint8_t macs[12] = {0x02, 0, 0, 0, 0x01, k, 0x02, 0, 0, 0, 0, 0x02};
    memcpy(nextHopMACs[k], macs, 12);
  }
}

// MARK: The functions

FORCE_INLINE void swapMACs(uint8_t *frame) {
  const __m128i order = _mm_set_epi8(15, 14, 13, 12, 5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6);
  __m128i *head = (__m128i *)frame;
  _mm_storeu_si128(head, _mm_shuffle_epi8(_mm_loadu_si128(head), order));
}

// Whether the packet is IPv4 that a router may forward (RFC 1812, 5.2.2), except for its TTL.
FORCE_INLINE bool isValid(const uint8_t *frame, uint32_t length) {
  if (unlikely(length < IP + 20 || load16(frame + ETHERTYPE) != rte_cpu_to_be_16(0x0800))) return false;
  const uint8_t *ip = frame + IP;
  uint32_t headerLength = (ip[0] & 15) * 4u;
  uint32_t totalLength = rte_be_to_cpu_16(load16(ip + 2));
  if (unlikely(ip[0] >> 4 != 4 || headerLength < 20 || totalLength < headerLength || totalLength > length - IP))
    return false;
  uint64_t sum = 0;
  for (uint32_t at = 0; at < 20; at += 4) sum += load32(ip + at);
  for (uint32_t at = 20; unlikely(at < headerLength); at += 4) sum += load32(ip + at);
  sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return likely(sum == 0xffff);
}

// RFC 1624, equation 3, for the one word that holds TTL and protocol.
FORCE_INLINE void decrementTTL(uint8_t *frame) {
  uint32_t sum = load16(frame + CHECKSUM) + (uint32_t)rte_cpu_to_be_16(0x0100);
  frame[TTL]--;
  store16(frame + CHECKSUM, sum + (sum >= 0xffff));
}

// Returns how many packets remain, at the front of the burst.
FORCE_INLINE uint16_t routeBurst(struct rte_mbuf **burst, uint16_t n) {
  uint32_t destinations[MAX_BURST];
  uint64_t nextHops[MAX_BURST];
  uint16_t good = 0;
  for (uint16_t i = 0; i < n; i++) {
    struct rte_mbuf *packet = burst[i];
    uint8_t *frame = rte_pktmbuf_mtod(packet, uint8_t *);
    if (unlikely(!isValid(frame, packet->data_len))) {
      count.malformed++;
      rte_pktmbuf_free(packet);
    } else if (unlikely(frame[TTL] <= 1)) {
      count.expired++;
      uint16_t was = load16(frame + TTL);
      frame[TTL] = 255;
      uint32_t sum = (uint16_t)~load16(frame + CHECKSUM) + (uint16_t)~was + (uint32_t)load16(frame + TTL);
      sum = (sum & 0xffff) + (sum >> 16);
      sum = (sum & 0xffff) + (sum >> 16);
      store16(frame + CHECKSUM, ~sum);
      rte_pktmbuf_free(packet);
    } else {
      burst[good] = packet;
      destinations[good] = rte_be_to_cpu_32(load32(frame + DESTINATION));
      good++;
    }
  }
  rte_fib_lookup_bulk(fib, destinations, nextHops, good);
  uint16_t routed = 0;
  for (uint16_t i = 0; i < good; i++) {
    struct rte_mbuf *packet = burst[i];
    if (unlikely(nextHops[i] >= NEXT_HOPS)) {
      count.unrouted++;
      rte_pktmbuf_free(packet);
      continue;
    }
    uint8_t *frame = rte_pktmbuf_mtod(packet, uint8_t *);
    decrementTTL(frame);
    memcpy(frame, nextHopMACs[nextHops[i]], 12);
    burst[routed++] = packet;
  }
  return routed;
}

// Four ways by the lowest two bits of the destination address, and together again, branch after branch.
FORCE_INLINE void branchBurst(struct rte_mbuf **burst, uint16_t n) {
  struct rte_mbuf *branches[4][MAX_BURST];
  uint16_t lengths[4] = {0};
  for (uint16_t i = 0; i < n; i++) {
    unsigned branch = rte_pktmbuf_mtod(burst[i], uint8_t *)[DESTINATION + 3] & 3;
    branches[branch][lengths[branch]++] = burst[i];
  }
  for (int branch = 0; branch < 4; branch++) {
    memcpy(burst, branches[branch], lengths[branch] * sizeof *burst);
    burst += lengths[branch];
    count.checked[branch] += lengths[branch];
  }
}

// Returns how many packets remain, at the front of the burst. What is no UDP or TCP over IPv4 without options is dropped:
// the rules know nothing else.
FORCE_INLINE uint16_t filterBurst(struct rte_mbuf **burst, uint16_t n) {
  const uint8_t *keys[MAX_BURST];
  uint32_t verdicts[MAX_BURST];
  uint16_t good = 0;
  for (uint16_t i = 0; i < n; i++) {
    struct rte_mbuf *packet = burst[i];
    const uint8_t *frame = rte_pktmbuf_mtod(packet, const uint8_t *);
    uint32_t length = packet->data_len;
    uint32_t total = rte_be_to_cpu_16(load16(frame + TOTAL_LENGTH));
    if (unlikely(length < IP + 28 || load16(frame + ETHERTYPE) != rte_cpu_to_be_16(0x0800) || frame[IP] != 0x45 ||
                 total < 28 || total > length - IP || (load16(frame + IP + 6) & rte_cpu_to_be_16(0x3fff)) != 0 ||
                 (frame[PROTOCOL] != 17 && frame[PROTOCOL] != 6))) {
      count.malformed++;
      rte_pktmbuf_free(packet);
      continue;
    }
    burst[good] = packet;
    keys[good++] = frame + PROTOCOL;
  }
  rte_acl_classify(acl, keys, verdicts, good, 1);
  uint16_t allowed = 0;
  for (uint16_t i = 0; i < good; i++) {
    // Verdicts are 1 + (rule << 1) + whether it denies, since 0 is no match.
    if (verdicts[i] != 0 && ((verdicts[i] - 1) & 1) != 0) {
      count.denied++;
      rte_pktmbuf_free(burst[i]);
    } else {
      burst[allowed++] = burst[i];
    }
  }
  return allowed;
}

// MARK: The loop

FORCE_INLINE void run(enum mode mode, enum source source, enum sink sink, uint64_t bursts, uint32_t *nextFlow) {
  struct rte_mbuf *burst[MAX_BURST];
  const uint16_t size = options.burst;
  const uint32_t flows = options.flows;
  uint32_t flow = *nextFlow;
  uint64_t packets = 0;
  while (bursts-- > 0) {
    uint16_t n = size;
    if (source == SOURCE_NULL) {
      n = rte_eth_rx_burst(0, 0, burst, size);
    } else {
      if (unlikely(rte_pktmbuf_alloc_bulk(pool, burst, size) != 0)) continue;
      for (uint16_t i = 0; i < size; i++) {
        burst[i]->data_len = FRAME;
        burst[i]->pkt_len = FRAME;
        writeFrame(rte_pktmbuf_mtod(burst[i], uint8_t *), flow);
        if (unlikely(++flow == flows)) flow = 0;
      }
    }
    packets += n;
    if (mode == MACSWAP) {
      for (uint16_t i = 0; i < n; i++) swapMACs(rte_pktmbuf_mtod(burst[i], uint8_t *));
    } else if (mode == ROUTER) {
      n = routeBurst(burst, n);
    } else if (mode == BRANCH4) {
      branchBurst(burst, n);
    } else if (mode == FIREWALL) {
      n = filterBurst(burst, n);
    }
    if (sink == SINK_NULL) {
      uint16_t sent = rte_eth_tx_burst(1, 0, burst, n);
      if (unlikely(sent < n)) rte_pktmbuf_free_bulk(burst + sent, n - sent);
    } else {
      rte_pktmbuf_free_bulk(burst, n);
    }
  }
  *nextFlow = flow;
  count.packets += packets;
}

// One function a combination, so that each loop has only its own work in it.
typedef void loop(uint64_t bursts, uint32_t *nextFlow);

#define LOOP(MODE, SOURCE, SINK) \
  static __attribute__((noinline)) void run_##MODE##_##SOURCE##_##SINK(uint64_t bursts, uint32_t *nextFlow) { \
    run(MODE, SOURCE, SINK, bursts, nextFlow); \
  }
#define LOOPS(MODE) \
  LOOP(MODE, SOURCE_NULL, SINK_NULL) LOOP(MODE, SOURCE_NULL, SINK_FREE) \
  LOOP(MODE, SOURCE_TRAFFIC, SINK_NULL) LOOP(MODE, SOURCE_TRAFFIC, SINK_FREE)
#define NAMES(MODE) \
  {{run_##MODE##_SOURCE_NULL_SINK_NULL, run_##MODE##_SOURCE_NULL_SINK_FREE}, \
   {run_##MODE##_SOURCE_TRAFFIC_SINK_NULL, run_##MODE##_SOURCE_TRAFFIC_SINK_FREE}}

LOOPS(FORWARD)
LOOPS(MACSWAP)
LOOPS(ROUTER)
LOOPS(BRANCH4)
LOOPS(FIREWALL)

static loop *const loops[5][2][2] = {NAMES(FORWARD), NAMES(MACSWAP), NAMES(ROUTER), NAMES(BRANCH4), NAMES(FIREWALL)};

// MARK: Set-up

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("floor: error: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  exit(2);
}

static void startEAL(void) {
  char core[16], memory[16];
  snprintf(core, sizeof core, "%u", options.core);
  snprintf(memory, sizeof memory, "%u", options.memory);
  char *arguments[24];
  int n = 0;
  arguments[n++] = "floor";
  arguments[n++] = "-l", arguments[n++] = core;
  arguments[n++] = "-m", arguments[n++] = memory;
  arguments[n++] = options.huge ? "--in-memory" : "--no-huge";
  arguments[n++] = "--no-shconf", arguments[n++] = "--no-pci", arguments[n++] = "--no-telemetry";
  arguments[n++] = "--log-level=lib.eal:error";
  arguments[n++] = "--vdev=net_null0,size=60,copy=0", arguments[n++] = "--vdev=net_null1,size=60,copy=0";
  if (!options.scalar) arguments[n++] = "--force-max-simd-bitwidth=512";
  if (rte_eal_init(n, arguments) < 0)
    fail("DPDK does not start: %s%s", rte_strerror(rte_errno), options.huge ? "; are there free huge pages?" : "");
}

static void startPorts(void) {
  for (uint16_t port = 0; port < 2; port++) {
    struct rte_eth_conf configuration = {0};
    if (rte_eth_dev_configure(port, 1, 1, &configuration) != 0 ||
        rte_eth_rx_queue_setup(port, 0, 512, SOCKET_ID_ANY, NULL, pool) != 0 ||
        rte_eth_tx_queue_setup(port, 0, 512, SOCKET_ID_ANY, NULL) != 0 || rte_eth_dev_start(port) != 0)
      fail("net_null port %u does not start", port);
  }
}

static void fillPool(void) {
  struct rte_mbuf **all = calloc(options.pool, sizeof *all);
  if (!all) fail("no memory for %u pointers", options.pool);
  unsigned n = 0;
  while (n < options.pool && (all[n] = rte_pktmbuf_alloc(pool)) != NULL) n++;
  for (unsigned b = 0; b < n; b++) writeFrame(rte_pktmbuf_mtod(all[b], uint8_t *), b % options.flows);
  for (unsigned b = 0; b < n; b++) rte_pktmbuf_free(all[b]);
  free(all);
}

static void loadRoutes(void) {
  struct rte_fib_conf configuration = {
      .type = RTE_FIB_DIR24_8,
      .default_nh = NEXT_HOPS,
      .max_routes = options.prefixes + 1,
      .dir24_8 = {.nh_sz = RTE_FIB_DIR24_8_4B, .num_tbl8 = 256},
  };
  fib = rte_fib_create("floor", SOCKET_ID_ANY, &configuration);
  if (!fib) fail("no table for %u prefixes: %s; try a greater --memory", options.prefixes, rte_strerror(rte_errno));
  int result = rte_fib_add(fib, 0x0a000000u, 8, 0);
  for (uint32_t j = 0; result == 0 && j < options.prefixes; j++) {
    struct route r = route(j);
    result = rte_fib_add(fib, r.address, r.length, r.nextHop);
  }
  if (result != 0) fail("a prefix is refused: %s", rte_strerror(-result));
}

RTE_ACL_RULE_DEF(aclRule, 5);

static void loadRules(void) {
  if (options.rules == 0) fail("--rules must be at least 1 for a firewall");
  static const struct rte_acl_field_def fields[5] = {
      {.type = RTE_ACL_FIELD_TYPE_BITMASK, .size = 1, .field_index = 0, .input_index = 0, .offset = 0},
      {.type = RTE_ACL_FIELD_TYPE_MASK, .size = 4, .field_index = 1, .input_index = 1, .offset = SOURCE - PROTOCOL},
      {.type = RTE_ACL_FIELD_TYPE_MASK, .size = 4, .field_index = 2, .input_index = 2,
       .offset = DESTINATION - PROTOCOL},
      {.type = RTE_ACL_FIELD_TYPE_RANGE, .size = 2, .field_index = 3, .input_index = 3,
       .offset = SOURCE_PORT - PROTOCOL},
      {.type = RTE_ACL_FIELD_TYPE_RANGE, .size = 2, .field_index = 4, .input_index = 3,
       .offset = DESTINATION_PORT - PROTOCOL},
  };
  struct rte_acl_param parameters = {
      .name = "floor", .socket_id = SOCKET_ID_ANY, .rule_size = RTE_ACL_RULE_SZ(5), .max_rule_num = options.rules};
  acl = rte_acl_create(&parameters);
  if (!acl) fail("no table for %u rules: %s; try a greater --memory", options.rules, rte_strerror(rte_errno));
  int result = 0;
  for (uint32_t j = 0; result == 0 && j < options.rules; j++) {
    struct rule r = rule(j);
    struct aclRule one = {
        .data = {.category_mask = 1, .priority = RTE_ACL_MAX_PRIORITY - (int32_t)j, .userdata = 1 + (j << 1) + r.denies},
        .field = {{.value.u8 = r.protocol, .mask_range.u8 = 0xff},
                  {.value.u32 = r.source, .mask_range.u32 = r.sourceLength},
                  {.value.u32 = r.destination, .mask_range.u32 = r.destinationLength},
                  {.value.u16 = 0, .mask_range.u16 = 0xffff},
                  {.value.u16 = r.fromPort, .mask_range.u16 = r.toPort}},
    };
    result = rte_acl_add_rules(acl, (struct rte_acl_rule *)&one, 1);
  }
  struct rte_acl_config configuration = {.num_categories = 1, .num_fields = 5, .max_size = 0};
  memcpy(configuration.defs, fields, sizeof fields);
  if (result == 0) result = rte_acl_build(acl, &configuration);
  if (result != 0) fail("the rules are refused: %s; try a greater --memory", rte_strerror(-result));
}

// MARK: Command line

static void printFrames(void) {
  prepareTemplate(64);
  for (uint32_t i = 0; i < options.flows; i++) {
    uint8_t frame[64];
    writeFrame(frame, i);
    for (int b = 0; b < FRAME; b++) printf("%02x", frame[b]);
    putchar('\n');
  }
}

static void printPrefixes(void) {
  puts("10.0.0.0/8 0");
  for (uint32_t j = 0; j < options.prefixes; j++) {
    struct route r = route(j);
    printf("%u.%u.%u.%u/%u %u\n", r.address >> 24, r.address >> 16 & 255, r.address >> 8 & 255, r.address & 255,
           r.length, r.nextHop);
  }
}

static void printRules(void) {
  for (uint32_t j = 0; j < options.rules; j++) {
    struct rule r = rule(j);
    uint32_t s = r.source, d = r.destination;
    printf("%s %s %u.%u.%u.%u/%u %u.%u.%u.%u/%u %u-%u\n", r.denies ? "deny" : "allow", r.protocol == 6 ? "tcp" : "udp",
           s >> 24, s >> 16 & 255, s >> 8 & 255, s & 255, r.sourceLength, d >> 24, d >> 16 & 255, d >> 8 & 255, d & 255,
           r.destinationLength, r.fromPort, r.toPort);
  }
}

static void printHelp(void) {
  puts("usage: floor MODE [options]\n\n"
       "modes\n"
       "  forward            port to port\n"
       "  macswap            port to port, MAC addresses exchanged\n"
       "  router             IPv4: header checked, rte_fib (DIR24-8), TTL and checksum, MAC addresses\n"
       "  branch4            four ways by a header byte, then together again\n"
       "  firewall           stateless: header lengths checked, rte_acl, allowed or dropped\n"
       "  frames             print the frame of each flow in hexadecimal, and end\n"
       "  prefixes           print the routes, and end\n"
       "  rules              print the firewall's rules, and end\n\n"
       "options\n"
       "  --source KIND      null: net_null, buffers filled beforehand (default)\n"
       "                     traffic: each frame written anew, flow after flow\n"
       "  --sink KIND        null: net_null (default); free: straight back to the pool\n"
       "  --burst N          packets a burst, 1 to 512 (default 32)\n"
       "  --flows N          flows, 1 to 16777216 (default 65536)\n"
       "  --prefixes N       routes besides 10.0.0.0/8 (default 1000)\n"
       "  --rules N          rules of the firewall (default 100)\n"
       "  --seconds S        how long to measure, after a tenth of it to warm up (default 2)\n"
       "  --pool N           packet buffers (default 8191)\n"
       "  --buffer N         bytes a buffer holds behind its headroom (default 2048, as nfvrun's are)\n"
       "  --core N           core to run on (default 0)\n"
       "  --memory MB        memory for DPDK (default 256)\n"
       "  --huge             in huge pages, which must be there\n"
       "  --scalar           rte_fib and rte_acl without AVX-512\n"
       "  --json             one JSON object instead of key=value\n\n"
       "It prints cycles_per_packet over the whole time, and best_cycles_per_packet in the best two-hundredth of it:\n"
       "compare the best ones when the machine is not yours alone. Cycles are the TSC's.");
}

static unsigned parse(const char *name, const char *text, unsigned long least, unsigned long most) {
  char *end;
  errno = 0;
  unsigned long value = strtoul(text, &end, 10);
  if (errno != 0 || end == text || *end != 0 || *text == '-' || value < least || value > most)
    fail("--%s is %s, but must be a number from %lu to %lu", name, text, least, most);
  return value;
}

static unsigned choose(const char *what, const char *text, const char *const *names, unsigned n) {
  for (unsigned i = 0; i < n; i++)
    if (strcmp(text, names[i]) == 0) return i;
  fail("%s is no %s; see floor --help", text, what);
}

int main(int argc, char **argv) {
  static const struct option known[] = {
      {"source", required_argument, 0, 's'}, {"sink", required_argument, 0, 'k'},
      {"burst", required_argument, 0, 'b'}, {"flows", required_argument, 0, 'f'},
      {"prefixes", required_argument, 0, 'p'}, {"rules", required_argument, 0, 'r'}, {"seconds", required_argument, 0, 't'},
      {"pool", required_argument, 0, 'o'}, {"buffer", required_argument, 0, 'u'}, {"core", required_argument, 0, 'c'},
      {"memory", required_argument, 0, 'm'}, {"huge", no_argument, 0, 'g'},
      {"scalar", no_argument, 0, 'a'}, {"json", no_argument, 0, 'j'}, {"help", no_argument, 0, 'h'}, {0},
  };
  for (int key; (key = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
    switch (key) {
    case 's': options.source = choose("source", optarg, sourceNames, 2); break;
    case 'k': options.sink = choose("sink", optarg, sinkNames, 2); break;
    case 'b': options.burst = parse("burst", optarg, 1, MAX_BURST); break;
    case 'f': options.flows = parse("flows", optarg, 1, MAX_FLOWS); break;
    case 'p': options.prefixes = parse("prefixes", optarg, 0, 1 << 22); break;
    case 'r': options.rules = parse("rules", optarg, 0, 1 << 20); break;
    case 't': options.seconds = atof(optarg); break;
    case 'o': options.pool = parse("pool", optarg, 2 * MAX_BURST, 1 << 22); break;
    case 'u': options.buffer = parse("buffer", optarg, 256, 65000); break;
    case 'c': options.core = parse("core", optarg, 0, RTE_MAX_LCORE - 1); break;
    case 'm': options.memory = parse("memory", optarg, 32, 1 << 20); break;
    case 'g': options.huge = true; break;
    case 'a': options.scalar = true; break;
    case 'j': options.json = true; break;
    case 'h': printHelp(); return 0;
    default: return 2;
    }
  }
  if (optind + 1 != argc) fail("give one mode; see floor --help");
  const char *mode = argv[optind];
  if (strcmp(mode, "frames") == 0) return printFrames(), 0;
  if (strcmp(mode, "prefixes") == 0) return printPrefixes(), 0;
  if (strcmp(mode, "rules") == 0) return printRules(), 0;
  options.mode = choose("mode", mode, modeNames, 5);
  if (!(options.seconds > 0)) fail("--seconds must be more than 0");

  startEAL();
  pool = rte_pktmbuf_pool_create("floor", options.pool, 256, 0, RTE_PKTMBUF_HEADROOM + options.buffer, SOCKET_ID_ANY);
  if (!pool) fail("no %u packet buffers: %s; try a greater --memory", options.pool, rte_strerror(rte_errno));
  startPorts();
  prepareNextHops();
  prepareTemplate(options.source == SOURCE_NULL ? 255 : 64);
  fillPool();
  if (options.mode == ROUTER) loadRoutes();
  if (options.mode == FIREWALL) loadRules();

  loop *run = loops[options.mode][options.source][options.sink];
  const uint64_t hz = rte_get_tsc_hz();
  const uint64_t slice = options.seconds * hz / SLICES;
  const uint64_t bursts = 1 + 8192 / options.burst;   // between two looks at the clock
  uint32_t nextFlow = 0;
  for (uint64_t start = rte_rdtsc(); rte_rdtsc() - start < SLICES / 10 * slice;) run(bursts, &nextFlow);

  memset(&count, 0, sizeof count);
  double best = 0;
  uint64_t cycles = 0;
  for (int s = 0; s < SLICES; s++) {
    uint64_t before = count.packets, start = rte_rdtsc(), now;
    do run(bursts, &nextFlow);
    while ((now = rte_rdtsc()) - start < slice);
    cycles += now - start;
    double perPacket = (double)(now - start) / (count.packets - before);
    if (best == 0 || perPacket < best) best = perPacket;
  }
  unsigned held = rte_mempool_in_use_count(pool);
  double perPacket = (double)cycles / count.packets;
  double mpps = (double)count.packets * hz / cycles / 1e6;

  const char *format = options.json
      ? "{\"mode\":\"%s\",\"source\":\"%s\",\"sink\":\"%s\",\"burst\":%u,\"flows\":%u,\"prefixes\":%u,\"rules\":%u,"
        "\"cycles_per_packet\":%.2f,\"best_cycles_per_packet\":%.2f,\"mpps\":%.2f,\"best_mpps\":%.2f,"
        "\"packets\":%" PRIu64 ",\"malformed\":%" PRIu64 ",\"expired\":%" PRIu64 ",\"unrouted\":%" PRIu64
        ",\"denied\":%" PRIu64 ",\"held\":%u,\"tsc_mhz\":%.0f}\n"
      : "mode=%s source=%s sink=%s burst=%u flows=%u prefixes=%u rules=%u "
        "cycles_per_packet=%.2f best_cycles_per_packet=%.2f mpps=%.2f best_mpps=%.2f "
        "packets=%" PRIu64 " malformed=%" PRIu64 " expired=%" PRIu64 " unrouted=%" PRIu64
        " denied=%" PRIu64 " held=%u tsc_mhz=%.0f\n";
  printf(format, modeNames[options.mode], sourceNames[options.source], sinkNames[options.sink], options.burst,
         options.flows, options.mode == ROUTER ? options.prefixes : 0, options.mode == FIREWALL ? options.rules : 0, perPacket, best, mpps, hz / best / 1e6,
         count.packets, count.malformed, count.expired, count.unrouted, count.denied, held, hz / 1e6);
  return 0;
}

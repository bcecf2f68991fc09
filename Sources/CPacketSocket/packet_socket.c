#define _GNU_SOURCE
#include "packet_socket.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "coalesce.h"
#include "segment.h"

#ifndef PACKET_FANOUT_FLAG_IGNORE_OUTGOING
#define PACKET_FANOUT_FLAG_IGNORE_OUTGOING 0x4000
#endif

// Receiving uses TPACKET_V2, whose frames are seen the moment they arrive: over veth, 5 us after they were sent
// (median; 17 to 23 us at the 99th percentile). TPACKET_V3 hands over a block when it is full or its timer runs out:
// 0.4 to 0.5 ms and 1.0 ms with the shortest timer, and that at each hop.
//
// A slot holds a frame of the MTU. Longer ones, super-frames above all, are cut off in the ring and kept whole on the
// socket's queue (PACKET_COPY_THRESH), in the ring's order, where recv(2) gets them: one system call and one copy for
// some 45 frames. Slots of 64 KB would spread short frames over memory that no cache holds.
//
// Transmitting uses sendmmsg(2), not a ring: packets are gathered from their buffers without a copy in user space, and
// nothing stays behind in a ring when the interface goes down. It takes less time, too: over veth, 1.1 us a packet, of
// 60 or 1514 bytes, against 1.2 and 1.3. It has a socket of its own, without the offload header.

enum {
  OFFLOAD_HEADER = sizeof(struct virtio_net_hdr),
  ADDRESS_OFFSET = TPACKET_ALIGN(sizeof(struct tpacket2_hdr)),
  /// Where the kernel puts a frame into its slot, without PACKET_RESERVE.
  FRAME_OFFSET = TPACKET_ALIGN(TPACKET2_HDRLEN + 16) + OFFLOAD_HEADER - ETH_HLEN,
  TAG = 4,
  /// Tags that a frame of the MTU may carry in its slot.
  TAGS_IN_SLOT = 4,
  BLOCK_SIZE = 1 << 18,
  RING_SIZE = 16 << 20,
  RING_FRAMES = 4096,
  RING_FRAMES_LEAST = 512,
  RING_FRAMES_MOST = 1 << 20,
  /// Linux makes super-frames of 8 * 65535 bytes at most.
  LONGEST_FRAME = 8 * 65536 + 1024,
  RECEIVE_BUFFER = 32 << 20,
  SEND_BUFFER = 4 << 20,
  BURST = 256,
  PARTS = 1024,
  LOOK_AHEAD = 32,
  /// In hundredths of a second.
  COALESCE_PAUSE = 100,
};

struct nfv_packet_socket {
  // Receiving
  uint8_t *ring;
  uint8_t *slot;
  uint32_t slot_in_block;
  uint32_t block;
  uint32_t slot_size;
  uint32_t slots_per_block;
  uint32_t blocks;
  int rx;
  /// The slot must not go back to the kernel before the segmenter is done with it.
  bool slot_is_segmented;
  uint8_t *oversized;
  uint8_t *assembled;

  // Transmitting
  int tx;
  uint32_t mtu;
  uint64_t looked_at_interface;
  bool carrier_lost;
  uint8_t *gathered;
  struct mmsghdr *messages;
  struct iovec *parts;
  /// What each message stands for; without coalescing, one packet and no offload header.
  nfv_run *runs;
  uint16_t *packets;
  bool coalesce;
  /// Until when to leave it, because the interface refused a super-frame.
  uint64_t coalesce_again;

  int interface_index;
  uint16_t fanout_group;
  char interface[IFNAMSIZ];
  size_t ring_size;
  /// A hundredth of a second.
  uint64_t check_interval;
  nfv_packet_socket_counters counters;
  nfv_segmenter segmenter;
};

static void count(uint64_t *counter, uint64_t more) { nfv_store_relaxed(counter, nfv_load_relaxed(counter) + more); }

// MARK: The interface

/// Asks about the interface. The name may meanwhile belong to another interface, so it is looked at first.
static int ask_interface(const nfv_packet_socket *socket, unsigned long request, struct ifreq *answer) {
  memset(answer, 0, sizeof *answer);
  memcpy(answer->ifr_name, socket->interface, IFNAMSIZ);
  if (ioctl(socket->tx, SIOCGIFINDEX, answer) != 0) return -errno;
  if (answer->ifr_ifindex != socket->interface_index) return -ENODEV;
  return ioctl(socket->tx, request, answer) != 0 ? -errno : 0;
}

int nfv_packet_socket_mtu(const nfv_packet_socket *socket) {
  struct ifreq answer;
  int error = ask_interface(socket, SIOCGIFMTU, &answer);
  return error != 0 ? error : answer.ifr_mtu;
}

bool nfv_packet_socket_mac(const nfv_packet_socket *socket, uint64_t *mac) {
  struct ifreq answer;
  if (ask_interface(socket, SIOCGIFHWADDR, &answer) != 0) return false;
  uint64_t address = 0;
  for (int i = 0; i < ETH_ALEN; i++) address = address << 8 | (uint8_t)answer.ifr_hwaddr.sa_data[i];
  *mac = address;
  return true;
}

bool nfv_packet_socket_link(const nfv_packet_socket *socket) {
  struct ifreq answer;
  if (ask_interface(socket, SIOCGIFFLAGS, &answer) != 0) return false;
  return (answer.ifr_flags & IFF_UP) != 0 && (answer.ifr_flags & IFF_RUNNING) != 0;
}

int nfv_packet_socket_descriptor(const nfv_packet_socket *socket) { return socket->rx; }
uint16_t nfv_packet_socket_fanout_group(const nfv_packet_socket *socket) { return socket->fanout_group; }

int nfv_packet_socket_clear_error(nfv_packet_socket *socket) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(socket->rx, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return -errno;
  return -error;
}

void nfv_packet_socket_counters_read(nfv_packet_socket *socket, nfv_packet_socket_counters *counters) {
  // Reading the kernel's number sets it to 0, and several threads may read.
  struct tpacket_stats kernel;
  socklen_t size = sizeof kernel;
  if (getsockopt(socket->rx, SOL_PACKET, PACKET_STATISTICS, &kernel, &size) == 0) {
    __atomic_fetch_add(&socket->counters.rx_kernel_dropped, kernel.tp_drops, __ATOMIC_RELAXED);
  }
  const uint64_t *from = (const uint64_t *)&socket->counters;
  uint64_t *to = (uint64_t *)counters;
  for (size_t i = 0; i < sizeof *counters / sizeof *to; i++) to[i] = nfv_load_relaxed(from + i);
}

// MARK: Opening

typedef struct report {
  char *text;
  size_t size;
} report;

__attribute__((format(printf, 2, 3))) static void say(report report, const char *format, ...) {
  if (report.size == 0) return;
  size_t length = strlen(report.text);
  if (length > 0 && length + 2 < report.size) length += (size_t)snprintf(report.text + length, 3, "; ");
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(report.text + length, report.size - length, format, arguments);
  va_end(arguments);
}

static void list_interfaces(char *list, size_t size) {
  struct if_nameindex *all = if_nameindex();
  size_t length = 0;
  list[0] = 0;
  for (struct if_nameindex *one = all; one != NULL && one->if_index != 0 && length + 1 < size; one++) {
    int written = snprintf(list + length, size - length, "%s%s", length == 0 ? "" : ", ", one->if_name);
    if (written < 0) break;
    length += (size_t)written;
  }
  if (all != NULL) if_freenameindex(all);
}

static int open_socket(int protocol, const char *interface, report report) {
  int descriptor = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, protocol);
  if (descriptor >= 0) return descriptor;
  int error = errno;
  if (error == EPERM || error == EACCES) {
    say(report,
        "%s: no permission to open a packet socket; run as root, or allow the program: "
        "setcap cap_net_raw,cap_net_admin+ep PROGRAM",
        interface);
  } else if (error == EAFNOSUPPORT) {
    say(report, "%s: this kernel has no packet sockets; load them: modprobe af_packet", interface);
  } else {
    say(report, "%s: cannot open a packet socket: %s%s", interface, strerror(error),
        error == EMFILE || error == ENFILE ? "; raise the limit on open files: ulimit -n" : "");
  }
  return -1;
}

/// Sets a buffer size beyond the system's limit when privileged, else up to that. Returns what there is, in bytes.
static int set_buffer(int descriptor, int forced, int plain, int size) {
  if (setsockopt(descriptor, SOL_SOCKET, forced, &size, sizeof size) != 0) {
    setsockopt(descriptor, SOL_SOCKET, plain, &size, sizeof size);
  }
  int found = 0;
  socklen_t length = sizeof found;
  getsockopt(descriptor, SOL_SOCKET, plain, &found, &length);
  // The kernel doubles what is asked, for its own overhead.
  return found / 2;
}

static bool bind_to(int descriptor, int interface_index, uint16_t protocol) {
  struct sockaddr_ll address = {
      .sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = interface_index};
  return bind(descriptor, (const struct sockaddr *)&address, sizeof address) == 0;
}

static bool join_fanout(nfv_packet_socket *self, const nfv_packet_socket_settings *settings, report report) {
  int flags = PACKET_FANOUT_FLAG_IGNORE_OUTGOING;
  if (settings->fanout_group == 0) flags |= PACKET_FANOUT_FLAG_UNIQUEID;
  // Kernels before 5.17 do not know the first flag. Outgoing frames are also sorted out at receipt.
  for (;;) {
    int option = settings->fanout_group | (PACKET_FANOUT_HASH | flags) << 16;
    if (setsockopt(self->rx, SOL_PACKET, PACKET_FANOUT, &option, sizeof option) == 0) break;
    if (errno == EINVAL && (flags & PACKET_FANOUT_FLAG_IGNORE_OUTGOING) != 0) {
      flags &= ~PACKET_FANOUT_FLAG_IGNORE_OUTGOING;
      continue;
    }
    if (errno == ENOSPC) {
      say(report, "%s: too many queues: the kernel spreads an interface's traffic over 256 sockets; use fewer queues",
          self->interface);
    } else if (errno == EINVAL || errno == EALREADY) {
      say(report,
          "%s: fanout group %u is used otherwise (another interface, or another way to spread); choose another number",
          self->interface, settings->fanout_group);
    } else {
      say(report, "%s: cannot share traffic with other queues: %s; use 1 queue", self->interface, strerror(errno));
    }
    return false;
  }
  int joined = 0;
  socklen_t size = sizeof joined;
  if (getsockopt(self->rx, SOL_PACKET, PACKET_FANOUT, &joined, &size) == 0) self->fanout_group = (uint16_t)joined;
  return true;
}

static bool set_up_ring(nfv_packet_socket *self, uint32_t wanted, report report) {
  uint32_t longest = FRAME_OFFSET + ETH_HLEN + TAGS_IN_SLOT * TAG + self->mtu;
  self->slot_size = (longest + 63) / 64 * 64;
  uint32_t block = BLOCK_SIZE;
  while (block < self->slot_size) block *= 2;
  self->slots_per_block = block / self->slot_size;

  uint32_t frames = wanted;
  if (frames == 0) {
    frames = RING_SIZE / self->slot_size;
    if (frames > RING_FRAMES) frames = RING_FRAMES;
    if (frames < RING_FRAMES_LEAST) frames = RING_FRAMES_LEAST;
  }
  if (frames > RING_FRAMES_MOST) {
    say(report, "%s: a ring of %u frames is too long; ask for %d at most", self->interface, frames, RING_FRAMES_MOST);
    return false;
  }
  self->blocks = (frames + self->slots_per_block - 1) / self->slots_per_block;
  struct tpacket_req request = {
      .tp_block_size = block,
      .tp_block_nr = self->blocks,
      .tp_frame_size = self->slot_size,
      .tp_frame_nr = self->blocks * self->slots_per_block,
  };
  self->ring_size = (size_t)block * self->blocks;
  if (setsockopt(self->rx, SOL_PACKET, PACKET_RX_RING, &request, sizeof request) != 0) {
    say(report, "%s: cannot make a receive ring of %u frames, %zu KB: %s; ask for fewer frames or fewer queues",
        self->interface, frames, self->ring_size / 1024, strerror(errno));
    return false;
  }
  void *ring = mmap(NULL, self->ring_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, self->rx, 0);
  if (ring == MAP_FAILED) {
    say(report, "%s: cannot map the receive ring of %zu KB: %s; ask for fewer frames or fewer queues", self->interface,
        self->ring_size / 1024, strerror(errno));
    return false;
  }
  self->ring = ring;
  self->slot = ring;
  return true;
}

static bool set_option(
    nfv_packet_socket *self, int descriptor, int option, int value, const char *what, report report) {
  if (setsockopt(descriptor, SOL_PACKET, option, &value, sizeof value) == 0) return true;
  say(report, "%s: this kernel does not offer %s (%s); use Linux 4.20 or later", self->interface, what,
      strerror(errno));
  return false;
}

static bool find_interface(nfv_packet_socket *self, report report) {
  struct ifreq answer = {0};
  memcpy(answer.ifr_name, self->interface, IFNAMSIZ);
  if (ioctl(self->tx, SIOCGIFINDEX, &answer) != 0) {
    char list[512];
    list_interfaces(list, sizeof list);
    say(report, "no interface %s in this network namespace; there are %s; see them by: ip link", self->interface, list);
    return false;
  }
  self->interface_index = answer.ifr_ifindex;
  if (ask_interface(self, SIOCGIFHWADDR, &answer) != 0) {
    say(report, "%s: the interface went away; see those there are by: ip link", self->interface);
    return false;
  }
  unsigned short type = answer.ifr_hwaddr.sa_family;
  if (type != ARPHRD_ETHER && type != ARPHRD_LOOPBACK) {
    say(report, "%s: not an Ethernet interface (link type %u); use one that `ip link` shows as link/ether",
        self->interface, type);
    return false;
  }
  int mtu = nfv_packet_socket_mtu(self);
  if (mtu < 0) {
    say(report, "%s: cannot read the MTU: %s", self->interface, strerror(-mtu));
    return false;
  }
  self->mtu = (uint32_t)mtu;
  return true;
}

static bool set_up(nfv_packet_socket *self, const nfv_packet_socket_settings *settings, report report) {
  self->tx = open_socket(0, self->interface, report);
  if (self->tx < 0 || !find_interface(self, report)) return false;
  self->rx = open_socket(0, self->interface, report);
  if (self->rx < 0) return false;

  self->oversized = malloc(OFFLOAD_HEADER + LONGEST_FRAME);
  self->assembled = malloc(LONGEST_FRAME + NFV_SEGMENT_HEADERS);
  self->gathered = malloc(LONGEST_FRAME);
  self->messages = calloc(BURST, sizeof *self->messages);
  self->parts = calloc(PARTS, sizeof *self->parts);
  self->packets = calloc(BURST, sizeof *self->packets);
  self->coalesce = settings->coalesce;
  if (self->coalesce) self->runs = calloc(BURST, sizeof *self->runs);
  if (self->oversized == NULL || self->assembled == NULL || self->gathered == NULL || self->messages == NULL ||
      self->parts == NULL || self->packets == NULL || (self->coalesce && self->runs == NULL)) {
    say(report, "%s: out of memory", self->interface);
    return false;
  }

  if (!set_option(self, self->rx, PACKET_VERSION, TPACKET_V2, "TPACKET_V2", report) ||
      !set_option(self, self->rx, PACKET_VNET_HDR, 1, "offload headers (PACKET_VNET_HDR)", report) ||
      !set_option(self, self->rx, PACKET_COPY_THRESH, 1, "PACKET_COPY_THRESH", report) ||
      !set_option(self, self->rx, PACKET_IGNORE_OUTGOING, 1, "PACKET_IGNORE_OUTGOING", report) ||
      !set_option(self, self->tx, PACKET_QDISC_BYPASS, 1, "PACKET_QDISC_BYPASS", report) ||
      !set_option(self, self->tx, PACKET_VNET_HDR, self->coalesce, "offload headers (PACKET_VNET_HDR)", report) ||
      !set_up_ring(self, settings->rx_frames, report)) {
    return false;
  }
  int buffer = set_buffer(self->rx, SO_RCVBUFFORCE, SO_RCVBUF, RECEIVE_BUFFER);
  set_buffer(self->tx, SO_SNDBUFFORCE, SO_SNDBUF, SEND_BUFFER);

  if (settings->promiscuous) {
    struct packet_mreq membership = {.mr_ifindex = self->interface_index, .mr_type = PACKET_MR_PROMISC};
    if (setsockopt(self->rx, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof membership) != 0) {
      say(report, "%s: cannot enter promiscuous mode: %s; open it without", self->interface, strerror(errno));
      return false;
    }
  }
  // The socket that sends is bound to no protocol, so it receives nothing.
  if (!bind_to(self->tx, self->interface_index, 0) || !bind_to(self->rx, self->interface_index, ETH_P_ALL)) {
    say(report, "%s: cannot bind to the interface: %s; see it by: ip link show %s", self->interface, strerror(errno),
        self->interface);
    return false;
  }
  if (settings->fanout && !join_fanout(self, settings, report)) return false;
  nfv_packet_socket_clear_error(self);

  struct ifreq answer;
  if (ask_interface(self, SIOCGIFFLAGS, &answer) == 0 && (answer.ifr_flags & IFF_UP) == 0) {
    say(report, "%s is down; bring it up: ip link set %s up", self->interface, self->interface);
  }
  if (buffer < RECEIVE_BUFFER) {
    say(report,
        "%s: the receive buffer is %d KB, and large TCP transfers may lose super-frames; "
        "add the capability cap_net_admin, or: sysctl -w net.core.rmem_max=%d",
        self->interface, buffer / 1024, RECEIVE_BUFFER);
  }
  return true;
}

nfv_packet_socket *nfv_packet_socket_open(
    const nfv_packet_socket_settings *settings, char *message, size_t message_size) {
  report report = {message, message_size};
  if (message_size > 0) message[0] = 0;
  size_t length = settings->interface == NULL ? 0 : strlen(settings->interface);
  if (length == 0 || length >= IFNAMSIZ) {
    say(report, "`%s` is no interface name: those have 1 to %d characters; see them by: ip link",
        length == 0 ? "" : settings->interface, IFNAMSIZ - 1);
    return NULL;
  }
  nfv_packet_socket *self = aligned_alloc(64, (sizeof *self + 63) / 64 * 64);
  if (self == NULL) {
    say(report, "%s: out of memory", settings->interface);
    return NULL;
  }
  memset(self, 0, sizeof *self);
  self->rx = -1;
  self->tx = -1;
  memcpy(self->interface, settings->interface, length);
  self->check_interval = nfv_tsc_hz() / 100;
  if (!set_up(self, settings, report)) {
    nfv_packet_socket_close(self);
    return NULL;
  }
  return self;
}

void nfv_packet_socket_close(nfv_packet_socket *socket) {
  if (socket == NULL) return;
  if (socket->ring != NULL) munmap(socket->ring, socket->ring_size);
  if (socket->rx >= 0) close(socket->rx);
  if (socket->tx >= 0) close(socket->tx);
  free(socket->oversized);
  free(socket->assembled);
  free(socket->gathered);
  free(socket->messages);
  free(socket->parts);
  free(socket->runs);
  free(socket->packets);
  free(socket);
}

// MARK: Receiving

/// The caller's array while it is filled: packets, then empty buffers, then nothing.
typedef struct filling {
  nfv_mbuf **mbufs;
  uint16_t count;
  uint16_t filled;
  uint16_t allocated;
  nfv_pool *pool;
  uint64_t bytes;
} filling;

static bool reserve(nfv_packet_socket *self, filling *to, uint32_t hint) {
  if (to->filled < to->allocated) return true;
  uint32_t wanted = (uint32_t)(to->count - to->filled);
  if (wanted > hint) wanted = hint;
  while (wanted > 0 && !nfv_alloc(to->pool, to->mbufs + to->filled, wanted)) wanted /= 2;
  if (wanted == 0) {
    count(&self->counters.rx_starved, 1);
    return false;
  }
  to->allocated += (uint16_t)wanted;
  return true;
}

static uint32_t room(const nfv_mbuf *mbuf) { return (uint32_t)(mbuf->buffer_length - mbuf->data_offset); }

static void accept_packet(filling *to, nfv_mbuf *mbuf, uint32_t length) {
  mbuf->data_length = (uint16_t)length;
  mbuf->packet_length = length;
  to->bytes += length;
  to->filled++;
}

/// Fills the next packet from `assembled`, over several buffers.
static void accept_long(nfv_packet_socket *self, filling *to, uint32_t length) {
  nfv_mbuf *mbuf = to->mbufs[to->filled];
  if (nfv_write(mbuf, self->assembled, length, to->pool)) {
    to->bytes += length;
    to->filled++;
  } else {
    count(&self->counters.rx_no_buffer, 1);
  }
}

static struct tpacket2_hdr *header_of(uint8_t *slot) { return (struct tpacket2_hdr *)slot; }

static bool is_ready(uint8_t *slot) {
  return (__atomic_load_n(&header_of(slot)->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER) != 0;
}

/// How many frames wait, as far as it is cheap to tell.
static uint32_t ready_ahead(const nfv_packet_socket *self) {
  uint32_t most = self->slots_per_block - self->slot_in_block;
  if (most > LOOK_AHEAD) most = LOOK_AHEAD;
  uint32_t ready = 1;
  while (ready < most && is_ready(self->slot + (size_t)ready * self->slot_size)) ready++;
  return ready;
}

static void release_slot(nfv_packet_socket *self) {
  __atomic_store_n(&header_of(self->slot)->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
  if (++self->slot_in_block < self->slots_per_block) {
    self->slot += self->slot_size;
    return;
  }
  self->slot_in_block = 0;
  if (++self->block == self->blocks) self->block = 0;
  self->slot = self->ring + self->ring_size / self->blocks * self->block;
}

/// Gets the whole of a frame that its slot holds the beginning of. Returns false when it cannot be had.
static bool fetch_oversized(nfv_packet_socket *self, nfv_raw_frame *frame) {
  // An error of the interface going down is told first, once; the frames that came before are still there.
  ssize_t length = -1;
  for (int attempt = 0; attempt < 3 && length < 0; attempt++) {
    length = recv(self->rx, self->oversized, OFFLOAD_HEADER + LONGEST_FRAME, MSG_DONTWAIT | MSG_TRUNC);
    if (length < 0 && errno == EAGAIN) break;
  }
  if (length < OFFLOAD_HEADER || (uint32_t)length - OFFLOAD_HEADER != frame->length) return false;
  if (frame->length > LONGEST_FRAME) return false;
  memcpy(&frame->offload, self->oversized, OFFLOAD_HEADER);
  frame->bytes = self->oversized + OFFLOAD_HEADER;
  return true;
}

static void count_verdict(nfv_packet_socket *self, enum nfv_frame_verdict verdict) {
  if (verdict == NFV_FRAME_MALFORMED) count(&self->counters.rx_malformed, 1);
  if (verdict == NFV_FRAME_UNSUPPORTED) count(&self->counters.rx_gso_unsupported, 1);
}

/// Deals with the frame in the slot, for which a buffer is there.
static void take_slot(nfv_packet_socket *self, filling *to) {
  uint8_t *slot = self->slot;
  const struct tpacket2_hdr *header = header_of(slot);
  uint32_t status = header->tp_status, present = header->tp_snaplen, at = header->tp_mac;
  nfv_raw_frame frame = {
      .bytes = slot + at,
      .length = header->tp_len,
      .tagged = (status & TP_STATUS_VLAN_VALID) != 0,
      .tag_protocol = (status & TP_STATUS_VLAN_TPID_VALID) != 0 ? header->tp_vlan_tpid : ETH_P_8021Q,
      .tag_control = header->tp_vlan_tci,
  };
  bool whole = present == frame.length;
  if (!whole) {
    bool fetched = (status & TP_STATUS_COPY) != 0 && fetch_oversized(self, &frame);
    if (!fetched) {
      count(&self->counters.rx_truncated, 1);
      release_slot(self);
      return;
    }
  } else if (at < ADDRESS_OFFSET + sizeof(struct sockaddr_ll) + OFFLOAD_HEADER || at + present > self->slot_size) {
    count(&self->counters.rx_malformed, 1);
    release_slot(self);
    return;
  } else {
    memcpy(&frame.offload, slot + at - OFFLOAD_HEADER, OFFLOAD_HEADER);
  }

  const struct sockaddr_ll *address = (const struct sockaddr_ll *)(slot + ADDRESS_OFFSET);
  if (address->sll_pkttype == PACKET_OUTGOING) {
    release_slot(self);
    return;
  }
  if (frame.offload.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
    enum nfv_frame_verdict verdict = nfv_segmenter_begin(&self->segmenter, &frame);
    count_verdict(self, verdict);
    if (verdict == NFV_FRAME_GOOD) count(&self->counters.rx_gso, 1);
    self->slot_is_segmented = whole && self->segmenter.active;
    if (!self->slot_is_segmented) release_slot(self);
    return;
  }

  nfv_mbuf *mbuf = to->mbufs[to->filled];
  uint32_t length = nfv_frame_wire_length(&frame);
  bool fits = length <= room(mbuf);
  enum nfv_frame_verdict verdict = nfv_frame_finish(&frame, fits ? nfv_mbuf_data(mbuf) : self->assembled);
  count_verdict(self, verdict);
  if (verdict == NFV_FRAME_GOOD) {
    if (fits) {
      accept_packet(to, mbuf, length);
    } else {
      accept_long(self, to, length);
    }
  }
  release_slot(self);
}

static void take_segment(nfv_packet_socket *self, filling *to) {
  nfv_mbuf *mbuf = to->mbufs[to->filled];
  uint32_t length = nfv_segmenter_next_length(&self->segmenter);
  if (length <= room(mbuf)) {
    nfv_segmenter_next(&self->segmenter, nfv_mbuf_data(mbuf));
    accept_packet(to, mbuf, length);
  } else {
    nfv_segmenter_next(&self->segmenter, self->assembled);
    accept_long(self, to, length);
  }
  if (!self->segmenter.active && self->slot_is_segmented) {
    self->slot_is_segmented = false;
    release_slot(self);
  }
}

uint16_t nfv_packet_socket_receive(
    nfv_packet_socket *socket, nfv_mbuf **mbufs, uint16_t count, nfv_pool *pool, uint64_t *bytes) {
  filling to = {.mbufs = mbufs, .count = count, .pool = pool};
  while (to.filled < count) {
    if (socket->segmenter.active) {
      if (!reserve(socket, &to, nfv_segmenter_left(&socket->segmenter))) break;
      take_segment(socket, &to);
    } else {
      if (!is_ready(socket->slot)) break;
      if (to.filled == to.allocated && !reserve(socket, &to, ready_ahead(socket))) break;
      take_slot(socket, &to);
    }
  }
  if (to.allocated > to.filled) nfv_free(mbufs + to.filled, (unsigned)(to.allocated - to.filled));
  *bytes += to.bytes;
  return to.filled;
}

// MARK: Transmitting

static void look_at_interface(nfv_packet_socket *self) {
  int mtu = nfv_packet_socket_mtu(self);
  if (mtu > 0) self->mtu = (uint32_t)mtu;
  self->carrier_lost = !nfv_packet_socket_link(self);
  self->looked_at_interface = nfv_tsc();
}

/// Looks at the interface unless that was done just now: whatever is wrong with it costs few system calls.
static void look_at_interface_seldom(nfv_packet_socket *self) {
  if (nfv_tsc() - self->looked_at_interface >= self->check_interval) look_at_interface(self);
}

static bool exceeds(const nfv_packet_socket *self, const nfv_mbuf *mbuf) {
  uint32_t most = self->mtu + ETH_HLEN;
  if (mbuf->packet_length <= most) return false;
  if (mbuf->packet_length > most + TAG || mbuf->data_length < ETH_HLEN) return true;
  const uint8_t *type = nfv_mbuf_data(mbuf) + 2 * ETH_ALEN;
  return type[0] != ETH_P_8021Q >> 8 || type[1] != (ETH_P_8021Q & 0xff);
}

static bool is_too_long(nfv_packet_socket *self, const nfv_mbuf *mbuf) {
  if (__builtin_expect(!exceeds(self, mbuf), 1)) return false;
  look_at_interface_seldom(self);
  return exceeds(self, mbuf);
}

/// Messages for the kernel that describe packets from the front.
typedef struct description {
  uint16_t messages;
  uint16_t packets;
} description;

static struct iovec part_of(const nfv_mbuf *mbuf, uint32_t from) {
  return (struct iovec){nfv_mbuf_data(mbuf) + from, mbuf->data_length - from};
}

static void finish_run(nfv_packet_socket *self, const description *done) {
  if (!self->coalesce || done->messages == 0) return;
  nfv_run *run = &self->runs[done->messages - 1];
  if (run->count < 2) return;
  nfv_run_finish(run);
  struct iovec *parts = self->messages[done->messages - 1].msg_hdr.msg_iov;
  parts[0].iov_base = &run->offload;
  parts[1].iov_base = run->headers;
}

/// Describes packets from the front. Stops at one that is too long, so that a burst's good packets are a prefix.
static description describe(nfv_packet_socket *self, nfv_mbuf **mbufs, uint16_t count) {
  static const struct virtio_net_hdr no_offload;
  bool coalesce = self->coalesce && nfv_tsc() >= self->coalesce_again;
  uint32_t used = 0;
  description done = {0, 0};
  for (; done.packets < count; done.packets++) {
    nfv_mbuf *mbuf = mbufs[done.packets];
    if (is_too_long(self, mbuf)) break;
    // Besides its segments, a packet may need the offload header, and its headers apart from its payload.
    if (mbuf->segment_count + 2u > PARTS - used) {
      if (done.packets > 0 || !nfv_read(mbuf, 0, mbuf->packet_length, self->gathered)) break;
      self->parts[0] = (struct iovec){(void *)&no_offload, sizeof no_offload};
      self->parts[1] = (struct iovec){self->gathered, mbuf->packet_length};
      self->messages[0].msg_hdr.msg_iov = self->parts + (self->coalesce ? 0 : 1);
      self->messages[0].msg_hdr.msg_iovlen = self->coalesce ? 2 : 1;
      self->packets[0] = 1;
      return (description){1, 1};
    }
    bool contiguous = mbuf->segment_count == 1;
    if (coalesce && contiguous && done.messages > 0 &&
        nfv_run_extend(&self->runs[done.messages - 1], nfv_mbuf_data(mbuf), mbuf->data_length)) {
      self->parts[used++] = part_of(mbuf, self->runs[done.messages - 1].headers_length);
      self->messages[done.messages - 1].msg_hdr.msg_iovlen++;
      self->packets[done.messages - 1]++;
      continue;
    }
    finish_run(self, &done);

    uint32_t first = used;
    if (self->coalesce) {
      nfv_run *run = &self->runs[done.messages];
      run->count = 0;
      if (coalesce && contiguous) nfv_run_begin(run, nfv_mbuf_data(mbuf), mbuf->data_length);
      self->parts[used++] = (struct iovec){(void *)&no_offload, sizeof no_offload};
      if (run->count > 0) self->parts[used++] = (struct iovec){nfv_mbuf_data(mbuf), run->headers_length};
      self->parts[used++] = part_of(mbuf, run->count > 0 ? run->headers_length : 0);
    } else {
      self->parts[used++] = part_of(mbuf, 0);
    }
    for (const nfv_mbuf *part = mbuf->next; part != NULL; part = part->next) self->parts[used++] = part_of(part, 0);
    self->messages[done.messages].msg_hdr.msg_iov = self->parts + first;
    self->messages[done.messages].msg_hdr.msg_iovlen = used - first;
    self->packets[done.messages++] = 1;
  }
  finish_run(self, &done);
  return done;
}

/// Decides what to do about the packets at the front when the first message was refused. Returns how many to drop; 0
/// when they are to be offered again.
static uint16_t refuse(nfv_packet_socket *self, int error, uint16_t offered) {
  switch (error) {
  case EAGAIN:
  case EINTR:
  case ENOMEM:
    return 0;
  case ENOBUFS:
    // The driver's queue is full; or there is no carrier, which a socket cannot tell apart.
    look_at_interface_seldom(self);
    if (!self->carrier_lost) return 0;
    break;
  case ENETDOWN:
  case ENXIO:
  case ENODEV:
    break;
  case EMSGSIZE:
    look_at_interface(self);
    count(&self->counters.tx_too_long, 1);
    return 1;
  default:
    count(&self->counters.tx_errors, 1);
    return 1;
  }
  count(&self->counters.tx_down, offered);
  return offered;
}

static bool is_unreachable(int error) { return error == ENETDOWN || error == ENXIO || error == ENODEV; }

uint16_t nfv_packet_socket_transmit(nfv_packet_socket *socket, nfv_mbuf **mbufs, uint16_t offered) {
  uint16_t taken = 0;
  while (taken < offered) {
    nfv_mbuf **front = mbufs + taken;
    uint16_t left = (uint16_t)(offered - taken);
    description described = describe(socket, front, left < BURST ? left : BURST);
    if (described.packets == 0) {
      count(&socket->counters.tx_too_long, 1);
      nfv_free(front, 1);
      taken++;
      continue;
    }
    int sent = sendmmsg(socket->tx, socket->messages, described.messages, MSG_DONTWAIT);
    int error = errno;
    if (sent > 0) {
      uint16_t packets = 0;
      for (int i = 0; i < sent; i++) packets += socket->packets[i];
      nfv_free(front, packets);
      taken += packets;
      if (packets == described.packets) continue;
      // The next call tells why the rest was refused.
      count(&socket->counters.tx_busy, 1);
      break;
    }
    // An interface without segmentation offload refuses super-frames as if it were busy.
    if (socket->packets[0] > 1 && error != EAGAIN && !is_unreachable(error)) {
      socket->coalesce_again = nfv_tsc() + COALESCE_PAUSE * socket->check_interval;
      continue;
    }
    uint16_t dropped = refuse(socket, error, described.packets);
    if (dropped == 0) {
      count(&socket->counters.tx_busy, 1);
      break;
    }
    nfv_free(front, dropped);
    taken += dropped;
  }
  return taken;
}

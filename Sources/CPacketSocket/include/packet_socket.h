/// AF_PACKET rings that deliver and send packet buffers: one socket is one queue of a port.
///
/// What is delivered is what was on the wire, or would have been: tags that the kernel stripped are put back under
/// their own TPID, checksums that a local stack left to hardware are completed, and super-frames (TSO, USO, GRO) are
/// cut into the frames that they stand for.
///
/// One thread at a time receives and one transmits on a socket, and they may be two threads. Counters, MTU, address
/// and link may be read by any thread at any time.
#ifndef NFV_PACKET_SOCKET_H
#define NFV_PACKET_SOCKET_H

#include "cdpdk.h"

/// One queue of an interface.
typedef struct nfv_packet_socket nfv_packet_socket;

/// How a queue is opened. All zero but for the name is a good choice for a port of one queue.
typedef struct nfv_packet_socket_settings {
  /// Name of the interface in the caller's network namespace.
  const char *interface;
  /// Whether to receive frames that are addressed to other stations.
  bool promiscuous;
  /// Whether this queue shares the interface's traffic with others. The kernel spreads it by a hash over addresses,
  /// protocol and ports that is the same in both directions of a flow; fragments go by addresses alone.
  bool fanout;
  /// The group that the queues of one port share. 0 has the kernel pick a number that nobody in this network namespace
  /// uses: open the first queue so, ask `nfv_packet_socket_fanout_group`, and pass that to the others. Two processes
  /// that use the same number on the same interface share its traffic.
  uint16_t fanout_group;
  /// Whether to give consecutive segments of a TCP connection to the kernel as one super-frame: over veth, three times
  /// the throughput. The interface cuts exactly the same segments from it again; a host behind a veth pair takes it
  /// whole, and captures there show it so. Damaged segments are left out, and so are those in chained buffers.
  bool coalesce;
  /// Frames that the receive ring holds. 0: 4096, or as many as fit in 16 MB, but at least 512.
  uint32_t rx_frames;
} nfv_packet_socket_settings;

/// What a queue lost and why, since it was opened. Frames unless said otherwise.
typedef struct nfv_packet_socket_counters {
  /// Dropped by the kernel: the ring was full, or the frame's offloads cannot be described (GSO of SCTP, for one).
  uint64_t rx_kernel_dropped;
  /// Super-frames, or frames above the MTU at opening, that came when the socket's receive buffer was full.
  uint64_t rx_truncated;
  /// The frame, or its offload header, contradicts itself.
  uint64_t rx_malformed;
  /// Super-frames of a kind or an encapsulation that cannot be cut here.
  uint64_t rx_gso_unsupported;
  /// Frames that need several buffers, when the pool had too few left.
  uint64_t rx_no_buffer;
  /// Polls, not frames, that found the pool empty; the frames stay in the ring, and nothing is lost here.
  uint64_t rx_starved;
  /// Super-frames cut; for information, nothing is lost.
  uint64_t rx_gso;
  /// Longer than the interface takes.
  uint64_t tx_too_long;
  /// The interface was down, had no carrier, or was gone.
  uint64_t tx_down;
  /// Refused by the kernel for another reason: shorter than an Ethernet header, for one.
  uint64_t tx_errors;
  /// Bursts, not frames, of which the interface took fewer than it was offered; nothing is lost here.
  uint64_t tx_busy;
} nfv_packet_socket_counters;

/// Opens a queue. Returns NULL when it cannot, and then `message` says what is wrong and what to do. On success
/// `message` is empty, or a warning: the interface is down, for one. NUL-terminated, truncated to `message_size`.
nfv_packet_socket *nfv_packet_socket_open(
    const nfv_packet_socket_settings *settings, char *message, size_t message_size);
/// Closes a queue; NULL is let pass. What is left in its ring is lost.
void nfv_packet_socket_close(nfv_packet_socket *socket);

/// Receives up to `count` packets from `pool`, their metadata reset; adds their bytes to `*bytes`. Never blocks, and
/// makes no system call but one for each frame that is longer than the MTU at opening allows, super-frames above all.
/// A super-frame that does not fit in `count` is continued by the next call. Frames longer than one buffer are chained.
uint16_t nfv_packet_socket_receive(
    nfv_packet_socket *socket, nfv_mbuf **mbufs, uint16_t count, nfv_pool *pool, uint64_t *bytes);

/// Transmits; returns how many packets were taken, from the front, and frees those. Fewer are taken when
/// the interface is busy: offer the rest again. Frames that can never be sent (too long, interface down) are taken and
/// counted. Never blocks; one system call for each 256 packets.
///
/// The kernel takes frames of the MTU and an Ethernet header, and one 802.1Q tag more. For further tags, or 802.1ad
/// outermost, raise the interface's MTU by 4 for each.
uint16_t nfv_packet_socket_transmit(nfv_packet_socket *socket, nfv_mbuf **mbufs, uint16_t count);

/// Reads the counters.
void nfv_packet_socket_counters_read(nfv_packet_socket *socket, nfv_packet_socket_counters *counters);
/// A descriptor for poll(2) with POLLIN. Never read, write or close it. POLLERR stays set until
/// `nfv_packet_socket_clear_error`.
int nfv_packet_socket_descriptor(const nfv_packet_socket *socket);
/// Takes the error that poll(2) tells of by POLLERR; returns it as a negative errno, or 0. -ENETDOWN: the interface
/// went down. Receiving resumes by itself when it is up again.
int nfv_packet_socket_clear_error(nfv_packet_socket *socket);
/// The fanout group; 0 without fanout.
uint16_t nfv_packet_socket_fanout_group(const nfv_packet_socket *socket);

/// The interface's MTU in bytes, or a negative errno; -ENODEV when the interface is gone.
int nfv_packet_socket_mtu(const nfv_packet_socket *socket);
/// The interface's address in 48 bits, first octet on the wire highest. False when the interface is gone.
bool nfv_packet_socket_mac(const nfv_packet_socket *socket, uint64_t *mac);
/// Whether the interface is up and has a carrier.
bool nfv_packet_socket_link(const nfv_packet_socket *socket);

#endif

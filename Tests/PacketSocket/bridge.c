/// Forwards everything between two interfaces, and tells the counters when it ends (SIGTERM, SIGINT).
///
///     bridge INTERFACE INTERFACE QUEUES BUFFERS [coalesce]
#include "packet_socket.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { BURST = 64, QUEUES_MOST = 8, ROOM = 2048 };

static volatile sig_atomic_t stopping;
static void stop(int signal) {
  (void)signal;
  stopping = 1;
}

static nfv_packet_socket *open_queue(const char *interface, bool fanout, uint16_t group, bool coalesce) {
  char message[1024];
  nfv_packet_socket_settings settings = {
      .interface = interface, .promiscuous = true, .fanout = fanout, .fanout_group = group, .coalesce = coalesce};
  nfv_packet_socket *queue = nfv_packet_socket_open(&settings, message, sizeof message);
  if (message[0] != 0) fprintf(stderr, "%s: %s\n", queue == NULL ? "error" : "warning", message);
  return queue;
}

int main(int count, char **arguments) {
  if (count != 5 && count != 6) return 2;
  unsigned queues = (unsigned)atoi(arguments[3]), buffers = (unsigned)atoi(arguments[4]);
  if (queues < 1 || queues > QUEUES_MOST) return 2;
  const char *eal[] = {"--no-huge", "--no-shconf", "--no-pci", "-m", "64", "--no-telemetry", "--log-level=4"};
  if (nfv_eal_init(7, eal) != 0) return 1;
  int error = 0;
  nfv_pool *pool = nfv_pool_create("bridge", buffers, buffers < 1024 ? 0 : 128, ROOM, &error);
  if (pool == NULL) {
    fprintf(stderr, "pool: %s\n", nfv_strerror(error));
    return 1;
  }

  nfv_packet_socket *sockets[2][QUEUES_MOST];
  uint64_t received[2][QUEUES_MOST] = {0}, refused = 0, bytes = 0;
  struct pollfd polled[2 * QUEUES_MOST];
  for (int side = 0; side < 2; side++) {
    uint16_t group = 0;
    for (unsigned i = 0; i < queues; i++) {
      nfv_packet_socket *queue = open_queue(arguments[1 + side], queues > 1, group, count == 6);
      if (queue == NULL) return 1;
      group = nfv_packet_socket_fanout_group(queue);
      sockets[side][i] = queue;
      polled[(unsigned)side * queues + i] =
          (struct pollfd){.fd = nfv_packet_socket_descriptor(queue), .events = POLLIN};
    }
  }
  signal(SIGTERM, stop);
  signal(SIGINT, stop);
  printf("ready\n");
  fflush(stdout);

  while (!stopping) {
    bool idle = true;
    for (int side = 0; side < 2; side++) {
      for (unsigned i = 0; i < queues; i++) {
        nfv_mbuf *burst[BURST];
        uint16_t got = nfv_packet_socket_receive(sockets[side][i], burst, BURST, pool, &bytes);
        if (got == 0) continue;
        idle = false;
        received[side][i] += got;
        uint16_t sent = 0;
        for (int attempt = 0; attempt < 100 && sent < got; attempt++) {
          sent += nfv_packet_socket_transmit(sockets[!side][i], burst + sent, (uint16_t)(got - sent));
        }
        refused += (uint64_t)(got - sent);
        nfv_free(burst + sent, (unsigned)(got - sent));
      }
    }
    if (!idle) continue;
    if (poll(polled, 2 * queues, 100) <= 0) continue;
    for (unsigned i = 0; i < 2 * queues; i++) {
      if ((polled[i].revents & POLLERR) == 0) continue;
      nfv_packet_socket_clear_error(sockets[i / queues][i % queues]);
    }
  }

  printf("refused %lu received_bytes %lu\n", refused, bytes);
  for (int side = 0; side < 2; side++) {
    for (unsigned i = 0; i < queues; i++) {
      nfv_packet_socket_counters c;
      nfv_packet_socket_counters_read(sockets[side][i], &c);
      printf("%s queue %u received %lu kernel_dropped %lu truncated %lu malformed %lu gso_unsupported %lu "
             "no_buffer %lu starved %lu gso %lu too_long %lu down %lu errors %lu busy %lu\n",
             arguments[1 + side], i, received[side][i], c.rx_kernel_dropped, c.rx_truncated, c.rx_malformed,
             c.rx_gso_unsupported, c.rx_no_buffer, c.rx_starved, c.rx_gso, c.tx_too_long, c.tx_down, c.tx_errors,
             c.tx_busy);
      nfv_packet_socket_close(sockets[side][i]);
    }
  }
  unsigned leaked = nfv_pool_capacity(pool) - nfv_pool_available(pool);
  printf("leaked %u\n", leaked);
  return leaked == 0 ? 0 : 1;
}

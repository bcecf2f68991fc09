// What the kernel's headers say of routing netlink, and of the descriptors that wait for it; there is no library.
#ifndef CNETLINK_SHIM_H
#define CNETLINK_SHIM_H

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <linux/netlink.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>

// <net/if.h> and <linux/if.h>, which have these, exclude each other.
enum { CNETLINK_IFF_UP = 1, CNETLINK_IFF_LOWER_UP = 1 << 16 };

enum { CNETLINK_BURST = 64 };

// The C library declares it for GNU sources only, which modules are not compiled as.
struct cnetlink_slot {
  struct msghdr header;
  unsigned int length;
};

/// Receives what waits, up to CNETLINK_BURST datagrams, the i-th at `buffer + i * size`. Sets the length of each to that
/// of the datagram, more than `size` if it was cut off, or to 0 if it is not the kernel's. The number of datagrams, or
/// -1 and errno.
static inline int cnetlink_receive(int descriptor, unsigned char *buffer, size_t size, unsigned int *lengths) {
  struct cnetlink_slot slots[CNETLINK_BURST];
  struct iovec places[CNETLINK_BURST];
  struct sockaddr_nl senders[CNETLINK_BURST];
  for (int i = 0; i < CNETLINK_BURST; i++) {
    places[i] = (struct iovec){.iov_base = buffer + i * size, .iov_len = size};
    slots[i] = (struct cnetlink_slot){.header = {.msg_name = &senders[i], .msg_namelen = sizeof senders[i],
                                                 .msg_iov = &places[i], .msg_iovlen = 1}};
  }
  int count = (int)syscall(SYS_recvmmsg, descriptor, slots, CNETLINK_BURST, MSG_DONTWAIT | MSG_TRUNC, (void *)0);
  for (int i = 0; i < count; i++) lengths[i] = senders[i].nl_pid == 0 ? slots[i].length : 0;
  return count;
}

#endif

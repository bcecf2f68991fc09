/// Coalesces streams of segments, some of them altered, cuts the super-frames again, and wants the same bytes back.
#include "coalesce.h"
#include "segment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEGMENTS = 64 };

static uint64_t state = 88172645463325252u;
static uint32_t any(uint32_t below) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)(state >> 16) % below;
}

typedef struct bytes {
  uint8_t *at;
  uint32_t length;
} bytes;

/// Cuts a super-frame that is not damaged.
static uint32_t cut(const uint8_t *frame, uint32_t length, struct virtio_net_hdr offload, bytes *out) {
  nfv_raw_frame raw = {.bytes = frame, .length = length, .offload = offload};
  nfv_segmenter segmenter;
  if (nfv_segmenter_begin(&segmenter, &raw) != NFV_FRAME_GOOD) return 0;
  uint32_t count = 0;
  while (segmenter.active && count < SEGMENTS) {
    out[count].length = nfv_segmenter_next_length(&segmenter);
    out[count].at = malloc(out[count].length);
    nfv_segmenter_next(&segmenter, out[count++].at);
  }
  return count;
}

static uint32_t make_stream(bytes *out) {
  static uint8_t frame[65536];
  for (uint32_t i = 0; i < sizeof frame; i++) frame[i] = (uint8_t)any(256);
  uint32_t at = 12, ipv6 = any(2), tags = any(4);
  for (uint32_t i = 0; i < tags; i++, at += 4) memcpy(frame + at, i == 0 ? "\x88\xa8" : "\x81\x00", 2);
  memcpy(frame + at, ipv6 ? "\x86\xdd" : "\x08\x00", 2);
  at += 2;
  if (ipv6) {
    frame[at] = 0x60;
    frame[at + 6] = 6;
    at += 40;
  } else {
    frame[at] = any(4) ? 0x45 : 0x47;
    frame[at + 6] &= 0x40;
    frame[at + 7] = 0;
    frame[at + 9] = 6;
    at += 4 * (frame[at] & 15u);
  }
  frame[at + 12] = (uint8_t)((5 + any(11)) << 4);
  frame[at + 13] = any(8) ? any(2) ? 0x10 : 0x18 : (uint8_t)any(256);
  struct virtio_net_hdr offload = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                   .gso_type = ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4,
                                   .gso_size = (uint16_t)(1 + any(900)),
                                   .csum_start = (uint16_t)at,
                                   .csum_offset = 16};
  uint32_t headers = at + 4 * (frame[at + 12] >> 4);
  return cut(frame, headers + 1 + any(offload.gso_size * 40u), offload, out);
}

static void alter(bytes *segments, uint32_t count) {
  bytes *one = &segments[any(count)];
  switch (any(5)) {
  case 0:
    one->at[any(one->length)] ^= (uint8_t)(1 << any(8));
    break;
  case 1:
    one->at[any(one->length < 90 ? one->length : 90)] ^= (uint8_t)(1 << any(8));
    break;
  case 2: {
    bytes *other = &segments[any(count)], kept = *one;
    *one = *other;
    *other = kept;
    break;
  }
  case 3: {
    uint32_t shorter = any(one->length + 1);
    one->at = realloc(one->at, shorter + (shorter == 0));
    one->length = shorter;
    break;
  }
  default:
    one->at = realloc(one->at, one->length + 6);
    memset(one->at + one->length, 0, 6);
    one->length += 6;
  }
}

/// Compares what a run stands for with the segments that went into it.
static bool is_kept(nfv_run *run, const bytes *segments, uint32_t count) {
  static uint8_t frame[65536];
  nfv_run_finish(run);
  uint32_t length = run->headers_length;
  memcpy(frame, run->headers, length);
  for (uint32_t i = 0; i < count; i++) {
    memcpy(frame + length, segments[i].at + run->headers_length, segments[i].length - run->headers_length);
    length += segments[i].length - run->headers_length;
  }
  bytes again[SEGMENTS];
  uint32_t found = cut(frame, length, run->offload, again);
  bool kept = found == count && length == run->length;
  for (uint32_t i = 0; i < found; i++) {
    kept = kept && again[i].length == segments[i].length && memcmp(again[i].at, segments[i].at, again[i].length) == 0;
    free(again[i].at);
  }
  return kept;
}

int main(int count, char **arguments) {
  uint32_t rounds = count > 1 ? (uint32_t)atoi(arguments[1]) : 10000, joined = 0, total = 0, whole = 0;
  for (uint32_t round = 0; round < rounds; round++) {
    bytes segments[SEGMENTS];
    uint32_t made = make_stream(segments);
    bool altered = made > 0 && any(2) == 0;
    if (altered) {
      for (uint32_t i = 1 + any(3); i > 0; i--) alter(segments, made);
    }
    total += made;
    for (uint32_t i = 0; i < made;) {
      nfv_run run;
      memset(&run, 0xa5, sizeof run);
      uint32_t first = i;
      nfv_run_begin(&run, segments[i].at, segments[i].length);
      for (i++; i < made && nfv_run_extend(&run, segments[i].at, segments[i].length);) i++;
      if (run.count < 2) continue;
      joined += run.count - 1u;
      if (run.count != i - first || !is_kept(&run, segments + first, i - first)) {
        printf("round %u: %u segments do not come back as they were\n", round, i - first);
        return 1;
      }
      if (!altered && run.count == made) whole++;
    }
    for (uint32_t i = 0; i < made; i++) free(segments[i].at);
  }
  printf("%u of %u segments joined to the one before\n", joined, total);
  return joined > total / 3 && whole > rounds / 10 ? 0 : 1;
}

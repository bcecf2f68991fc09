/// Feeds frames that are damaged at random to what finishes and cuts them; built with the sanitizers.
#include "segment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 88172645463325252u;
static uint32_t any(uint32_t below) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return below == 0 ? 0 : (uint32_t)(state >> 16) % below;
}

/// Writes plausible headers, so that damage reaches the depths of the walk. Returns the offset of the last one.
static uint32_t build(uint8_t *bytes) {
  static const uint16_t kinds[] = {0x0800, 0x86dd};
  uint32_t at = 12, kind = any(2);
  for (uint32_t tags = any(4); tags > 0; tags--, at += 4) {
    bytes[at] = any(2) ? 0x81 : 0x88;
    bytes[at + 1] = bytes[at] == 0x81 ? 0x00 : 0xa8;
  }
  bytes[at++] = (uint8_t)(kinds[kind] >> 8);
  bytes[at++] = (uint8_t)kinds[kind];
  for (uint32_t depth = any(3);; depth--) {
    uint8_t next = depth > 0 ? (any(2) ? 4 : any(2) ? 47 : 17) : any(2) ? 6 : any(4) ? 17 : 132;
    if (kind == 0) {
      uint32_t words = 5 + (any(4) == 0 ? any(11) : 0);
      bytes[at] = (uint8_t)(0x40 | words);
      bytes[at + 6] = bytes[at + 7] = 0;
      bytes[at + 9] = next;
      at += 4 * words;
    } else {
      bytes[at] = 0x60;
      bytes[at + 6] = next;
      if (any(3) == 0) {
        bytes[at + 4] = bytes[at + 5] = bytes[at + 6] = 0;
        memcpy(bytes + at + 40, (uint8_t[]){next, 0, 0xc2, 4}, 4);
        at += 8;
      }
      at += 40;
    }
    if (depth == 0) return at;
    kind = 0;
    if (next == 47) {
      memcpy(bytes + at, (uint8_t[]){0, 0, 8, 0}, 4);
      at += 4;
    } else if (next == 17) {
      bytes[at + 2] = 6081 >> 8;
      bytes[at + 3] = 6081 & 0xff;
      memcpy(bytes + at + 8, (uint8_t[]){(uint8_t)any(4), 0, 8, 0}, 4);
      at += 16 + 4 * (bytes[at + 8] & 0x3f);
    }
  }
}

int main(int count, char **arguments) {
  uint32_t rounds = count > 1 ? (uint32_t)atoi(arguments[1]) : 100000;
  uint32_t cut = 0, finished = 0, segments = 0;
  for (uint32_t round = 0; round < rounds; round++) {
    // Allocated anew to the byte, so that the sanitizer sees one byte too many.
    uint32_t length = any(8) ? any(3000) : any(200);
    uint8_t headers[2048];
    for (uint32_t i = 0; i < sizeof headers; i++) headers[i] = (uint8_t)any(256);
    uint32_t transport = build(headers);
    for (uint32_t i = any(4); i > 1; i--) headers[any(transport + 20)] = (uint8_t)any(256);
    uint8_t *bytes = malloc(length + (length == 0));
    memset(bytes, 0x5a, length);
    memcpy(bytes, headers, length < sizeof headers ? length : sizeof headers);

    static const uint8_t kinds[] = {0, 1, 4, 5, 1, 4, 5, 0x81, 0x84, 3};
    nfv_raw_frame frame = {
        .bytes = bytes,
        .length = length,
        .tagged = any(3) == 0,
        .tag_protocol = 0x8100,
        .tag_control = (uint16_t)any(65536),
        .offload = {.flags = (uint8_t)any(8),
                    .gso_type = any(10) ? kinds[any(sizeof kinds)] : (uint8_t)any(256),
                    .gso_size = (uint16_t)(any(10) ? any(1500) : any(65536)),
                    .csum_start = (uint16_t)(any(5) ? transport : any(65536)),
                    .csum_offset = (uint16_t)(any(5) ? (any(2) ? 16 : any(2) ? 6 : 8) : any(65536))},
    };
    uint32_t whole = nfv_frame_wire_length(&frame);
    if (frame.offload.gso_type == 0) {
      uint8_t *out = malloc(whole + (whole == 0));
      if (nfv_frame_finish(&frame, out) == NFV_FRAME_GOOD) finished++;
      free(out);
    } else {
      nfv_segmenter segmenter;
      if (nfv_segmenter_begin(&segmenter, &frame) == NFV_FRAME_GOOD) {
        cut++;
        uint32_t expected = nfv_segmenter_left(&segmenter), found = 0;
        while (segmenter.active) {
          uint32_t next = nfv_segmenter_next_length(&segmenter);
          if (nfv_segmenter_left(&segmenter) != expected - found) return 1;
          uint8_t *out = malloc(next);
          nfv_segmenter_next(&segmenter, out);
          free(out);
          found++;
        }
        if (found != expected) return 1;
        segments += found;
      }
    }
    free(bytes);
  }
  printf("%u frames finished, %u cut into %u\n", finished, cut, segments);
  // A fuzzer whose frames are all refused tests nothing.
  return finished > rounds / 100 && cut > rounds / 100 ? 0 : 1;
}

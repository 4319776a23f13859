// What the kernels of producing and multiplying warpgroups share.
#pragma once
#include "tensor_core.cuh"
#include "wgmma.cuh"

// Where the ring of buffers stands: the next buffer, and the parity of the round.
template <int STAGES>
struct Ring {
  int slot = 0;
  unsigned parity = 0;
  __device__ void next() {
    if (++slot == STAGES) slot = 0, parity ^= 1;
  }
};

// Descriptor of a tile (see ROW_BYTES) that starts at a multiple of 1024 bytes: rows of 128 bytes along K, swizzled,
// groups of eight rows 1024 bytes apart. Adding bytes / 16 to it moves along the row.
__device__ inline unsigned long long tile_descriptor(unsigned address) {
  constexpr unsigned long long SWIZZLE_128 = 1ull << 62, EIGHT_ROWS = 8ull * ROW_BYTES / 16 << 32, UNUSED = 1ull << 16;
  return SWIZZLE_128 | EIGHT_ROWS | UNUSED | (address & 0x3ffff) >> 4;
}

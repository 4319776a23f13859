// The window tensor in shared memory of kernels in which windows slide: positions, neighbours along the width, lie 16
// bytes apart, in planes of a chunk of K each.
#pragma once
#include "warpgroups.cuh"

constexpr int CHUNK_BYTES = CHUNK * 2;

// Descriptor of positions from `address` on, `plane` bytes from a chunk of K to the next: eight neighbours, from any on,
// are a core matrix (PTX ISA, no swizzle).
__device__ inline unsigned long long position_descriptor(unsigned address, int plane) {
  constexpr unsigned long long CORE_MATRIX_BYTES = 8 * CHUNK_BYTES;
  return CORE_MATRIX_BYTES / 16 << 32 | static_cast<unsigned long long>(plane / 16) << 16 | (address & 0x3ffff) >> 4;
}

// A descriptor that many bytes further, a multiple of 16: the address is in its lower half, and has room there.
__device__ inline unsigned long long further(unsigned long long descriptor, int bytes) {
  return (descriptor >> 32 << 32) | (static_cast<unsigned>(descriptor) + bytes / 16);
}

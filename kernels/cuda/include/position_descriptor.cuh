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

// Where the planes of a K block lie in a buffer for a tile: for each part, that is each consumer with positions of its own, and
// each FP16 part and chunk of the K block a plane of all its positions. They come in groups of EPILOGUE_COLUMNS; a group of a
// part is a unit. In device memory the units' factors follow.
struct WindowPlanes {
  int parts, groups;
  __device__ constexpr int units() const { return parts * groups; }
  __device__ constexpr int plane_bytes() const { return groups * EPILOGUE_COLUMNS * CHUNK_BYTES; }
  __device__ constexpr int part_bytes() const { return 2 * CHUNKS * plane_bytes(); }
  __device__ constexpr int bytes() const { return parts * part_bytes(); }
  __device__ constexpr int bytes_in_memory() const { return bytes() + (units() * 4 + 15) / 16 * 16; }
  // Where the high parts of a chunk lie at a lane's position of a unit; the low ones lie CHUNKS planes further.
  __device__ constexpr int offset(int unit, int chunk, int lane) const {
    const int part = unit / groups, position = (unit - part * groups) * EPILOGUE_COLUMNS + lane;
    return part * part_bytes() + chunk * plane_bytes() + position * CHUNK_BYTES;
  }
};

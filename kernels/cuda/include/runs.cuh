// Runs: floats that follow each other in device memory, copied between there and shared memory by all threads of a block.
// A run has its values as far behind a 16-byte boundary in shared memory as in device memory, so that all but its ends are
// copied 16 bytes at a time, whatever the rows and planes are that it consists of.
#pragma once
#include "convolution.cuh"
#include "shared_memory.cuh"

__device__ inline int floats_behind_boundary(const float* from) {
  return reinterpret_cast<unsigned long long>(from) / sizeof(float) % VECTOR;
}

// Starts the copies of `count` floats; `to` lies as far behind a boundary as `from`.
__device__ inline void load_run(SharedAddress to, const float* from, int count) {
  for (int i = static_cast<int>(threadIdx.x) * VECTOR - floats_behind_boundary(from); i < count; i += blockDim.x * VECTOR) {
    if (i >= 0 && i + VECTOR <= count) {
      copy_async_past_l1(to + i * sizeof(float), from + i);
    } else {
#pragma unroll
      for (int j = 0; j < VECTOR; ++j) {
        if (i + j >= 0 && i + j < count) copy_async<sizeof(float)>(to + (i + j) * sizeof(float), from + i + j);
      }
    }
  }
}

// The same with `more_row` floats between rows and `more_plane` between planes in shared memory, all of them whole vectors;
// `to` lies at a boundary.
template <int WIDTH>
__device__ void load_rows(SharedAddress to, const float* from, int count, const FastDivision& by_width,
                          const FastDivision& by_height, int more_row, int more_plane) {
  for (int i = threadIdx.x * WIDTH; i < count; i += blockDim.x * WIDTH) {
    const int row = by_width.quotient(i), cell = i + row * more_row + by_height.quotient(row) * more_plane;
    if constexpr (WIDTH == VECTOR) {
      copy_async_past_l1(to + cell * sizeof(float), from + i);
    } else {
      copy_async<sizeof(float)>(to + cell * sizeof(float), from + i);
    }
  }
}

// Stores `count` floats.
__device__ inline void store_run(float* to, const float* from, int count) {
  for (int i = static_cast<int>(threadIdx.x) * VECTOR - floats_behind_boundary(to); i < count; i += blockDim.x * VECTOR) {
    if (i >= 0 && i + VECTOR <= count) {
      *reinterpret_cast<float4*>(to + i) = *reinterpret_cast<const float4*>(from + i);
    } else {
#pragma unroll
      for (int j = 0; j < VECTOR; ++j) {
        if (i + j >= 0 && i + j < count) to[i + j] = from[i + j];
      }
    }
  }
}

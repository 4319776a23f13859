// Runs: floats that follow each other in device memory, copied between there and shared memory by all threads of a block.
// A run has its values as far behind a 16-byte boundary in shared memory as in device memory, so that all but its ends are
// copied 16 bytes at a time, whatever the rows and planes are that it consists of.
#pragma once
#include "convolution.cuh"
#include "shared_memory.cuh"

// Vectors that a thread copies at a time, and how many floats they lie apart: a warp's.
constexpr int RUN_UNROLL = 4, RUN_STEP = 32 * VECTOR;

__device__ inline int floats_behind_boundary(const float* from) {
  return reinterpret_cast<unsigned long long>(from) / sizeof(float) % VECTOR;
}

// Calls `end` with each float of a run that lies before its first whole vector or behind its last one, fewer than a vector
// each, then for all others `several` or `one` with the first float of RUN_UNROLL vectors or of one. `place` is where the run
// lies. A warp takes RUN_UNROLL vectors for each of its threads, so that the compiler knows how far a thread's are apart.
template <class End, class Several, class One>
__device__ inline void for_run(const float* place, int count, const End& end, const Several& several, const One& one) {
  const int before = min(count, (VECTOR - floats_behind_boundary(place)) % VECTOR);
  const int rest = (count - before) / VECTOR * VECTOR;
  const int thread = threadIdx.x, behind = before + rest;  // where the last vector ends
  if (thread < count - rest) end(thread < before ? thread : thread + rest);
  int i = before + thread / 32 * (RUN_UNROLL * RUN_STEP) + thread % 32 * VECTOR;
  for (; i < behind - (RUN_UNROLL - 1) * RUN_STEP; i += blockDim.x * (RUN_UNROLL * VECTOR)) several(i);
#pragma unroll 1
  for (; i < behind; i += RUN_STEP) one(i);
}

// Starts the copies of `count` floats; `to` lies as far behind a boundary as `from`.
__device__ inline void load_run(SharedAddress to, const float* from, int count) {
  for_run(
      from, count, [&](int i) { copy_async<sizeof(float)>(to + i * sizeof(float), from + i); },
      [&](int i) {
        const SharedAddress first = to + i * sizeof(float);
#pragma unroll
        for (int j = 0; j < RUN_UNROLL; ++j) copy_async_past_l1(first + j * RUN_STEP * sizeof(float), from + i + j * RUN_STEP);
      },
      [&](int i) { copy_async_past_l1(to + i * sizeof(float), from + i); });
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
  for_run(
      to, count, [&](int i) { to[i] = from[i]; },
      [&](int i) {
        float4 values[RUN_UNROLL];
#pragma unroll
        for (int j = 0; j < RUN_UNROLL; ++j) values[j] = *reinterpret_cast<const float4*>(from + i + j * RUN_STEP);
#pragma unroll
        for (int j = 0; j < RUN_UNROLL; ++j) *reinterpret_cast<float4*>(to + i + j * RUN_STEP) = values[j];
      },
      [&](int i) { *reinterpret_cast<float4*>(to + i) = *reinterpret_cast<const float4*>(from + i); });
}

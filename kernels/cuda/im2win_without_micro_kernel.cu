// im2win.cu without the micro-kernel: each thread computes one output, so every multiply-add reads two values from
// shared memory. A block of at most 1024 threads then covers a smaller tile.
#include "im2win_tile.cuh"

// TILE_M output channels x TILE_N pixels per block, one thread each; TILE_K values of the reduction per step.
// `filter` is F'[k][padded_channels]. Grid: x covers the tiles (see BlockTile).
template <int TILE_M, int TILE_N, int TILE_K>
__global__ __launch_bounds__(TILE_M * TILE_N) void im2win_without_micro_kernel(
    const float* __restrict__ window, const float* __restrict__ filter, float* __restrict__ y, int padded_channels,
    PROBLEM_PARAMETERS) {
  constexpr int THREADS = TILE_M * TILE_N;
  __shared__ __align__(16) float filter_tile[2][TILE_K][TILE_M];
  __shared__ __align__(16) float window_tile[2][TILE_K][TILE_N];

  const Problem p = PROBLEM_ARGUMENTS;
  const BlockTile tile(p, TILE_M, TILE_N);
  WindowLoader<TILE_N, TILE_K, THREADS> window_loader(p, window, tile.first_pixel);
  FilterLoader<TILE_M, TILE_K, THREADS> filter_loader(filter, padded_channels, tile.first_channel);
  const int row = threadIdx.x / TILE_N, column = threadIdx.x % TILE_N;
  float sum = 0.0f;
  const int steps = (p.reduction() + TILE_K - 1) / TILE_K;

  window_loader.fetch(0);
  filter_loader.fetch(0);
  window_loader.stage(window_tile[0]);
  filter_loader.stage(filter_tile[0]);
  __syncthreads();
  for (int step = 0; step < steps; ++step) {
    const int current = step & 1, next = current ^ 1;
    const bool more = step + 1 < steps;
    // Prefetch: the next tile's reads from device memory are under way while this tile is multiplied.
    if (more) {
      window_loader.fetch((step + 1) * TILE_K);
      filter_loader.fetch((step + 1) * TILE_K);
    }
#pragma unroll
    for (int k = 0; k < TILE_K; ++k) sum = fmaf(filter_tile[current][k][row], window_tile[current][k][column], sum);
    // Double buffering: nobody reads the other buffer any more, so one barrier a step is enough.
    if (more) {
      window_loader.stage(window_tile[next]);
      filter_loader.stage(filter_tile[next]);
    }
    __syncthreads();
  }

  OutputColumn(p, y, tile.first_pixel + column).store(tile.first_channel + row, sum);
}

// The im2win convolution with all of the paper's optimizations (section 3.2): shared-memory tiles, a register
// micro-kernel, vectorized loads, double buffering and prefetching. The im2win_without_* files each lack one.
#include "im2win_tile.cuh"

// TILE_M output channels x TILE_N pixels per block, TILE_K values of the reduction per step; MICRO_M x MICRO_N
// outputs per thread. `filter` is F'[k][padded_channels]. Grid: x covers the tiles (see BlockTile).
// The launch bounds keep 512 threads on a multiprocessor, which leaves 128 registers to each.
template <int TILE_M, int TILE_N, int TILE_K, int MICRO_M, int MICRO_N>
__global__ __launch_bounds__(TILE_M / MICRO_M * (TILE_N / MICRO_N),
                                  512 / (TILE_M / MICRO_M * (TILE_N / MICRO_N))) void im2win(
    const float* __restrict__ window, const float* __restrict__ filter, float* __restrict__ y, int padded_channels,
    PROBLEM_PARAMETERS) {
  constexpr int THREADS = TILE_M / MICRO_M * (TILE_N / MICRO_N);
  __shared__ __align__(16) float filter_tile[2][TILE_K][TILE_M];
  __shared__ __align__(16) float window_tile[2][TILE_K][TILE_N];

  const Problem p = PROBLEM_ARGUMENTS;
  const BlockTile tile(p, TILE_M, TILE_N);
  WindowLoader<TILE_N, TILE_K, THREADS> window_loader(p, window, tile.first_pixel);
  FilterLoader<TILE_M, TILE_K, THREADS> filter_loader(filter, padded_channels, tile.first_channel);
  MicroKernel<TILE_M, TILE_N, TILE_K, MICRO_M, MICRO_N> micro_kernel;
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
    micro_kernel.multiply(filter_tile[current], window_tile[current]);
    // Double buffering: nobody reads the other buffer any more, so one barrier a step is enough.
    if (more) {
      window_loader.stage(window_tile[next]);
      filter_loader.stage(filter_tile[next]);
    }
    __syncthreads();
  }

  micro_kernel.store(p, y, tile);
}

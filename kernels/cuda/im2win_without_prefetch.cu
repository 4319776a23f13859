// im2win.cu without prefetching: a tile is copied from device memory in the step that multiplies it.
#include "im2win_tile.cuh"

// TILE_M output channels x TILE_N pixels per block, TILE_K values of the reduction per step; MICRO_M x MICRO_N
// outputs per thread. `filter` is F'[k][padded_channels]. Grid: x covers the tiles (see BlockTile).
template <int TILE_M, int TILE_N, int TILE_K, int MICRO_M, int MICRO_N>
__global__ __launch_bounds__(TILE_M / MICRO_M * (TILE_N / MICRO_N),
                                  BLOCKS_PER_MULTIPROCESSOR) void im2win_without_prefetch(
    const float* __restrict__ window, const float* __restrict__ filter, float* __restrict__ y, int padded_channels,
    PROBLEM_PARAMETERS) {
  constexpr int THREADS = TILE_M / MICRO_M * (TILE_N / MICRO_N);
  __shared__ __align__(16) float filter_tile[2][TILE_K][TILE_M];
  __shared__ __align__(16) float window_tile[2][TILE_K][TILE_N];

  const Problem p = PROBLEM_ARGUMENTS;
  const BlockTile<TILE_M, TILE_N> tile(p);
  WindowLoader<TILE_N, TILE_K, THREADS> window_loader(p, window, tile.first_pixel);
  FilterLoader<TILE_M, TILE_K, THREADS, VECTOR> filter_loader(filter, padded_channels, tile.first_channel);
  MicroKernel<TILE_M, TILE_N, TILE_K, MICRO_M, MICRO_N> micro_kernel;

  for (int k = 0; k < p.reduction(); k += TILE_K) {
    const int current = k / TILE_K & 1;
    // No prefetch: every thread waits for this tile from device memory before it can multiply.
    window_loader.start(p, window_tile[current]);
    filter_loader.start(filter_tile[current]);
    // Double buffering: the next step writes the other buffer, so one barrier a step is enough.
    wait_for_copies();
    __syncthreads();
    micro_kernel.multiply(filter_tile[current], window_tile[current]);
  }

  micro_kernel.store(p, y);
}

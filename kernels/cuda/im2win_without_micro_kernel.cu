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
  const BlockTile<TILE_M, TILE_N> tile(p);
  WindowLoader<TILE_N, TILE_K, THREADS> window_loader(p, window, tile.first_pixel);
  FilterLoader<TILE_M, TILE_K, THREADS, VECTOR> filter_loader(filter, padded_channels, tile.first_channel);
  const int row = threadIdx.x / TILE_N, column = threadIdx.x % TILE_N;
  float sum = 0.0f;

  window_loader.start(p, window_tile[0]);
  filter_loader.start(filter_tile[0]);
  for (int k = 0; k < p.reduction(); k += TILE_K) {
    const int current = k / TILE_K & 1, next = current ^ 1;
    // Double buffering: after this barrier the current tile is there and nobody reads the other any more.
    wait_for_copies();
    __syncthreads();
    // Prefetch: the next tile is copied from device memory while this one is multiplied.
    if (k + TILE_K < p.reduction()) {
      window_loader.start(p, window_tile[next]);
      filter_loader.start(filter_tile[next]);
    }
#pragma unroll
    for (int i = 0; i < TILE_K; ++i) sum = fmaf(filter_tile[current][i][row], window_tile[current][i][column], sum);
  }

  OutputColumn(p, y, tile.first_pixel + column).store(tile.first_channel + row, sum);
}

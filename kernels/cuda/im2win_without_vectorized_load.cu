// im2win.cu without vectorized loads: device and shared memory are read and written one float at a time.
#include "im2win_tile.cuh"

// As MicroKernel, one float at a time. A thread's outputs are a whole row of threads apart, so that the lanes of a
// warp read neighbouring words (no bank conflicts) and the compiler cannot merge a thread's own reads.
template <int TILE_M, int TILE_N, int TILE_K, int MICRO_M, int MICRO_N>
class ScalarMicroKernel {
 public:
  __device__ void multiply(const float (&filter)[TILE_K][TILE_M], const float (&window)[TILE_K][TILE_N]) {
#pragma unroll
    for (int k = 0; k < TILE_K; ++k) {
      float a[MICRO_M], b[MICRO_N];
#pragma unroll
      for (int m = 0; m < MICRO_M; ++m) a[m] = filter[k][row(m)];
#pragma unroll
      for (int n = 0; n < MICRO_N; ++n) b[n] = window[k][column(n)];
#pragma unroll
      for (int m = 0; m < MICRO_M; ++m) {
#pragma unroll
        for (int n = 0; n < MICRO_N; ++n) sum_[m][n] = fmaf(a[m], b[n], sum_[m][n]);
      }
    }
  }
  __device__ void store(const Problem& p, float* y) const {
    const BlockTile<TILE_M, TILE_N> tile(p);
#pragma unroll
    for (int n = 0; n < MICRO_N; ++n) {
      const OutputColumn output(p, y, tile.first_pixel + column(n));
#pragma unroll
      for (int m = 0; m < MICRO_M; ++m) output.store(tile.first_channel + row(m), sum_[m][n]);
    }
  }

 private:
  static constexpr int THREADS_M = TILE_M / MICRO_M, THREADS_N = TILE_N / MICRO_N;
  __device__ static int row(int m) { return threadIdx.x / THREADS_N + m * THREADS_M; }
  __device__ static int column(int n) { return threadIdx.x % THREADS_N + n * THREADS_N; }

  float sum_[MICRO_M][MICRO_N] = {};
};

// TILE_M output channels x TILE_N pixels per block, TILE_K values of the reduction per step; MICRO_M x MICRO_N
// outputs per thread. `filter` is F'[k][padded_channels]. Grid: x covers the tiles (see BlockTile).
template <int TILE_M, int TILE_N, int TILE_K, int MICRO_M, int MICRO_N>
__global__ __launch_bounds__(TILE_M / MICRO_M * (TILE_N / MICRO_N),
                                  BLOCKS_PER_MULTIPROCESSOR) void im2win_without_vectorized_load(
    const float* __restrict__ window, const float* __restrict__ filter, float* __restrict__ y, int padded_channels,
    PROBLEM_PARAMETERS) {
  constexpr int THREADS = TILE_M / MICRO_M * (TILE_N / MICRO_N);
  __shared__ __align__(16) float filter_tile[2][TILE_K][TILE_M];
  __shared__ __align__(16) float window_tile[2][TILE_K][TILE_N];

  const Problem p = PROBLEM_ARGUMENTS;
  const BlockTile<TILE_M, TILE_N> tile(p);
  WindowLoader<TILE_N, TILE_K, THREADS> window_loader(p, window, tile.first_pixel);
  FilterLoader<TILE_M, TILE_K, THREADS, 1> filter_loader(filter, padded_channels, tile.first_channel);
  ScalarMicroKernel<TILE_M, TILE_N, TILE_K, MICRO_M, MICRO_N> micro_kernel;

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
    micro_kernel.multiply(filter_tile[current], window_tile[current]);
  }

  micro_kernel.store(p, y);
}

// im2win.cu without vectorized loads: device and shared memory are read and written one float at a time.
#include "im2win_tile.cuh"

// As FilterLoader, one float at a time.
template <int TILE_M, int TILE_K, int THREADS>
class ScalarFilterLoader {
 public:
  static_assert(TILE_K * TILE_M % THREADS == 0, "all threads read equally many values of the filter tile");
  static constexpr int LOADS = TILE_K * TILE_M / THREADS;

  __device__ ScalarFilterLoader(const float* filter, int padded_channels, int first_channel)
      : source_(filter + first_channel), padded_channels_(padded_channels) {}
  __device__ void fetch(int k) {
#pragma unroll
    for (int i = 0; i < LOADS; ++i) {
      const float* row = source_ + static_cast<long long>(k + value(i) / TILE_M) * padded_channels_;
      values_[i] = __ldg(row + value(i) % TILE_M);
    }
  }
  __device__ void stage(float (&tile)[TILE_K][TILE_M]) const {
#pragma unroll
    for (int i = 0; i < LOADS; ++i) tile[value(i) / TILE_M][value(i) % TILE_M] = values_[i];
  }

 private:
  __device__ static int value(int i) { return threadIdx.x + i * THREADS; }

  const float* source_;
  int padded_channels_;
  float values_[LOADS];
};

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
  __device__ void store(const Problem& p, float* y, const BlockTile& tile) const {
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
// The launch bounds keep 512 threads on a multiprocessor, which leaves 128 registers to each.
template <int TILE_M, int TILE_N, int TILE_K, int MICRO_M, int MICRO_N>
__global__ __launch_bounds__(TILE_M / MICRO_M * (TILE_N / MICRO_N),
                                  512 / (TILE_M / MICRO_M * (TILE_N / MICRO_N))) void im2win_without_vectorized_load(
    const float* __restrict__ window, const float* __restrict__ filter, float* __restrict__ y, int padded_channels,
    PROBLEM_PARAMETERS) {
  constexpr int THREADS = TILE_M / MICRO_M * (TILE_N / MICRO_N);
  __shared__ __align__(16) float filter_tile[2][TILE_K][TILE_M];
  __shared__ __align__(16) float window_tile[2][TILE_K][TILE_N];

  const Problem p = PROBLEM_ARGUMENTS;
  const BlockTile tile(p, TILE_M, TILE_N);
  WindowLoader<TILE_N, TILE_K, THREADS> window_loader(p, window, tile.first_pixel);
  ScalarFilterLoader<TILE_M, TILE_K, THREADS> filter_loader(filter, padded_channels, tile.first_channel);
  ScalarMicroKernel<TILE_M, TILE_N, TILE_K, MICRO_M, MICRO_N> micro_kernel;
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

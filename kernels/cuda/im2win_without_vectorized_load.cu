// im2win.cu without vectorized loads: device and shared memory are read and written one float at a time.
#include "include/im2win_tile.cuh"

// As MicroKernel, one float at a time. A thread's outputs are a whole row of threads apart, so that the lanes of a
// warp read neighbouring words (no bank conflicts) and the compiler cannot merge a thread's own reads.
template <int TILE_M, int TILE_N, int TILE_K, int MICRO_M, int MICRO_N>
class ScalarMicroKernel {
 public:
  using Tiles = Stage<TILE_M, TILE_N, TILE_K>;
  using OutputTile = Tile<TILE_M, TILE_N>;
  static constexpr int THREADS_M = TILE_M / MICRO_M, THREADS_N = TILE_N / MICRO_N, THREADS = THREADS_M * THREADS_N;
  static constexpr int SCRATCH = 0, PARTS = 1, SHARE_SEMAPHORE = 1;

  __device__ static int filter_offset() { return threadIdx.x / THREADS_N * sizeof(float); }
  __device__ static int window_offset() { return Tiles::WINDOW_OFFSET + threadIdx.x % THREADS_N * sizeof(float); }

  struct Operands {
    float a[MICRO_M], b[MICRO_N];
  };
  __device__ static void read(Operands& operands, SharedAddress filter, SharedAddress window, int k) {
#pragma unroll
    for (int n = 0; n < MICRO_N; ++n) operands.b[n] = read_shared(window + k * WINDOW_STEP + n * THREADS_N * sizeof(float));
#pragma unroll
    for (int m = 0; m < MICRO_M; ++m) operands.a[m] = read_shared(filter + k * FILTER_STEP + m * THREADS_M * sizeof(float));
  }
  __device__ void multiply(const Operands& operands) {
#pragma unroll
    for (int m = 0; m < MICRO_M; ++m) {
#pragma unroll
      for (int n = 0; n < MICRO_N; ++n) sum_[m][n] = fmaf(operands.a[m], operands.b[n], sum_[m][n]);
    }
  }

  __device__ void store(const Problem& p, float* y, const OutputTile& tile, const Semaphores<PARTS>& semaphores, float*) const {
    semaphores.wait(0);
#pragma unroll
    for (int n = 0; n < MICRO_N; ++n) {
      const OutputColumn output(p, y, tile.first_pixel + threadIdx.x % THREADS_N + n * THREADS_N);
      const int first_channel = tile.first_channel + threadIdx.x / THREADS_N;
      float old[MICRO_M] = {};
#pragma unroll
      for (int m = 0; m < MICRO_M; ++m) {
        if (semaphores.add()) old[m] = output.template load<float>(first_channel + m * THREADS_M);
      }
#pragma unroll
      for (int m = 0; m < MICRO_M; ++m) output.store(first_channel + m * THREADS_M, old[m] + sum_[m][n]);
    }
    semaphores.pass(0);
  }

 private:
  static constexpr int FILTER_STEP = TILE_M * sizeof(float), WINDOW_STEP = Tiles::WINDOW_ROW * sizeof(float);

  float sum_[MICRO_M][MICRO_N] = {};
};

// As in im2win.cu.
TILED_TEMPLATE __global__ TILED_LAUNCH_BOUNDS void im2win_without_vectorized_load(TILED_PARAMETERS) {
  using Micro = ScalarMicroKernel<TILE_M, TILE_N, TILE_K, MICRO_M, MICRO_N>;
  using Window = WindowLoader<TILE_N, TILE_K, Micro::Tiles::WINDOW_ROW, Micro::THREADS>;
  using Filter = FilterLoader<TILE_M, TILE_K, Micro::THREADS, 1>;
  const Problem p = PROBLEM_ARGUMENTS;
  convolve_prefetched<Micro, Window, Filter, STAGES>(TILED_ARGUMENTS, WindowStart{p});
}

// im2win.cu without the micro-kernel: each thread computes one output, so every multiply-add reads two values from
// shared memory. A block of at most 1024 threads then covers a smaller tile.
#include "include/im2win_tile.cuh"

// One output of one thread, in place of MicroKernel.
template <int TILE_M, int TILE_N, int TILE_K>
class SingleOutput {
 public:
  using Tiles = Stage<TILE_M, TILE_N, TILE_K>;
  using OutputTile = Tile<TILE_M, TILE_N>;
  static constexpr int THREADS = TILE_M * TILE_N, SCRATCH = 0, PARTS = 1, SHARE_SEMAPHORE = 1;

  __device__ static int filter_offset() { return threadIdx.x / TILE_N * sizeof(float); }
  __device__ static int window_offset() { return Tiles::WINDOW_OFFSET + threadIdx.x % TILE_N * sizeof(float); }

  struct Operands {
    float a, b;
  };
  __device__ static void read(Operands& operands, SharedAddress filter, SharedAddress window, int k) {
    operands = {read_shared(filter + k * FILTER_STEP), read_shared(window + k * WINDOW_STEP)};
  }
  __device__ void multiply(const Operands& operands) { sum_ = fmaf(operands.a, operands.b, sum_); }

  __device__ void store(const Problem& p, float* y, const OutputTile& tile, const Semaphores<PARTS>& semaphores, float*) const {
    const OutputColumn output(p, y, tile.first_pixel + threadIdx.x % TILE_N);
    const int channel = tile.first_channel + threadIdx.x / TILE_N;
    semaphores.wait(0);
    output.store(channel, semaphores.add() ? output.template load<float>(channel) + sum_ : sum_);
    semaphores.pass(0);
  }

 private:
  static constexpr int FILTER_STEP = TILE_M * sizeof(float), WINDOW_STEP = Tiles::WINDOW_ROW * sizeof(float);

  float sum_ = 0.0f;
};

// As in im2win.cu, one thread for each output of the tile.
template <int TILE_M, int TILE_N, int TILE_K, int STAGES>
__global__ __launch_bounds__(TILE_M * TILE_N) void im2win_without_micro_kernel(TILED_PARAMETERS) {
  using Micro = SingleOutput<TILE_M, TILE_N, TILE_K>;
  using Window = WindowLoader<TILE_N, TILE_K, Micro::Tiles::WINDOW_ROW, Micro::THREADS>;
  using Filter = FilterLoader<TILE_M, TILE_K, Micro::THREADS, VECTOR>;
  const Problem p = PROBLEM_ARGUMENTS;
  convolve_prefetched<Micro, Window, Filter, STAGES>(TILED_ARGUMENTS, WindowStart{p});
}

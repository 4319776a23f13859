// im2win.cu without a window tensor in device memory: the window tile is built in shared memory straight from X. The
// table `k_bytes` and the filter's order follow X: k = (channel, row, column).
#include "include/im2win_tile.cuh"

// As in im2win.cu. LOADER says how a warp's copies are arranged: PixelLoader or WindowLoader.
template <template <int, int, int, int> class LOADER, int TILE_M, int TILE_N, int TILE_K, int MICRO_M, int MICRO_N, int STAGES>
__global__ __launch_bounds__(TILE_M / MICRO_M * (TILE_N / MICRO_N),
                                  (BLOCKS_PER_MULTIPROCESSOR<TILE_M / MICRO_M * (TILE_N / MICRO_N), MICRO_M * MICRO_N>))
void im2win_fused(const float* __restrict__ x, const float* __restrict__ filter, float* y,
                  const int* __restrict__ k_bytes, int* turns, int steps_per_block, int padded_channels,
                  PROBLEM_PARAMETERS) {
  using Micro = MicroKernel<TILE_M, TILE_N, TILE_K, MICRO_M, MICRO_N>;
  using Tiles = typename Micro::Tiles;
  using Window = LOADER<TILE_N, TILE_K, Tiles::WINDOW_ROW, Micro::THREADS>;
  using Filter = FilterLoader<TILE_M, TILE_K, Micro::THREADS, VECTOR>;
  __shared__ __align__(16) Tiles stages[STAGES];
  static_assert(sizeof(stages) >= Micro::THREADS * Micro::SCRATCH * sizeof(float), "the stages serve as scratch memory");

  const Problem p = PROBLEM_ARGUMENTS;
  const SharedAddress shared = shared_address(stages);
  convolve<Micro>(p, y, turns, steps_per_block, reinterpret_cast<float*>(stages),
                  [&](const Segment& segment, const typename Micro::OutputTile& tile, Micro& micro_kernel) {
    Window window_loader(p, x, k_bytes, tile.first_pixel, segment.first, InputStart{p});
    Filter filter_loader(filter, padded_channels, tile.first_channel, segment.first);
    multiply_prefetched<STAGES>(p, segment, shared, window_loader, filter_loader, micro_kernel);
  });
}

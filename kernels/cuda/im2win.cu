// The im2win convolution with all of the paper's optimizations (section 3.2): shared-memory tiles, a register
// micro-kernel, vectorized loads, double buffering and prefetching. The im2win_without_* files each lack one.
#include "include/im2win_tile.cuh"

TILED_TEMPLATE __global__ TILED_LAUNCH_BOUNDS void im2win(TILED_PARAMETERS) {
  using Micro = MicroKernel<TILE_M, TILE_N, TILE_K, MICRO_M, MICRO_N>;
  using Window = WindowLoader<TILE_N, TILE_K, Micro::Tiles::WINDOW_ROW, Micro::THREADS>;
  using Filter = FilterLoader<TILE_M, TILE_K, Micro::THREADS, VECTOR>;
  const Problem p = PROBLEM_ARGUMENTS;
  convolve_prefetched<Micro, Window, Filter, STAGES>(TILED_ARGUMENTS, WindowStart{p});
}

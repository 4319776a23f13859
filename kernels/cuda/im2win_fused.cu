// im2win.cu without a window tensor in device memory: the window tile is built in shared memory straight from X. The
// table `k_bytes` and the filter's order follow X: k = (channel, row, column).
#include "include/im2win_tile.cuh"

// As in im2win.cu. LOADER says how a warp's copies are arranged: PixelLoader or WindowLoader. PADDED if windows may reach
// beyond X.
template <template <int, int, int, int, bool> class LOADER, bool PADDED, int TILE_M, int TILE_N, int TILE_K, int MICRO_M, int MICRO_N, int STAGES>
__global__ TILED_LAUNCH_BOUNDS void im2win_fused(TILED_PARAMETERS) {
  using Micro = MicroKernel<TILE_M, TILE_N, TILE_K, MICRO_M, MICRO_N>;
  using Window = LOADER<TILE_N, TILE_K, Micro::Tiles::WINDOW_ROW, Micro::THREADS, PADDED>;
  using Filter = FilterLoader<TILE_M, TILE_K, Micro::THREADS, VECTOR>;
  const Problem p = PROBLEM_ARGUMENTS;
  convolve_prefetched<Micro, Window, Filter, STAGES>(TILED_ARGUMENTS, InputStart{p});
}

// im2win.cu without double buffering: one stage of shared memory. The next tile is still fetched while this one is
// multiplied, but into registers; it is written to shared memory between two barriers, while no warp multiplies.
#include "include/im2win_tile.cuh"

// As in im2win.cu; STAGES is not used.
TILED_TEMPLATE __global__ TILED_LAUNCH_BOUNDS void im2win_without_double_buffering(TILED_PARAMETERS) {
  using Micro = MicroKernel<TILE_M, TILE_N, TILE_K, MICRO_M, MICRO_N>;
  using Tiles = typename Micro::Tiles;
  using Window = WindowLoader<TILE_N, TILE_K, Tiles::WINDOW_ROW, Micro::THREADS>;
  using Filter = FilterLoader<TILE_M, TILE_K, Micro::THREADS, VECTOR>;
  const Problem p = PROBLEM_ARGUMENTS;
  convolve_staged<Micro, Window, Filter, 1>(
      TILED_ARGUMENTS, WindowStart{p},
      [&](const Segment& segment, SharedAddress shared, Window& window_loader, Filter& filter_loader, Micro& micro_kernel) {
    const SharedAddress window_to = shared + Tiles::WINDOW_OFFSET + Window::offset(), filter_to = shared + Filter::offset();
    const SharedAddress window_from = shared + Micro::window_offset(), filter_from = shared + Micro::filter_offset();
    const int tail = segment.tail(p.reduction(), TILE_K);
    int remaining = segment.last - segment.first;
    window_loader.fetch();
    filter_loader.fetch();
    for (; remaining > 0; --remaining) {
      __syncthreads();  // all warps have read the stage
      window_loader.put(window_to);
      filter_loader.put(filter_to);
      __syncthreads();  // the stage is filled
      if (remaining > 1) {
        window_loader.fetch();
        filter_loader.fetch();
      }
      if (remaining == 1 && tail != 0) {
        multiply_some(micro_kernel, filter_from, window_from, tail);
      } else {
        multiply_stage(micro_kernel, filter_from, window_from);
      }
    }
  });
}

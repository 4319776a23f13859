// im2win.cu without prefetching: a tile is copied from device memory in the step that multiplies it, and operands are
// read from shared memory when they are multiplied.
#include "include/im2win_tile.cuh"

// As in im2win.cu, with two stages: double buffering remains.
TILED_TEMPLATE __global__ TILED_LAUNCH_BOUNDS void im2win_without_prefetch(TILED_PARAMETERS) {
  using Micro = MicroKernel<TILE_M, TILE_N, TILE_K, MICRO_M, MICRO_N>;
  using Tiles = typename Micro::Tiles;
  using Window = WindowLoader<TILE_N, TILE_K, Tiles::WINDOW_ROW, Micro::THREADS>;
  using Filter = FilterLoader<TILE_M, TILE_K, Micro::THREADS, VECTOR>;
  const Problem p = PROBLEM_ARGUMENTS;
  convolve_staged<Micro, Window, Filter, STAGES>(
      TILED_ARGUMENTS, WindowStart{p},
      [&](const Segment& segment, SharedAddress shared, Window& window_loader, Filter& filter_loader, Micro& micro_kernel) {
    const SharedAddress window_to = shared + Tiles::WINDOW_OFFSET + Window::offset(), filter_to = shared + Filter::offset();
    const SharedAddress window_from = shared + Micro::window_offset(), filter_from = shared + Micro::filter_offset();
    const int tail = segment.tail(p.reduction(), TILE_K);
    int remaining = segment.last - segment.first, current = 0;
    for (; remaining > 0; --remaining) {
      // No prefetch: every thread waits for this tile from device memory before it can multiply.
      window_loader.start(window_to + current);
      filter_loader.start(filter_to + current);
      end_copies();
      // Multiple buffers: the next step writes another one, so one barrier a step is enough.
      wait_for_copies<0>();
      __syncthreads();
      if (remaining == 1 && tail != 0) {
        multiply_some(micro_kernel, filter_from + current, window_from + current, tail);
      } else {
        multiply_stage(micro_kernel, filter_from + current, window_from + current);
      }
      current = current + sizeof(Tiles) < STAGES * sizeof(Tiles) ? current + sizeof(Tiles) : 0;
    }
  });
}

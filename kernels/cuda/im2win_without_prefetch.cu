// im2win.cu without prefetching: a tile is copied from device memory in the step that multiplies it, and operands are
// read from shared memory when they are multiplied.
#include "include/im2win_tile.cuh"

// As in im2win.cu, with two stages: double buffering remains.
template <int TILE_M, int TILE_N, int TILE_K, int MICRO_M, int MICRO_N, int STAGES>
__global__ __launch_bounds__(TILE_M / MICRO_M * (TILE_N / MICRO_N),
                                  (BLOCKS_PER_MULTIPROCESSOR<TILE_M / MICRO_M * (TILE_N / MICRO_N), MICRO_M * MICRO_N>))
void im2win_without_prefetch(const float* __restrict__ window, const float* __restrict__ filter, float* y,
                             const int* __restrict__ k_bytes, int* turns, int steps_per_block, int padded_channels,
                             PROBLEM_PARAMETERS) {
  using Micro = MicroKernel<TILE_M, TILE_N, TILE_K, MICRO_M, MICRO_N>;
  using Tiles = typename Micro::Tiles;
  using Window = WindowLoader<TILE_N, TILE_K, Tiles::WINDOW_ROW, Micro::THREADS>;
  using Filter = FilterLoader<TILE_M, TILE_K, Micro::THREADS, VECTOR>;
  __shared__ __align__(16) Tiles stages[STAGES];
  static_assert(sizeof(stages) >= Micro::THREADS * Micro::SCRATCH * sizeof(float), "the stages serve as scratch memory");

  const Problem p = PROBLEM_ARGUMENTS;
  const SharedAddress shared = shared_address(stages);
  convolve<Micro>(p, y, turns, steps_per_block, reinterpret_cast<float*>(stages),
                  [&](const Segment& segment, const typename Micro::OutputTile& tile, Micro& micro_kernel) {
    Window window_loader(p, window, k_bytes, tile.first_pixel, segment.first, WindowStart{p});
    Filter filter_loader(filter, padded_channels, tile.first_channel, segment.first);
    const SharedAddress window_to = shared + Tiles::WINDOW_PLACE + Window::place(), filter_to = shared + Filter::place();
    const SharedAddress window_from = shared + Micro::window_place(), filter_from = shared + Micro::filter_place();
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
      current = current + sizeof(Tiles) < sizeof(stages) ? current + sizeof(Tiles) : 0;
    }
  });
}

// im2win.cu without double buffering: one stage of shared memory. The next tile is still fetched while this one is
// multiplied, but into registers; between two barriers, while nobody multiplies, it goes to shared memory.
#include "include/im2win_tile.cuh"

// As in im2win.cu; STAGES is not used.
template <int TILE_M, int TILE_N, int TILE_K, int MICRO_M, int MICRO_N, int STAGES>
__global__ __launch_bounds__(TILE_M / MICRO_M * (TILE_N / MICRO_N),
                                  (BLOCKS_PER_MULTIPROCESSOR<TILE_M / MICRO_M * (TILE_N / MICRO_N), MICRO_M * MICRO_N>))
void im2win_without_double_buffering(const float* __restrict__ window, const float* __restrict__ filter, float* y,
                                     const int* __restrict__ k_bytes, int* turns, int steps_per_block, int padded_channels,
                                     PROBLEM_PARAMETERS) {
  using Micro = MicroKernel<TILE_M, TILE_N, TILE_K, MICRO_M, MICRO_N>;
  using Tiles = typename Micro::Tiles;
  using Window = WindowLoader<TILE_N, TILE_K, Tiles::WINDOW_ROW, Micro::THREADS>;
  using Filter = FilterLoader<TILE_M, TILE_K, Micro::THREADS, VECTOR>;
  __shared__ __align__(16) Tiles stages[1];
  __shared__ __align__(16) float scratch[Micro::THREADS * Micro::SCRATCH];  // one stage is too small for the stores

  const Problem p = PROBLEM_ARGUMENTS;
  const SharedAddress shared = shared_address(stages);
  convolve<Micro>(p, y, turns, steps_per_block, scratch,
                  [&](const Segment& segment, const typename Micro::OutputTile& tile, Micro& micro_kernel) {
    Window window_loader(p, window, k_bytes, tile.first_pixel, segment.first, WindowStart{p});
    Filter filter_loader(filter, padded_channels, tile.first_channel, segment.first);
    const SharedAddress window_to = shared + Tiles::WINDOW_PLACE + Window::place(), filter_to = shared + Filter::place();
    const SharedAddress window_from = shared + Micro::window_place(), filter_from = shared + Micro::filter_place();
    const int tail = segment.tail(p.reduction(), TILE_K);
    int remaining = segment.last - segment.first;
    window_loader.fetch();
    filter_loader.fetch();
    for (; remaining > 0; --remaining) {
      __syncthreads();  // nobody multiplies the stage any more
      window_loader.put(window_to);
      filter_loader.put(filter_to);
      __syncthreads();  // the stage is there
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

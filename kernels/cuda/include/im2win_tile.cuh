// What the variants of the tiled im2win convolution share. A variant is a main loop over these parts: schedule.cuh says
// which tile a block computes, loaders.cuh brings tiles into shared memory, micro_kernel.cuh multiplies and stores. Those
// that prefetch have their main loop here too.
//
// The convolution is an implicit matrix product, M = out_channels, N = pixels, K = in_channels * kernel_h * kernel_w.
#pragma once
#include "loaders.cuh"
#include "micro_kernel.cuh"
#include "overlap.cuh"
#include "schedule.cuh"

// Blocks that share a multiprocessor, so that one multiplies while another waits at its barrier: as many as leave a thread
// the registers that its micro-tile needs. Compiled for Blackwell the same code needs more of them.
template <int MICRO_TILE>
constexpr int REGISTERS = MICRO_TILE <= SMALL_MICRO_TILE                           ? SMALL_TILE_REGISTERS
                          : MICRO_TILE <= MEDIUM_MICRO_TILE && __CUDA_ARCH__ < 1000 ? MEDIUM_TILE_REGISTERS
                                                                                    : MAX_REGISTERS;
template <int THREADS, int MICRO_TILE>
constexpr int BLOCKS_PER_MULTIPROCESSOR =
    REGISTER_FILE > THREADS * REGISTERS<MICRO_TILE> ? REGISTER_FILE / (THREADS * REGISTERS<MICRO_TILE>) : 1;

// The head of a tiled kernel. A tile is TILE_M output channels x TILE_N pixels, computed in steps of TILE_K values of the
// reduction; a thread computes MICRO_M x MICRO_N outputs; STAGES buffers of the pipeline lie in shared memory. Grid: x covers
// the steps of all tiles, `steps_per_block` each. `source` is the window tensor or X, `filter` F'[k][padded_channels],
// `k_bytes` the table of the loaders, `semaphores` are those of the stream-K fix-up, all of them 0.
#define TILED_TEMPLATE template <int TILE_M, int TILE_N, int TILE_K, int MICRO_M, int MICRO_N, int STAGES>
#define TILED_LAUNCH_BOUNDS                                        \
  __launch_bounds__(TILE_M / MICRO_M * (TILE_N / MICRO_N),         \
                    (BLOCKS_PER_MULTIPROCESSOR<TILE_M / MICRO_M * (TILE_N / MICRO_N), MICRO_M * MICRO_N>))
#define TILED_PARAMETERS                                                                                          \
  const float *__restrict__ source, const float *__restrict__ filter, float *y, const int *__restrict__ k_bytes, \
      int *semaphores, int steps_per_block, int padded_channels, PROBLEM_PARAMETERS
#define TILED_ARGUMENTS p, source, filter, y, k_bytes, semaphores, steps_per_block, padded_channels

// What every variant does around its main loop: takes this block's segments one after the other and stores their
// outputs. `main_loop(segment, tile, micro_kernel)` multiplies the segment's steps. Sizes is a Problem.
template <class Micro, class Sizes, class MainLoop>
__device__ void convolve(const Sizes& p, float* y, int* semaphores, int steps_per_block, float* scratch, MainLoop main_loop) {
  const int steps = (p.reduction() + Micro::Tiles::VALUES - 1) / Micro::Tiles::VALUES;
  const int tiles = Micro::OutputTile::count(p);
  wait_for_prerequisite();  // for the window tensor and the reordered filter
  for (int position = Segment::begin(steps_per_block); position < Segment::end(steps, steps_per_block, tiles);) {
    Micro micro_kernel;
    {
      const Segment segment(position, steps, steps_per_block, tiles);
      main_loop(segment, typename Micro::OutputTile(p, segment.tile), micro_kernel);
    }
    position = optimization_barrier(position);
    const Segment segment(position, steps, steps_per_block, tiles);
    __syncthreads();  // all warps have read the stages, which now serve as scratch memory
    const Semaphores<Micro::PARTS> semaphores_of_warp(semaphores, Micro::THREADS / 32, segment, Micro::SHARE_SEMAPHORE);
    micro_kernel.store(p, y, typename Micro::OutputTile(p, segment.tile), semaphores_of_warp, scratch);
    position += segment.last - segment.first;
    __syncthreads();  // and the scratch memory, before the next segment's copies overwrite it
  }
}

// Multiplies the first `values` of a filled stage; `filter` and `window` are its address plus the offsets of Micro.
template <class Micro>
__device__ void multiply_some(Micro& micro_kernel, SharedAddress filter, SharedAddress window, int values) {
#pragma unroll 1
  for (int k = 0; k < values; ++k) {
    typename Micro::Operands operands;
    Micro::read(operands, filter, window, k);
    micro_kernel.multiply(operands);
  }
}
// All values of a stage.
template <class Micro>
__device__ void multiply_stage(Micro& micro_kernel, SharedAddress filter, SharedAddress window) {
#pragma unroll
  for (int k = 0; k < Micro::Tiles::VALUES; ++k) {
    typename Micro::Operands operands;
    Micro::read(operands, filter, window, k);
    micro_kernel.multiply(operands);
  }
}

// The main loop with prefetching and STAGES buffers: multiplies `steps`. `shared` is where the stages lie.
template <int STAGES, class Window, class Filter, class Micro>
__device__ void multiply_prefetched(const Problem& p, const Steps& steps, SharedAddress shared, Window& window_loader,
                                    Filter& filter_loader, Micro& micro_kernel) {
  using Tiles = typename Micro::Tiles;
  const SharedAddress window_to = shared + Tiles::WINDOW_OFFSET + Window::offset(), filter_to = shared + Filter::offset();
  const SharedAddress window_from = shared + Micro::window_offset(), filter_from = shared + Micro::filter_offset();
  // The reduction's last step may have fewer values than Tiles::VALUES.
  const int tail = steps.tail(p.reduction(), Tiles::VALUES);
  int remaining = steps.last - steps.first, current = 0;
  for (int stage = 0; stage < STAGES; ++stage) {
    if (stage < remaining) {
      window_loader.start(window_to + stage * sizeof(Tiles));
      filter_loader.start(filter_to + stage * sizeof(Tiles));
    }
    end_copies();
  }
  wait_for_copies<STAGES - 1>();
  __syncthreads();
  typename Micro::Operands operands[2];
  static_assert(Tiles::VALUES % 2 == 0, "operands change places an even number of times in a step");
  Micro::read(operands[0], filter_from, window_from, 0);
  for (; remaining > (tail != 0); --remaining) {
#pragma unroll
    for (int k = 0; k < Tiles::VALUES; ++k) {
      // Prefetch into registers: the next operands are read while these are multiplied.
      if (k + 1 < Tiles::VALUES) {
        Micro::read(operands[(k + 1) % 2], filter_from + current, window_from + current, k + 1);
      } else {
        // Multiple buffers: after this barrier the next stage is filled and the current one is free, so that a later
        // step's tiles can be copied into it.
        wait_for_copies<STAGES - 2>();
        __syncthreads();
        if (remaining > STAGES) {
          window_loader.start(window_to + current);
          filter_loader.start(filter_to + current);
        }
        end_copies();
        current = current + sizeof(Tiles) < STAGES * sizeof(Tiles) ? current + sizeof(Tiles) : 0;
        Micro::read(operands[0], filter_from + current, window_from + current, 0);  // unused after the last step
      }
      micro_kernel.multiply(operands[k % 2]);
    }
  }
  if (tail != 0) multiply_some(micro_kernel, filter_from + current, window_from + current, tail);
}

// A tiled kernel whose operands pass through STAGES buffers in shared memory, which the loaders fill.
// `start(pixel)` says where a pixel's window begins in `source`; `main_loop(segment, shared, window_loader, filter_loader,
// micro_kernel)` multiplies the segment's steps, `shared` being where the stages lie.
template <class Micro, class Window, class Filter, int STAGES, class Start, class MainLoop>
__device__ void convolve_staged(const Problem& p, const float* source, const float* filter, float* y, const int* k_bytes,
                                int* semaphores, int steps_per_block, int padded_channels, Start start,
                                MainLoop main_loop) {
  using Tiles = typename Micro::Tiles;
  constexpr int SCRATCH = Micro::THREADS * Micro::SCRATCH;
  __shared__ __align__(16) Tiles stages[STAGES];
  float* scratch = reinterpret_cast<float*>(stages);  // of the epilogue, once the stages are no longer read
  if constexpr (sizeof(stages) < SCRATCH * sizeof(float)) {
    __shared__ __align__(16) float separate[SCRATCH];
    scratch = separate;
  }
  const SharedAddress shared = shared_address(stages);
  convolve<Micro>(p, y, semaphores, steps_per_block, scratch,
                  [&](const Segment& segment, const typename Micro::OutputTile& tile, Micro& micro_kernel) {
    Window window_loader(p, source, k_bytes, tile.first_pixel, segment.first, start);
    Filter filter_loader(filter, padded_channels, tile.first_channel, segment.first);
    main_loop(segment, shared, window_loader, filter_loader, micro_kernel);
  });
}

// The same with all optimizations: the main loop prefetches.
template <class Micro, class Window, class Filter, int STAGES, class Start>
__device__ void convolve_prefetched(const Problem& p, const float* source, const float* filter, float* y,
                                    const int* k_bytes, int* semaphores, int steps_per_block, int padded_channels,
                                    Start start) {
  convolve_staged<Micro, Window, Filter, STAGES>(
      TILED_ARGUMENTS, start,
      [&](const Segment& segment, SharedAddress shared, Window& window_loader, Filter& filter_loader, Micro& micro_kernel) {
    multiply_prefetched<STAGES>(p, segment, shared, window_loader, filter_loader, micro_kernel);
  });
}

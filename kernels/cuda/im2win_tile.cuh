// What the variants of the tiled im2win convolution share. A variant is a main loop over these parts: schedule.cuh says
// which tile a block computes, loaders.cuh brings tiles into shared memory, micro_kernel.cuh multiplies and stores. Those
// that prefetch have their main loop here too.
//
// The convolution is an implicit matrix product, M = out_channels, N = pixels, K = in_channels * kernel_h * kernel_w.
#pragma once
#include "loaders.cuh"
#include "micro_kernel.cuh"
#include "schedule.cuh"

// Blocks that share a multiprocessor, so that one multiplies while another waits at its barrier: as many as leave a thread
// the registers that its micro-tile needs. Compiled for Blackwell the same code needs more of them.
template <int MICRO_TILE>
constexpr int REGISTERS = MICRO_TILE <= 32 ? 128 : MICRO_TILE <= 64 && __CUDA_ARCH__ < 1000 ? 168 : 255;
template <int THREADS, int MICRO_TILE>
constexpr int BLOCKS_PER_MULTIPROCESSOR =
    65536 > THREADS * REGISTERS<MICRO_TILE> ? 65536 / (THREADS * REGISTERS<MICRO_TILE>) : 1;

// What every variant does around its main loop: takes this block's segments one after the other and stores their
// outputs. `main_loop(segment, tile, micro_kernel)` multiplies the segment's steps.
template <class Micro, class MainLoop>
__device__ void convolve(const Problem& p, float* y, int* turns, int steps_per_block, float* scratch, MainLoop main_loop) {
  const int steps = (p.reduction() + Micro::Tiles::VALUES - 1) / Micro::Tiles::VALUES;
  const int tiles = Micro::OutputTile::count(p);
  for (int position = Segment::begin(steps_per_block); position < Segment::end(steps, steps_per_block, tiles);) {
    Micro micro_kernel;
    {
      const Segment segment(position, steps, steps_per_block, tiles);
      main_loop(segment, typename Micro::OutputTile(p, segment.tile), micro_kernel);
    }
    position = opaque(position);
    const Segment segment(position, steps, steps_per_block, tiles);
    const bool add = segment.wait(turns);
    __syncthreads();  // nobody reads the stages any more: they serve as scratch memory
    micro_kernel.store(p, y, typename Micro::OutputTile(p, segment.tile), add, scratch);
    segment.pass(turns);
    position += segment.last - segment.first;
    __syncthreads();  // nor when the next segment's copies begin
  }
}

// The main loop with prefetching and STAGES buffers: multiplies the steps of `segment`. `shared` is where the stages lie.
template <int STAGES, class Window, class Filter, class Micro>
__device__ void multiply_prefetched(const Problem& p, const Segment& segment, SharedAddress shared, Window& window_loader,
                                    Filter& filter_loader, Micro& micro_kernel) {
  using Tiles = typename Micro::Tiles;
  const SharedAddress window_to = shared + Tiles::WINDOW_PLACE + Window::place(), filter_to = shared + Filter::place();
  const SharedAddress window_from = shared + Micro::window_place(), filter_from = shared + Micro::filter_place();
  // The reduction's last step may have fewer values than Tiles::VALUES.
  const int tail = segment.tail(p.reduction(), Tiles::VALUES);
  int remaining = segment.last - segment.first, current = 0;
  for (int stage = 0; stage < STAGES - 1; ++stage) {
    if (stage < remaining) {
      window_loader.start(window_to + stage * sizeof(Tiles));
      filter_loader.start(filter_to + stage * sizeof(Tiles));
    }
    end_copies();
  }
  for (; remaining > (tail != 0); --remaining) {
    // Multiple buffers: after this barrier the current tiles are there and nobody reads those before any more.
    wait_for_copies<STAGES - 2>();
    __syncthreads();
    // Prefetch: later tiles are copied from device memory while these are multiplied.
    if (remaining >= STAGES) {
      const int next = current == 0 ? (STAGES - 1) * sizeof(Tiles) : current - sizeof(Tiles);
      window_loader.start(window_to + next);
      filter_loader.start(filter_to + next);
    }
    end_copies();
    micro_kernel.multiply(filter_from + current, window_from + current);
    current = current + sizeof(Tiles) < STAGES * sizeof(Tiles) ? current + sizeof(Tiles) : 0;
  }
  if (tail != 0) {
    wait_for_copies<0>();
    __syncthreads();
    micro_kernel.multiply(filter_from + current, window_from + current, tail);
  }
}

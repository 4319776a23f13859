// im2win_fused.cu for few tiles: the blocks of a cluster split the reduction of a tile. Each then sums a share of the tile's
// outputs, which it reads from the shared memory of all of them. So no block waits for another to write Y, and results
// repeat bit for bit. With so little to compute, reordering F would take a third of the time: it is read as it is.
#include "include/cluster.cuh"
#include "include/im2win_tile.cuh"

// As im2win_fused, with BLOCKS in a cluster; the reduction has at least as many steps. Dynamic shared memory: see
// kernels/families/im2win.py. Grid: x covers the tiles, BLOCKS each.
template <int BLOCKS, template <int, int, int, int, bool> class LOADER, bool PADDED, int TILE_M, int TILE_N, int TILE_K,
          int MICRO_M, int MICRO_N, int STAGES>
__global__ __launch_bounds__(TILE_M / MICRO_M * (TILE_N / MICRO_N),
                                  (BLOCKS_PER_MULTIPROCESSOR<TILE_M / MICRO_M * (TILE_N / MICRO_N), MICRO_M * MICRO_N>))
void im2win_fused_cluster(const float* __restrict__ x, const float* __restrict__ filter, float* y,
                          const int* __restrict__ k_bytes, PROBLEM_PARAMETERS) {
  using Micro = MicroKernel<TILE_M, TILE_N, TILE_K, MICRO_M, MICRO_N, VECTOR>;
  using Tiles = typename Micro::Tiles;
  using Window = LOADER<TILE_N, TILE_K, Tiles::WINDOW_ROW, Micro::THREADS, PADDED>;
  using Filter = PlainFilterLoader<TILE_M, TILE_K, Tiles::FILTER_ROW, Micro::THREADS>;
  extern __shared__ unsigned char dynamic[];  // the stages, and later the block's sums for the whole tile

  const Problem p = PROBLEM_ARGUMENTS;
  const SharedAddress shared = shared_address(dynamic);
  const int rank = cluster_rank(), number = block_index() / BLOCKS;
  const typename Micro::OutputTile tile(p, number);
  Micro micro_kernel;
  {
    const int all = (p.reduction() + TILE_K - 1) / TILE_K;
    const Steps steps{number, rank * all / BLOCKS, (rank + 1) * all / BLOCKS};
    Window window_loader(p, x, k_bytes, tile.first_pixel, steps.first, InputStart{p});
    Filter filter_loader(p, filter, tile.first_channel, steps.first);
    multiply_prefetched<STAGES>(p, steps, shared, window_loader, filter_loader, micro_kernel);
  }
  __syncthreads();  // all warps have read the stages
  micro_kernel.put(shared);
  sync_cluster();

  // Of the tile's rows, those of this block; neighbouring threads take neighbouring pixels.
  constexpr int ROWS = TILE_M / BLOCKS, OUTPUTS = ROWS * TILE_N / Micro::THREADS, STEP = Micro::THREADS / TILE_N;
  static_assert(TILE_M % BLOCKS == 0 && Micro::THREADS % TILE_N == 0 && ROWS % STEP == 0, "all threads add equally many");
  const int first_row = rank * ROWS + threadIdx.x / TILE_N, column = threadIdx.x % TILE_N;
  float sums[OUTPUTS] = {};
#pragma unroll
  for (int block = 0; block < BLOCKS; ++block) {
    const SharedAddress from = in_block(block, shared + (first_row * TILE_N + column) * sizeof(float));
#pragma unroll
    for (int i = 0; i < OUTPUTS; ++i) sums[i] += read_cluster(from + i * STEP * TILE_N * sizeof(float));
  }
  const OutputColumn output(p, y, tile.first_pixel + column);
#pragma unroll
  for (int i = 0; i < OUTPUTS; ++i) output.store(tile.first_channel + first_row + i * STEP, sums[i]);
  sync_cluster();  // no block may exit while another reads its sums
}

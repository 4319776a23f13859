// The im2win convolution on tensor cores with error compensation, for GPUs without wgmma: the same split, scales and
// order of products as im2win_tensor_core_wgmma.cu, with the instructions of Ampere (mma.sync, ldmatrix, cp.async).
#include "include/mma.cuh"
#include "include/overlap.cuh"
#include "include/tensor_core.cuh"

// A block computes TILE_M output channels x TILE_N pixels, each of its warps WARP_M x WARP_N of them. Arguments, grid
// and dynamic shared memory as for im2win_tensor_core_wgmma.
template <int TILE_M, int TILE_N, int WARP_M, int WARP_N, int PARTS, bool GENERAL>
__global__ __launch_bounds__(TILE_M / WARP_M * (TILE_N / WARP_N) * 32, 1) void im2win_tensor_core_mma(
    const float* __restrict__ x, const float* __restrict__ f, const unsigned char* __restrict__ filter_tiles,
    const float* __restrict__ filter_factors, const int* __restrict__ offsets, float* __restrict__ y,
    TENSOR_CORE_PARAMETERS) {
  constexpr int WARPS_N = TILE_N / WARP_N, THREADS = TILE_M / WARP_M * WARPS_N * 32;
  constexpr int FILTER_BYTES = (PARTS - 1) * TILE_M * ROW_BYTES, WINDOW_TILE_BYTES = TILE_N * ROW_BYTES;
  constexpr int STAGE_BYTES = FILTER_BYTES + (PARTS - 1) * WINDOW_TILE_BYTES;
  static_assert(PARTS == 2 || TILE_M == FILTER_ROWS, "only one filter tile's parts lie behind each other");
  static_assert(THREADS == TILE_N * CHUNKS, "each thread gathers one chunk of one pixel's window");
  static_assert(TILE_M % FILTER_ROWS == 0, "whole tiles of the split filter");
  static_assert(WARP_M % 16 == 0 && WARP_N % 16 == 0, "operands are read 16 rows at a time");
  extern __shared__ __align__(128) unsigned char dynamic[];
  unsigned char* const buffers = dynamic;
  float* const factors = reinterpret_cast<float*>(buffers + 2 * STAGE_BYTES);  // [2][TILE_N]

  const TensorCorePlan plan = TENSOR_CORE_ARGUMENTS;
  const Problem& p = plan.problem;
  const TensorCoreTile tile = TensorCoreTile::find<GENERAL>(plan, blockIdx.x, TILE_M, TILE_N);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int first_row = warp / WARPS_N * WARP_M, first_column = warp % WARPS_N * WARP_N;
  // Four neighbouring threads share a pixel.
  const int row = threadIdx.x / CHUNKS, chunk = threadIdx.x % CHUNKS;
  const Pixel at = find_pixel(p, tile.first_pixel + pixel_of_row(plan, row));
  const unsigned window = find_window<GENERAL>(p, at, tile.group);
  float values[CHUNK];
  float factor_sum = 0.0f;  // of the row's factors
  bool has_lost = false;    // one of its values bits

  const auto start = [&](int k_block, int stage) {
    const unsigned char* filter = filter_tiles + filter_tile_offset<TILE_M, PARTS>(p, tile.filter_row, k_block);
#pragma unroll
    for (int i = threadIdx.x * 16; i < FILTER_BYTES; i += THREADS * 16) {
      copy_chunk_async(buffers + stage * STAGE_BYTES + i, filter + i);
    }
    unsigned inside = 0;
    if (GENERAL) {
      inside = values_inside(p, at, offsets + k_blocks * K_BLOCK + k_block * (p.kernel_h + p.kernel_w));
    }
#pragma unroll
    for (int k = 0; k < CHUNK; ++k) {
      values[k] = 0.0f;
      if (GENERAL && !(inside >> (chunk * CHUNK + k) & 1)) continue;
      values[k] = load(x, window + __ldg(offsets + k_block * K_BLOCK + chunk * CHUNK + k));
    }
  };
  const auto finish = [&](int stage, int k_block) {
    const Ranks ranks(values);
    float largest = ranks.magnitude();
    for (int lanes = 1; lanes < CHUNKS; lanes *= 2) {
      largest = max_magnitude(largest, __shfl_xor_sync(0xffffffffu, largest, lanes));
    }
    const KBlockScale scale(largest, exponent_limit);
    const SplitChunk<PARTS> split(values, scale.scale);
    const unsigned first_chunk = shared_address(buffers + stage * STAGE_BYTES + FILTER_BYTES) + chunk_offset(row, 0);
#pragma unroll
    for (int part = 0; part < SplitChunk<PARTS>::STORED; ++part) {
      store_chunk(first_chunk + part / 2 * WINDOW_TILE_BYTES, part % 2 * CHUNKS + chunk, split.parts[part]);
    }
    float rest = PARTS == 2 && split.rest() != 0 ? 1.0f : 0.0f;  // the sums of three parts' largest products are exact
    for (int lanes = 1; lanes < CHUNKS; lanes *= 2) rest += __shfl_xor_sync(0xffffffffu, rest, lanes);
    const float factor = make_up_for_cuts<34>(scale.factor, rest != 0.0f, k_block, tile.first_pixel + row);
    if (chunk == 0) factors[stage * TILE_N + row] = factor;
    factor_sum += factor;
    has_lost |= ranks.lose_bits(scale.scale);
    end_copies();
    wait_for_copies<0>();
  };

  wait_for_prerequisite();  // for the split filter
  float results[WARP_M / 16][WARP_N / 8][4] = {};
  start(tile.first_k_block, 0);
  finish(0, tile.first_k_block);
  for (int k_block = tile.first_k_block; k_block < tile.last_k_block; ++k_block) {
    const int current = (k_block - tile.first_k_block) & 1;
    __syncthreads();
    if (k_block + 1 < tile.last_k_block) start(k_block + 1, current ^ 1);

    float sums[WARP_M / 16][WARP_N / 8][4] = {}, exact[WARP_M / 16][WARP_N / 8][4] = {};  // see im2win_..._wgmma.cu
    const unsigned filter = shared_address(buffers + current * STAGE_BYTES), windows = filter + FILTER_BYTES;
#pragma unroll
    for (int product = 0; product < PART_PRODUCTS<PARTS>; ++product) {
      const PartProduct of = part_product<PARTS>(product);
      auto& target = PARTS == 3 && product == PART_PRODUCTS<PARTS> - 1 ? exact : sums;
      const unsigned a_tile = filter + of.filter / 2 * FILTER_TILE_BYTES;
      const unsigned b_tile = windows + of.window / 2 * WINDOW_TILE_BYTES;
#pragma unroll
      for (int k = 0; k < CHUNKS; k += 2) {
        unsigned a[WARP_M / 16][4];
#pragma unroll
        for (int m = 0; m < WARP_M / 16; ++m) {
          const int at = first_row + m * 16 + lane % 16;
          load_matrices(a[m], a_tile + chunk_offset(at, of.filter % 2 * CHUNKS + k + lane / 16));
        }
#pragma unroll
        for (int n = 0; n < WARP_N / 16; ++n) {
          unsigned b[4];
          const int at = first_column + n * 16 + lane / 16 * 8 + lane % 8;
          load_matrices(b, b_tile + chunk_offset(at, of.window % 2 * CHUNKS + k + lane / 8 % 2));
#pragma unroll
          for (int m = 0; m < WARP_M / 16; ++m) {
            multiply_matrices(target[m][2 * n], a[m], b[0], b[1]);
            multiply_matrices(target[m][2 * n + 1], a[m], b[2], b[3]);
          }
        }
      }
    }
#pragma unroll
    for (int n = 0; n < WARP_N / 8; ++n) {
      const float2 factor =
          *reinterpret_cast<const float2*>(factors + current * TILE_N + first_column + n * 8 + lane % 4 * 2);
#pragma unroll
      for (int m = 0; m < WARP_M / 16; ++m) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          results[m][n][i] = fmaf(sums[m][n][i], i % 2 ? factor.y : factor.x, results[m][n][i]);
          if (PARTS == 3) results[m][n][i] = fmaf(exact[m][n][i], i % 2 ? factor.y : factor.x, results[m][n][i]);
        }
      }
    }
    if (k_block + 1 < tile.last_k_block) finish(current ^ 1, k_block + 1);
  }

  float lost = has_lost ? 1.0f : 0.0f;
  for (int lanes = 1; lanes < CHUNKS; lanes *= 2) lost += __shfl_xor_sync(0xffffffffu, lost, lanes);
  __syncthreads();
  if (chunk == 0) factors[row] = lost > 0.0f ? -factor_sum : factor_sum;  // as one K block's
  __syncthreads();
  const AccuracyLimit limit(p);
#pragma unroll
  for (int m = 0; m < WARP_M / 16; ++m) {
    const int channel = tile.first_channel + first_row + m * 16 + lane / 4;
    const int end = end_of_group<GENERAL>(p, tile.first_channel);
    const TensorCoreOutput<WARP_N> output(plan, y + tile.output, channel, end, tile.first_pixel + first_column);
    const RowFactors row_factors(filter_factors, plan.epilogue, channel, end);
#pragma unroll
    for (int n = 0; n < WARP_N / 8; ++n) {
      const float2 sums = *reinterpret_cast<const float2*>(factors + first_column + n * 8 + lane % 4 * 2);
      ColumnFactors first = {}, second = {};
      first.add(sums.x), second.add(sums.y);
      check_accuracy(results[m][n], limit, first, second, row_factors);
    }
    const bool finite = output.store(results[m], row_factors);
    if (__any_sync(0xffffffffu, !finite)) {
      output.store_strict(x, f, tile.first_k_block * K_BLOCK, tile.last_k_block * K_BLOCK);
    }
  }
}

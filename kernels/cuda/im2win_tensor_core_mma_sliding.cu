// The im2win convolution on tensor cores with the paper's window tensor in shared memory, for GPUs without wgmma: the idea,
// the words and the order of K of im2win_tensor_core_sliding.cu, with the instructions of Ampere (mma.sync, ldmatrix, cp.async).
//
// A position's values are a row of a tile: 128 bytes, two parts, chunks exchanged by position % 8. Eight neighbouring
// positions differ in that, wherever they begin: so ldmatrix reads them without bank conflicts, and a tap further is a row
// further. All warps gather and multiply: the loads of the next K block or phase are in flight during the products of a tap.
#include "include/mma.cuh"
#include "include/overlap.cuh"
#include "include/positions.cuh"
#include "include/warpgroups.cuh"

// Each warp of a block computes WARP_M output channels x WARP_N positions.
template <int TILE_M, int TILE_N, int WARP_M, int WARP_N>
struct MmaShape {
  static constexpr int WARPS_N = TILE_N / WARP_N, WARPS = TILE_M / WARP_M * WARPS_N, THREADS = 32 * WARPS;
  // A warp gathers the positions of a unit together, two lanes for each. They have one scale.
  static constexpr int UNITS = (TILE_N + MAX_SHIFT + MMA_UNIT - 1) / MMA_UNIT, UNITS_PER_WARP = (UNITS + WARPS - 1) / WARPS;
  static constexpr int POSITIONS = TILE_N + MAX_SHIFT;  // that windows reach
  static constexpr int WINDOW_BYTES = UNITS * MMA_UNIT * ROW_BYTES, FILTER_BYTES = TILE_M * ROW_BYTES;
  static_assert(WARPS * 16 * (EPILOGUE_COLUMNS + EPILOGUE_PAD) * 4 <= 2 * WINDOW_BYTES, "the epilogue's buffers fit");
  static_assert(MMA_UNIT == 16, "two lanes for each position of a unit");
  static_assert(TILE_M % WARP_M == 0 && TILE_N % WARP_N == 0 && WARP_M % 16 == 0 && WARP_N % 8 == 0, "whole fragments");
};

// A thread as one of those that gather: the half of a K block's values that it takes, and the place of its position in
// a unit. Computed anew each time: kept through the products, it would take registers that there are not.
struct GatheringThread {
  int warp, half, place;
  __device__ GatheringThread() {
    const unsigned thread = optimization_barrier(static_cast<int>(threadIdx.x));
    warp = thread / 32, half = thread % 32 / MMA_UNIT, place = thread % MMA_UNIT;
  }
};

// The taps of a tile in their order: K blocks, their phases, and the columns of the filter in each.
struct Taps {
  int k_block, phase, tap;
  __device__ void next(int tap_step, int phases, int kernel_w) {
    if ((tap += tap_step) < kernel_w) return;
    if (++phase == phases) phase = 0, ++k_block;
    tap = phase;
  }
};

// Adds the products of one tap, over VALUES of a K block, to a warp's results. `filter` is the address of the lane's row of
// the filter's first fragment, `window` that of the windows'; `undo` are the factors of the lane's columns.
template <int VALUES, int ROWS_M, int COLUMNS>
__device__ inline void multiply_tap(float (&results)[ROWS_M][COLUMNS][4], unsigned filter, unsigned window,
                                    const float* undo) {
  unsigned a[2][VALUES / 16][ROWS_M][4];
#pragma unroll
  for (int part = 0; part < 2; ++part) {
#pragma unroll
    for (int k = 0; k < VALUES / 16; ++k) {
#pragma unroll
      for (int m = 0; m < ROWS_M; ++m) {
        load_matrices(a[part][k][m], (filter ^ (part * CHUNKS + 2 * k) << 4) + m * 16 * ROW_BYTES);
      }
    }
  }
#pragma unroll
  for (int j = 0; j < COLUMNS; ++j) {
    unsigned b[2][4];  // of eight positions: all of a part's K block
#pragma unroll
    for (int part = 0; part < 2; ++part) {
      load_matrices(b[part], (window ^ (part * CHUNKS) << 4) + j * 8 * ROW_BYTES);
    }
    float sums[ROWS_M][4] = {};
#pragma unroll
    for (int product = 0; product < PART_PRODUCTS<2>; ++product) {
      const PartProduct of = part_product<2>(product);
#pragma unroll
      for (int k = 0; k < VALUES / 16; ++k) {
#pragma unroll
        for (int m = 0; m < ROWS_M; ++m) {
          multiply_matrices(sums[m], a[of.filter][k][m], b[of.window][2 * k], b[of.window][2 * k + 1]);
        }
      }
    }
    const float first = undo[8 * j], second = undo[8 * j + 1];
#pragma unroll
    for (int m = 0; m < ROWS_M; ++m) {
      results[m][j][0] = fmaf(sums[m][0], first, results[m][j][0]);
      results[m][j][1] = fmaf(sums[m][1], second, results[m][j][1]);
      results[m][j][2] = fmaf(sums[m][2], first, results[m][j][2]);
      results[m][j][3] = fmaf(sums[m][3], second, results[m][j][3]);
    }
  }
}

// BLOCKS share a multiprocessor's registers. With HALVES the products of a half empty K block are left out. Arguments as
// for im2win_tensor_core_sliding. Grid: one block for each tile. Dynamic shared memory: see
// kernels/tiles/tensor_core_sliding.py.
template <int TILE_M, int TILE_N, int WARP_M, int WARP_N, int BLOCKS, bool HALVES, bool GENERAL>
__global__ __launch_bounds__(TILE_M / WARP_M * (TILE_N / WARP_N) * 32, BLOCKS) void im2win_tensor_core_mma_sliding(
    const float* __restrict__ x, const float* __restrict__ f, const unsigned char* __restrict__ filter_tiles,
    const float* __restrict__ filter_factors, const int* __restrict__ offsets, float* __restrict__ y, int pitch,
    unsigned pitch_multiplier, unsigned pitch_shift, int tap_step, int tap_shift, TENSOR_CORE_PARAMETERS) {
  using S = MmaShape<TILE_M, TILE_N, WARP_M, WARP_N>;
  using Output = WarpOutput<WARP_N, Positions>;
  constexpr int HALF = K_BLOCK / 2, ROWS_M = WARP_M / 16, COLUMNS = WARP_N / 8;
  extern __shared__ __align__(128) unsigned char dynamic[];
  unsigned char* const filters = dynamic + 2 * S::WINDOW_BYTES;
  float* const factors = reinterpret_cast<float*>(filters + 2 * S::FILTER_BYTES);  // [2][POSITIONS]
  ColumnFactors* const unit_factors = reinterpret_cast<ColumnFactors*>(factors + 2 * S::POSITIONS);  // [UNITS]

  const TensorCorePlan plan = TENSOR_CORE_ARGUMENTS;
  const Problem& p = plan.problem;
  const FastDivision by_pitch = {pitch, pitch_multiplier, pitch_shift};
  if (!GENERAL) tap_step = p.stride_w, tap_shift = 1;
  const int phases = min(tap_step, p.kernel_w);
  // What is seldom needed of a tile is computed anew each time, too.
  const auto find_tile = [&] {
    return TensorCoreTile::find<GENERAL>(plan, optimization_barrier(static_cast<int>(blockIdx.x)), TILE_M, TILE_N);
  };
  const TensorCoreTile tile = find_tile();
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int first_row = warp / S::WARPS_N * WARP_M, first_column = warp % S::WARPS_N * WARP_N;
  float values[S::UNITS_PER_WARP][HALF];

  const auto gather_values = [&](int k_block, int phase) {
    const GatheringThread thread;
#pragma unroll
    for (int i = 0; i < S::UNITS_PER_WARP; ++i) {
      const int unit = thread.warp + i * S::WARPS, half = thread.half;
      if (S::UNITS % S::WARPS != 0 && unit >= S::UNITS) break;
      const Place place(p, by_pitch, tile.first_pixel + unit * MMA_UNIT + thread.place);
      unsigned inside = 0, start;
      if (GENERAL) {
        const Pixel at = place.pixel(p);
        const int moved = phase * p.dilation_w;
        start = find_window<GENERAL>(p, at, tile.group) + moved * sizeof(float);
        if (is_inside(at.first_column(p) + moved, p.width)) {
          const int* const rows = offsets + plan.k_blocks * K_BLOCK + k_block * (p.kernel_h + p.kernel_w);
          inside = values_inside_rows(p, at.first_row(p), rows) >> (half * HALF);
        }
      } else {
        start = place.find_window(p, phase);
      }
      gather<GENERAL>(values[i], x, start, offsets + k_block * K_BLOCK + half * HALF, inside);
    }
  };
  const auto split_values = [&](int stage, int k_block, int phase) {
    const GatheringThread thread;
#pragma unroll
    for (int i = 0; i < S::UNITS_PER_WARP; ++i) {
      const int unit = thread.warp + i * S::WARPS, position = unit * MMA_UNIT + thread.place, half = thread.half;
      if (S::UNITS % S::WARPS != 0 && unit >= S::UNITS) break;
      Ranks ranks(values[i]);
      ranks.largest = __reduce_max_sync(0xffffffffu, ranks.largest);
      const KBlockScale scale(ranks.magnitude(), exponent_limit);
      const bool has_lost = __any_sync(0xffffffffu, ranks.lose_bits(scale.scale));
      unsigned rest = 0;
      const unsigned first_chunk =
          shared_address(dynamic + stage * S::WINDOW_BYTES) + chunk_offset(position, half * (CHUNKS / 2));
#pragma unroll
      for (int chunk = 0; chunk < CHUNKS / 2; ++chunk) {
        const SplitChunk<2> split(values[i] + chunk * CHUNK, scale.scale);
        store_chunk(first_chunk, chunk, split.parts[0]);
        store_chunk(first_chunk, CHUNKS + chunk, split.parts[1]);
        rest |= split.rest();
      }
      const bool is_cut = __any_sync(0xffffffffu, rest != 0);
      const float factor = make_up_for_cuts<33>(scale.factor, is_cut, k_block, blockIdx.x + unit + phase);
      if (half == 0 && position < S::POSITIONS) factors[stage * S::POSITIONS + position] = factor;
      if (position % MMA_UNIT == 0 && half == 0) unit_factors[unit].add(has_lost ? -factor : factor);
    }
  };
  const auto copy_filter = [&](const Taps& of, int filter_stage) {
    const unsigned char* const from =
        filter_tiles + filter_tile_offset<FILTER_ROWS, 2>(p, 0, of.k_block * p.kernel_w + of.tap) +
        tile.filter_row * ROW_BYTES;
#pragma unroll
    for (int first = 0; first < S::FILTER_BYTES; first += S::THREADS * 16) {
      const int i = first + threadIdx.x * 16;
      if (S::FILTER_BYTES % (S::THREADS * 16) != 0 && i >= S::FILTER_BYTES) break;
      copy_chunk_async(filters + filter_stage * S::FILTER_BYTES + i, from + i);
    }
    end_copies();
  };

  Taps taps = {tile.first_k_block, 0, 0};
  wait_for_prerequisite();  // for the split filter
  copy_filter(taps, 0);
  gather_values(taps.k_block, 0);
  for (int i = threadIdx.x; i < S::UNITS; i += S::THREADS) unit_factors[i] = {};
  __syncthreads();
  split_values(0, taps.k_block, 0);
  float results[ROWS_M][COLUMNS][4] = {};
  for (int filter_stage = 0, stage = 0, shift = 0;; filter_stage ^= 1) {
    wait_for_copies<0>();
    // Now all have stored this phase's windows, and none still reads the filter of the tap before.
    __syncthreads();
    const bool begins = taps.tap == taps.phase, last_phase = taps.phase + 1 == phases;
    const int next_k_block = last_phase ? taps.k_block + 1 : taps.k_block;
    // The last K block may be half empty.
    const bool is_short = HALVES && !GENERAL && taps.k_block * K_BLOCK + K_BLOCK / 2 >= p.group_channels * p.kernel_h;
    if (begins && next_k_block < tile.last_k_block) gather_values(next_k_block, last_phase ? 0 : taps.phase + 1);
    taps.next(tap_step, phases, p.kernel_w);
    if (taps.k_block < tile.last_k_block) copy_filter(taps, filter_stage ^ 1);

    const unsigned filter = shared_address(filters + filter_stage * S::FILTER_BYTES) +
                            chunk_offset(first_row + lane % 16, lane / 16);
    const int first_position = first_column + shift + lane % 8;
    const unsigned window = shared_address(dynamic + stage * S::WINDOW_BYTES) + chunk_offset(first_position, lane / 8);
    const float* const undo = factors + stage * S::POSITIONS + first_column + shift + lane % 4 * 2;
    if (is_short) {
      multiply_tap<K_BLOCK / 2>(results, filter, window, undo);
    } else {
      multiply_tap<K_BLOCK>(results, filter, window, undo);
    }
    if (taps.tap != taps.phase) {
      shift += tap_shift;
      continue;
    }
    if (taps.k_block == tile.last_k_block) break;
    shift = 0, stage ^= 1;
    split_values(stage, taps.k_block, taps.phase);
  }

  __syncthreads();  // the epilogue's buffers lie where the windows were
  const TensorCoreTile own = find_tile();
  const AccuracyLimit limit(p);
  const float taps_of_phase = (p.kernel_w + tap_step - 1) / tap_step;  // at most: each adds its unit's factor
  const auto output_of = [&](int m) {
    const int channel = own.first_channel + first_row + m * Output::ROWS;
    const int end = end_of_group<GENERAL>(p, own.first_channel);
    return Output{p, plan.epilogue, {p, by_pitch, own.first_pixel + first_column}, y + own.output, channel, end};
  };
  bool finite = true;
#pragma unroll
  for (int m = 0; m < ROWS_M; ++m) {
    const Output output = output_of(m);
    const RowFactors row_factors(filter_factors, plan.epilogue, output.channel + lane / 4, output.end);
#pragma unroll
    for (int j = 0; j < COLUMNS; ++j) {
      // The unit of eight columns, and the next one if their windows may reach into it.
      const int first = (first_column + 8 * j) / MMA_UNIT, last = (first_column + 8 * j + 7 + MAX_SHIFT) / MMA_UNIT;
      ColumnFactors both = unit_factors[first];
      if (last > first) both.all += unit_factors[last].all, both.lost += unit_factors[last].lost;
      both.all *= taps_of_phase, both.lost *= taps_of_phase;
      check_accuracy(results[m][j], limit, both, both, row_factors);
    }
    finite &= output.store(results[m], row_factors, reinterpret_cast<float*>(dynamic) + warp * Output::BUFFER);
  }
  if (!__any_sync(0xffffffffu, !finite)) return;
  const int of_k_block = K_BLOCK * p.kernel_w;  // values of the reduction
#pragma unroll 1
  for (int m = 0; m < ROWS_M; ++m) {
    output_of(m).store_strict(x, f, own.first_k_block * of_k_block, own.last_k_block * of_k_block);
  }
}

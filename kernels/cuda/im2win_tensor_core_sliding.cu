// The im2win convolution on Hopper's tensor cores, with the paper's window tensor in shared memory: neighbouring windows
// share their values there, and the taps along the width are only other start addresses of the matrix instructions.
// Arithmetic, guard and filter are those of im2win_tensor_core_wgmma; see docs/tensor_cores.md.
//
// A "line" is an output row of an image. Its outputs, and behind them as many places as a window is wider than its first
// column, are `pitch` positions; the lines' positions are numbered on. A convolution of stride s has s phases: phase i
// of position j of a line is column j * s + i of X, so that from one position to the next a window moves by one. With
// dilation d it is column j * s + i * d, and there are s / gcd(s, d) phases.
// The reduction is cut into K blocks of K_BLOCK (input channel, filter row) pairs; a K block's part of the window tensor
// holds, for each phase and position, K_BLOCK values. They are gathered and split once, and used for kernel_w taps.
#include "include/sliding_windows.cuh"

// A lane's position of a unit among those of all consumers; `columns` lie between those of two.
__device__ inline int unit_position(const WindowPlanes& planes, int columns, int unit, int lane) {
  const int part = unit / planes.groups;
  return part * columns + (unit - part * planes.groups) * EPILOGUE_COLUMNS + lane;
}

// A block computes 64 * WARPGROUPS_M output channels. Each consumer multiplies N positions. Without PRODUCERS the window
// tensor is read from device memory.
template <int WARPGROUPS_M, int N, int PRODUCERS, int FILTER_STAGES>
struct Shape {
  static_assert(WARPGROUPS_M == 1 || WARPGROUPS_M == CONSUMER_WARPGROUPS, "the consumers lie beside each other");
  static constexpr int PARTS_N = CONSUMER_WARPGROUPS / WARPGROUPS_M, TILE_M = 64 * WARPGROUPS_M, TILE_N = N * PARTS_N;
  static constexpr int GROUPS = (N + MAX_SHIFT + EPILOGUE_COLUMNS - 1) / EPILOGUE_COLUMNS, UNITS = PARTS_N * GROUPS;
  static constexpr WindowPlanes PLANES = {PARTS_N, GROUPS};
  // The last warp has the filter copied, and windows that are not produced here.
  static constexpr int OTHERS = PRODUCERS > 0 ? PRODUCERS : 1, GATHER_WARPS = 4 * OTHERS - 1;
  static constexpr int THREADS = 128 * (CONSUMER_WARPGROUPS + OTHERS);
  static constexpr int FILTER_BYTES = WARPGROUPS_M * FILTER_TILE_BYTES;
  static constexpr int WINDOW_BYTES = PRODUCERS == 0 ? PLANES.bytes_in_memory() : PLANES.bytes();
  static_assert(PRODUCERS == 0 || GATHER_WARPS <= UNITS * SLIDING_WINDOW_STAGES,
                "a warp would lose track of the rounds of the ring");
  // A block starts with what its 64 Ki registers give each thread, in eights; each consumer holds N / 2 sums and as
  // many results, and the producers share the rest.
  static constexpr int REGISTERS = REGISTER_FILE / THREADS / 8 * 8 * (CONSUMER_WARPGROUPS + OTHERS);  // a thread of each
  static constexpr int BESIDE = WARPGROUPS_M == 1 ? 24 : 16;  // registers of a consumer beside those
  static constexpr int LEFT = (REGISTERS - CONSUMER_WARPGROUPS * (N + BESIDE)) / OTHERS / 8 * 8;
  static constexpr int MOST = PRODUCERS == 0 ? 40 : 120;
  static constexpr int PRODUCER_REGISTERS = LEFT < MOST ? LEFT : MOST;
  static constexpr int CONSUMER_REGISTERS = (REGISTERS - OTHERS * PRODUCER_REGISTERS) / CONSUMER_WARPGROUPS / 8 * 8;
  static_assert(PRODUCERS == 0 || PRODUCER_REGISTERS >= 64, "a producer holds a K block of one position");
  static constexpr bool LOADS_AHEAD = PRODUCER_REGISTERS >= 2 * K_BLOCK + 56;
  static_assert(PRODUCER_REGISTERS >= 24, "the least that a thread can have");
};

// As im2win_tensor_core_wgmma, but `offsets` are those of (input channel, filter row) pairs, in bytes, and
// `k_blocks` counts K blocks of them; the split filter has kernel_w tiles for each. Tiles are pieces of TILE_N positions.
// The filter's columns of one phase are `tap_step` apart, and their windows `tap_shift` positions. `windows_before` is what
// write_windows has made, for kernels without PRODUCERS, which take no groups. Dynamic shared memory: see
// kernels/tiles/tensor_core_sliding.py.
template <int WARPGROUPS_M, int N, int PRODUCERS, int FILTER_STAGES, bool GENERAL>
__global__ __launch_bounds__(128 * (CONSUMER_WARPGROUPS + (PRODUCERS > 0 ? PRODUCERS : 1)), 1) void
im2win_tensor_core_sliding(
    const float* __restrict__ x, const float* __restrict__ f, const unsigned char* __restrict__ filter_tiles,
    const float* __restrict__ filter_factors, const int* __restrict__ offsets,
    const unsigned char* __restrict__ windows_before, float* __restrict__ y, int pitch, unsigned pitch_multiplier,
    unsigned pitch_shift, int tap_step, int tap_shift, TENSOR_CORE_PARAMETERS) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  using S = Shape<WARPGROUPS_M, N, PRODUCERS, FILTER_STAGES>;
  constexpr WindowPlanes planes = S::PLANES;
  using Output = WarpOutput<N, Positions>;
  extern __shared__ unsigned char dynamic[];
  unsigned char* const filters = dynamic + (TILE_ALIGNMENT - shared_address(dynamic) % TILE_ALIGNMENT) % TILE_ALIGNMENT;
  unsigned char* const windows = filters + FILTER_STAGES * S::FILTER_BYTES;
  float* const buffers = reinterpret_cast<float*>(windows + SLIDING_WINDOW_STAGES * S::WINDOW_BYTES);
  // [SLIDING_WINDOW_STAGES][UNITS], but for windows from device memory, which have them behind their planes.
  float* const factors = buffers + 4 * CONSUMER_WARPGROUPS * Output::BUFFER;
  constexpr int FACTORS = PRODUCERS == 0 ? 0 : (SLIDING_WINDOW_STAGES * S::UNITS + 1) / 2 * 2;
  Barrier* const filter_full = reinterpret_cast<Barrier*>(factors + FACTORS);
  Barrier* const filter_empty = filter_full + FILTER_STAGES;
  Barrier* const window_full = filter_empty + FILTER_STAGES;
  Barrier* const window_empty = window_full + SLIDING_WINDOW_STAGES;

  const TensorCorePlan plan = TENSOR_CORE_ARGUMENTS;
  const Problem& p = plan.problem;
  const FastDivision by_pitch = {pitch, pitch_multiplier, pitch_shift};
  if (!GENERAL && PRODUCERS > 0) tap_step = p.stride_w, tap_shift = 1;
  const int phases = min(tap_step, p.kernel_w);
  const int tiles = TensorCoreTile::count(plan);
  const int warpgroup = __shfl_sync(0xffffffffu, threadIdx.x / 128, 0), warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  Ring<FILTER_STAGES> filter;
  Ring<SLIDING_WINDOW_STAGES> window;
  if (threadIdx.x == 0) {
    for (int i = 0; i < FILTER_STAGES; ++i) {
      filter_full[i].initialize(1);
      filter_empty[i].initialize(4 * CONSUMER_WARPGROUPS);
    }
    for (int i = 0; i < SLIDING_WINDOW_STAGES; ++i) {
      window_full[i].initialize(PRODUCERS == 0 ? 1 : S::UNITS);
      window_empty[i].initialize(4 * CONSUMER_WARPGROUPS);
    }
    fence_barriers();
  }
  __syncthreads();

  if (warpgroup >= CONSUMER_WARPGROUPS) {
    reduce_registers<S::PRODUCER_REGISTERS>();
    int unit = warp - 4 * CONSUMER_WARPGROUPS;
    if (unit == S::GATHER_WARPS) {
      wait_for_prerequisite();  // for the split filter; the other warps gather X meanwhile
      for (int i = blockIdx.x; i < tiles; i += gridDim.x) {
        const TensorCoreTile tile = TensorCoreTile::find<GENERAL>(plan, i, S::TILE_M, S::TILE_N);
        const long long first_window = static_cast<long long>(tile.first_pixel / S::TILE_N) * plan.k_blocks * phases;
        for (int k_block = tile.first_k_block; k_block < tile.last_k_block; ++k_block) {
          for (int phase = 0; phase < phases; ++phase) {
            if (PRODUCERS == 0) {
              window_empty[window.stage].wait(window.parity ^ 1);
              if (lane == 0) {
                const long long from = first_window + k_block * phases + phase;
                window_full[window.stage].arrive_and_expect(S::WINDOW_BYTES);
                window_full[window.stage].copy(windows + window.stage * S::WINDOW_BYTES,
                                               windows_before + from * S::WINDOW_BYTES, S::WINDOW_BYTES);
              }
              window.next();
            }
            for (int tap = phase; tap < p.kernel_w; tap += tap_step, filter.next()) {
              filter_empty[filter.stage].wait(filter.parity ^ 1);
              if (lane == 0) {
                const int from = k_block * p.kernel_w + tap;
                filter_full[filter.stage].arrive_and_expect(S::FILTER_BYTES);
                filter_full[filter.stage].copy(
                    filters + filter.stage * S::FILTER_BYTES,
                    filter_tiles + filter_tile_offset<S::TILE_M, 2>(p, tile.filter_row, from), S::FILTER_BYTES);
              }
            }
          }
        }
      }
    } else if (PRODUCERS > 0) {
      int number = blockIdx.x, phase = 0;
      TensorCoreTile tile = TensorCoreTile::find<GENERAL>(plan, number, S::TILE_M, S::TILE_N);
      int k_block = tile.first_k_block;
      // Goes on to the stage that the unit is in. Returns whether there is one.
      const auto find_stage = [&] {
        for (; unit >= S::UNITS; unit -= S::UNITS, window.next()) {
          if (++phase < phases) continue;
          phase = 0;
          if (++k_block < tile.last_k_block) continue;
          number += gridDim.x;
          if (number >= tiles) return false;
          tile = TensorCoreTile::find<GENERAL>(plan, number, S::TILE_M, S::TILE_N);
          k_block = tile.first_k_block;
        }
        return true;
      };
      SlidingUnit of_unit, of_next;
      const auto load_values = [&](SlidingUnit& to) {
        const Place place(p, by_pitch, tile.first_pixel + unit_position(planes, N, unit, lane));
        to.template load_values<GENERAL>(x, offsets, p, plan.k_blocks, place, k_block, phase, tile.group);
      };
      bool has_unit = find_stage();
      // The values of a unit are loaded while the one before is split, if there are registers for both.
      if (S::LOADS_AHEAD && has_unit) load_values(of_unit);
      while (has_unit) {
        if (!S::LOADS_AHEAD) load_values(of_unit);
        const Ring<SLIDING_WINDOW_STAGES> at = window;
        const int in_stage = planes.offset(unit, 0, lane), this_unit = unit, this_k_block = k_block;
        const int of_place = number + unit + phase;  // anything that tells places apart
        unit += S::GATHER_WARPS;
        has_unit = find_stage();
        if (S::LOADS_AHEAD && has_unit) load_values(of_next);
        // The loads are in flight while this waits for a free stage.
        window_empty[at.stage].wait(at.parity ^ 1);
        const unsigned first_chunk = shared_address(windows + at.stage * S::WINDOW_BYTES) + in_stage;
        const auto factor = of_unit.split(exponent_limit, [=](int chunk, const uint4(&parts)[2]) {
          store_shared(first_chunk + chunk * planes.plane_bytes(), parts[0]);
          store_shared(first_chunk + (CHUNKS + chunk) * planes.plane_bytes(), parts[1]);
        });
        if (lane == 0) factors[at.stage * S::UNITS + this_unit] = factor.value(this_k_block, of_place);
        fence_shared_writes();
        __syncwarp();
        if (lane == 0) window_full[at.stage].arrive();
        if (S::LOADS_AHEAD) of_unit = of_next;
      }
    }
  } else {
    raise_registers<S::CONSUMER_REGISTERS>();
    wait_for_prerequisite();  // for the filter's factors, and before anything is stored
    const int first_row = WARPGROUPS_M == 1 ? 0 : warpgroup * 64, part = WARPGROUPS_M == 1 ? warpgroup : 0;
    const auto output_of = [&](const TensorCoreTile& tile) {
      const int channel = tile.first_channel + first_row + warp % 4 * Output::ROWS;
      const int end = end_of_group<GENERAL>(p, tile.first_channel);
      return Output{p, plan.epilogue, {p, by_pitch, tile.first_pixel + part * N}, y + tile.output, channel, end};
    };
    const auto factors_of = [&](int stage) -> const float* {
      if (PRODUCERS > 0) return factors + stage * S::UNITS;
      return reinterpret_cast<const float*>(windows + stage * S::WINDOW_BYTES + planes.bytes());
    };
    float sums[N / 8][4] = {};
    Suspects suspects;
    if (warpgroup == 1) give_turn(0);
    for (int i = blockIdx.x; i < tiles; i += gridDim.x) {
      const TensorCoreTile tile = TensorCoreTile::find<GENERAL>(plan, i, S::TILE_M, S::TILE_N);
      float results[N / 8][4] = {};
      ColumnFactors of_lane = {};  // each lane has one group's, for one of the taps of each phase
      window_full[window.stage].wait(window.parity);
      filter_full[filter.stage].wait(filter.parity);
      for (int k_block = tile.first_k_block; k_block < tile.last_k_block; ++k_block) {
#pragma unroll 1
        for (int phase = 0; phase < phases; ++phase) {
          unsigned long long b = position_descriptor(
              shared_address(windows + window.stage * S::WINDOW_BYTES) + part * planes.part_bytes(), planes.plane_bytes());
          float undo[S::GROUPS];
#pragma unroll
          for (int group = 0; group < S::GROUPS; ++group) {
            undo[group] = fabsf(factors_of(window.stage)[part * S::GROUPS + group]);
          }
          Ring<SLIDING_WINDOW_STAGES> next_window = window;
          of_lane.add(factors_of(window.stage)[part * S::GROUPS + min(lane, S::GROUPS - 1)]);
          // `beyond` is the thread's first column, moved as the taps move it.
          int beyond = lane % 4 * 2 - 8;
#pragma unroll 1
          for (int tap = phase; tap < p.kernel_w; tap += tap_step) {
            const unsigned long long a =
                tile_descriptor(shared_address(filters + filter.stage * S::FILTER_BYTES) + first_row * ROW_BYTES);
            wait_for_turn(warpgroup);
            start_products();
#pragma unroll
            for (int product = 0; product < PART_PRODUCTS<2>; ++product) {
              const PartProduct of = part_product<2>(product);
#pragma unroll
              for (int k = 0; k < K_BLOCK; k += 16) {
                // Descriptors count in units of 16 bytes.
                const int from_a = (of.filter * K_BLOCK * 2 + k * 2) / 16;
                const int from_b = (of.window * CHUNKS + k / CHUNK) * planes.plane_bytes() / 16;
                multiply_tiles<N>(sums, a + from_a, b + from_b, product > 0 || k > 0);
              }
            }
            commit_products();
            give_turn(1 - warpgroup);
            // A look at a barrier takes a hundred cycles: the next ones are looked at meanwhile.
            Ring<FILTER_STAGES> next_filter = filter;
            next_filter.next();
            const bool goes_on = tap + tap_step < p.kernel_w;
            if (!goes_on) next_window.next();
            if (goes_on || phase + 1 < phases || k_block + 1 < tile.last_k_block) {
              if (!goes_on) window_full[next_window.stage].wait(next_window.parity);
              filter_full[next_filter.stage].wait(next_filter.parity);
            }
            finish_products<N>(sums);
#pragma unroll
            for (int j = 0; j < N / 8; ++j) {
              // Only in the last eight columns of a group a window may start in the next one.
              const int group = 8 * j / EPILOGUE_COLUMNS;
              const bool last = 8 * j % EPILOGUE_COLUMNS == EPILOGUE_COLUMNS - 8;
              const float first = last && beyond >= 0 ? undo[last ? group + 1 : group] : undo[group];
              const float second = last && beyond >= -1 ? undo[last ? group + 1 : group] : undo[group];
              results[j][0] = fmaf(sums[j][0], first, results[j][0]);
              results[j][1] = fmaf(sums[j][1], second, results[j][1]);
              results[j][2] = fmaf(sums[j][2], first, results[j][2]);
              results[j][3] = fmaf(sums[j][3], second, results[j][3]);
            }
            b += tap_shift * (CHUNK_BYTES / 16), beyond += tap_shift;
            __syncwarp();
            if (lane == 0) filter_empty[filter.stage].arrive();
            filter = next_filter;
          }
          if (lane == 0) window_empty[window.stage].arrive();
          window = next_window;
        }
      }
      const Output output = output_of(tile);
      const RowFactors row_factors(filter_factors, plan.epilogue, output.channel + lane / 4, output.end);
      if (__any_sync(0xffffffffu, of_lane.lost > 0.0f || row_factors.first_lost || row_factors.second_lost)) {
        const AccuracyLimit limit(p);
        const float taps = (p.kernel_w + tap_step - 1) / tap_step;  // of a phase, at most
        of_lane.all *= taps, of_lane.lost *= taps;
        const ColumnFactors most = {2.0f * max_of_warp(of_lane.all), 2.0f * max_of_warp(of_lane.lost)};
        const bool may_be = __any_sync(0xffffffffu, may_be_inaccurate(results, limit, most, row_factors));
#pragma unroll
        for (int group = 0; may_be && group * EPILOGUE_COLUMNS < N; ++group) {
          // Windows reach into the next group.
          const int next = min(group + 1, S::GROUPS - 1);
          const ColumnFactors both = {
              __shfl_sync(0xffffffffu, of_lane.all, group) + __shfl_sync(0xffffffffu, of_lane.all, next),
              __shfl_sync(0xffffffffu, of_lane.lost, group) + __shfl_sync(0xffffffffu, of_lane.lost, next)};
#pragma unroll
          for (int j = group * EPILOGUE_COLUMNS / 8; j < N / 8 && j < (group + 1) * EPILOGUE_COLUMNS / 8; ++j) {
            check_accuracy(results[j], limit, both, both, row_factors);
          }
        }
      }
      const bool finite = output.store(results, row_factors, buffers + warp * Output::BUFFER);
      suspects.add(i, __any_sync(0xffffffffu, !finite));
    }
    if (warpgroup == 0) wait_for_turn(0);  // none is left when the block ends
    for (int i = blockIdx.x; i < tiles; i += gridDim.x) {
      if (!suspects.has(i)) continue;
      const TensorCoreTile tile = TensorCoreTile::find<GENERAL>(plan, i, S::TILE_M, S::TILE_N);
      const int values = K_BLOCK * p.kernel_w;  // of the reduction in a K block
      output_of(tile).store_strict(x, f, tile.first_k_block * values, tile.last_k_block * values);
    }
  }
#endif
}

// Writes the window tensor for the kernel above without PRODUCERS: for each tile, K block and phase the planes and factors.
// `columns` is N. Grid: (units of all tiles / warps, k_blocks * phases).
template <bool GENERAL>
__global__ void write_windows(const float* __restrict__ x, const int* __restrict__ offsets,
                              unsigned char* __restrict__ windows, int tile_parts, int tile_groups, int columns, int units,
                              int k_blocks, int phases, int pitch, unsigned pitch_multiplier, unsigned pitch_shift,
                              int exponent_limit, PROBLEM_PARAMETERS) {
  launch_dependents();
  const Problem p = PROBLEM_ARGUMENTS;
  const WindowPlanes planes = {tile_parts, tile_groups};
  const int number = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
  if (number < units) {
    const int k_block = blockIdx.y / phases, phase = blockIdx.y - k_block * phases;
    const int tile = number / planes.units(), unit = number - tile * planes.units();
    const int position = tile * (tile_parts * columns) + unit_position(planes, columns, unit, lane);
    SlidingUnit of_unit;
    const Place place(p, {pitch, pitch_multiplier, pitch_shift}, position);
    of_unit.template load_values<GENERAL>(x, offsets, p, k_blocks, place, k_block, phase, 0);
    const long long first = static_cast<long long>(tile) * gridDim.y + blockIdx.y;
    unsigned char* const buffer = windows + first * planes.bytes_in_memory();
    unsigned char* const first_chunk = buffer + planes.offset(unit, 0, lane);
    const auto factor = of_unit.split(exponent_limit, [=](int chunk, const uint4(&parts)[2]) {
      *reinterpret_cast<uint4*>(first_chunk + chunk * planes.plane_bytes()) = parts[0];
      *reinterpret_cast<uint4*>(first_chunk + (CHUNKS + chunk) * planes.plane_bytes()) = parts[1];
    });
    if (lane == 0) reinterpret_cast<float*>(buffer + planes.bytes())[unit] = factor.value(k_block, number + phase);
  }
  wait_for_prerequisite();  // so that who waits for this kernel has waited for the filter's, too
}

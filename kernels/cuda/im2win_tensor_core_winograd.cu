// The im2win convolution on Hopper's tensor cores with Winograd's minimal filtering down the columns: OUTPUTS rows of Y take
// OUTPUTS + KERNEL - 1 matrix products where im2win_tensor_core_sliding has OUTPUTS * KERNEL. Square filters, stride 1, one
// group. Arithmetic, error and guard: see docs/tensor_cores.md.
//
// A "line" is a strip of OUTPUTS output rows. Its places are the columns of the padded X, `pitch` of them, and are numbered on
// from line to line. Neighbouring places are a group of positions with one scale (ScaleGroup); the next group begins with the
// last KERNEL - 1 of them again, so that all taps of a window have its group's scale and their sums need not be undone one by
// one.
//
// The reduction is cut into K blocks of K_BLOCK input channels. A producer takes the rows of X under a strip, transforms them
// into a value for each product, and splits those; each product has a plane of the window tensor, which serves KERNEL taps,
// start addresses further along the width, as in im2win_tensor_core_sliding. Consumers add a product's sums to the strip's
// rows at once, so that they hold results of OUTPUTS rows and sums of one product.
#include "include/strip_store.cuh"
#include "include/winograd_windows.cuh"

// A block computes 64 * WARPGROUPS_M output channels. Each consumer multiplies N positions. Without PRODUCERS the window
// tensor is read from device memory.
template <int WARPGROUPS_M, int N, int PRODUCERS, int OUTPUTS, int KERNEL>
struct Shape {
  static_assert(WARPGROUPS_M == 1 || WARPGROUPS_M == CONSUMER_WARPGROUPS, "the consumers lie beside each other");
  static constexpr int PARTS_N = CONSUMER_WARPGROUPS / WARPGROUPS_M, TILE_M = 64 * WARPGROUPS_M;
  using Group = ScaleGroup<KERNEL, N, PRODUCERS == 0>;
  static constexpr int OF_PART = (N + (PRODUCERS == 0 ? KERNEL - 1 : 0) + EPILOGUE_COLUMNS - 1) / EPILOGUE_COLUMNS;
  static constexpr int UNITS = PARTS_N * OF_PART, GROUPS = PARTS_N * (N / Group::COLUMNS);
  static constexpr WindowPlanes PLANES = {PARTS_N, OF_PART};
  // The last warpgroup has the filter copied, and windows that are not produced here.
  static constexpr int COPIER = CONSUMER_WARPGROUPS + PRODUCERS, WARPGROUPS = COPIER + 1;
  static constexpr int FILTER_BYTES = WARPGROUPS_M * FILTER_TILE_BYTES;
  // A slot of the ring has the filter's tiles for all taps of a product.
  static constexpr int SLOT_BYTES = KERNEL * FILTER_BYTES;
  static constexpr int WINDOW_BYTES = PRODUCERS == 0 ? PLANES.bytes_in_memory() : PLANES.bytes();
  static_assert(PRODUCERS <= 1, "a single producer takes all units");
  // A block starts with what its 64 Ki registers give each thread, in eights. A consumer holds N / 2 sums and OUTPUTS times
  // as many results; the producers share the rest.
  static constexpr int REGISTERS = REGISTER_FILE / 128 / WARPGROUPS / 8 * 8 * WARPGROUPS;  // a thread of each warpgroup
  static constexpr int COPIER_REGISTERS = 24, BESIDE = KERNEL == 3 && WARPGROUPS_M == 2 && OUTPUTS < 4 ? 16 : 24;
  static constexpr int NEEDED = ((OUTPUTS + 1) * N / 2 + BESIDE + 7) / 8 * 8;  // by a consumer
  static constexpr int LEFT =
      (REGISTERS - COPIER_REGISTERS - CONSUMER_WARPGROUPS * NEEDED) / (PRODUCERS > 0 ? PRODUCERS : 1) / 8 * 8;
  static constexpr int PRODUCER_REGISTERS = LEFT < REGISTERS / WARPGROUPS ? LEFT : REGISTERS / WARPGROUPS;
  static constexpr int CONSUMER_REGISTERS =
      (REGISTERS - COPIER_REGISTERS - PRODUCERS * PRODUCER_REGISTERS) / CONSUMER_WARPGROUPS / 8 * 8;
  static_assert(PRODUCERS == 0 || PRODUCER_REGISTERS >= 72, "a producer holds a chunk of one position of all rows");
  static constexpr bool LOADS_AHEAD = PRODUCER_REGISTERS >= 2 * CHUNK * (OUTPUTS + KERNEL - 1) + 32;
  static_assert(CONSUMER_REGISTERS >= NEEDED, "a consumer holds its sums and results");
  // Taps whose products are written out one by one, if there are registers for their descriptors.
  static constexpr int TAPS_UNROLLED = PRODUCERS == 0 || (OUTPUTS + 1) * N / 2 <= 128 ? (KERNEL == 3 ? 3 : 2) : 1;
};

// As im2win_tensor_core_sliding. `k_blocks` counts K blocks of input channels; the split filter is transform_filter's, and
// has KERNEL tiles for each of a K block's products. `tiles_n` counts tiles of GROUPS groups. An image has `strips` lines.
// `windows_before` is what write_windows has made, for kernels without PRODUCERS. Dynamic shared memory: see
// kernels/tiles/tensor_core_winograd.py.
template <int OUTPUTS, int KERNEL, int WARPGROUPS_M, int N, int PRODUCERS, int FILTER_SLOTS, int WINDOW_STAGES,
          bool PADDED>
__global__ __launch_bounds__(128 * (CONSUMER_WARPGROUPS + PRODUCERS + 1), 1) void im2win_tensor_core_winograd(
    const float* __restrict__ x, const float* __restrict__ f, const unsigned char* __restrict__ filter_tiles,
    const float* __restrict__ filter_factors, const unsigned char* __restrict__ windows_before, float* __restrict__ y,
    int pitch, unsigned pitch_multiplier, unsigned pitch_shift, int strips, unsigned strips_multiplier,
    unsigned strips_shift, TENSOR_CORE_PARAMETERS) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  using S = Shape<WARPGROUPS_M, N, PRODUCERS, OUTPUTS, KERNEL>;
  constexpr WindowPlanes planes = S::PLANES;
  // Beside producers there are no registers for an epilogue.
  using Output = WarpOutput<OUTPUTS * N, StripRows<OUTPUTS, N, typename S::Group>, PRODUCERS == 0>;
  constexpr Winograd<OUTPUTS, KERNEL> winograd;
  constexpr int PRODUCTS = winograd.PRODUCTS;
  // Strips of four are for large images, whose rows fill their sectors anyway; and registers would be missing.
  constexpr bool IN_ORDER = PRODUCERS == 0 && OUTPUTS < 4;
  using Strips = StripStore<OUTPUTS, N>;
  constexpr int BUFFER = IN_ORDER ? Strips::BUFFER : Output::BUFFER;
  // A consumer waits for the next product while it holds one.
  static_assert(WINDOW_STAGES > (PRODUCERS == 0 ? 1 : PRODUCTS), "a producer fills a K block's planes at once");
  static_assert(FILTER_SLOTS > 1, "the same, of the filter");
  extern __shared__ unsigned char dynamic[];
  unsigned char* const filters = dynamic + (TILE_ALIGNMENT - shared_address(dynamic) % TILE_ALIGNMENT) % TILE_ALIGNMENT;
  unsigned char* const windows = filters + FILTER_SLOTS * S::SLOT_BYTES;
  float* const buffers = reinterpret_cast<float*>(windows + WINDOW_STAGES * S::WINDOW_BYTES);
  // Of the four warps of a producer; two in turn.
  using Maxima = float4[PRODUCTS + 1][1];
  Maxima* const maxima = reinterpret_cast<Maxima*>(buffers + 4 * CONSUMER_WARPGROUPS * BUFFER);
  // [WINDOW_STAGES][UNITS], but for windows from device memory, which have them behind their planes.
  float* const factors = reinterpret_cast<float*>(maxima + PRODUCERS * 2);
  constexpr int FACTORS = PRODUCERS == 0 ? 0 : (WINDOW_STAGES * S::UNITS + 1) / 2 * 2;
  // Of each consumer, if its outputs are put into the order of memory.
  using Places = typename Strips::Place[Strips::PLACES];
  Places* const places = reinterpret_cast<Places*>(factors + FACTORS);
  Barrier* const filter_full = reinterpret_cast<Barrier*>(places + (IN_ORDER ? CONSUMER_WARPGROUPS : 0));
  Barrier* const filter_empty = filter_full + FILTER_SLOTS;
  Barrier* const window_full = filter_empty + FILTER_SLOTS;
  Barrier* const window_empty = window_full + WINDOW_STAGES;

  const TensorCorePlan plan = TENSOR_CORE_ARGUMENTS;
  const Problem& p = plan.problem;
  const FastDivision by_pitch = {pitch, pitch_multiplier, pitch_shift};
  const FastDivision by_strips = {strips, strips_multiplier, strips_shift};
  const int tiles = TensorCoreTile::count(plan);
  const int warpgroup = __shfl_sync(0xffffffffu, threadIdx.x / 128, 0), warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  Ring<FILTER_SLOTS> filter;
  Ring<WINDOW_STAGES> window;
  if (threadIdx.x == 0) {
    for (int i = 0; i < FILTER_SLOTS; ++i) {
      filter_full[i].initialize(1);
      filter_empty[i].initialize(4 * CONSUMER_WARPGROUPS);
    }
    for (int i = 0; i < WINDOW_STAGES; ++i) {
      window_full[i].initialize(PRODUCERS == 0 ? 1 : 4 * S::UNITS);  // the warps of a producer that write a unit
      window_empty[i].initialize(4 * CONSUMER_WARPGROUPS);
    }
    fence_barriers();
  }
  __syncthreads();

  if (warpgroup == S::COPIER) {
    reduce_registers<S::COPIER_REGISTERS>();
    if (threadIdx.x % 128 != 0) return;
    wait_for_prerequisite();  // for the split filter; the producers gather X meanwhile
    for (int i = blockIdx.x; i < tiles; i += gridDim.x) {
      const TensorCoreTile tile = TensorCoreTile::find<false>(plan, i, S::TILE_M, S::GROUPS);
      const long long first_window = static_cast<long long>(tile.first_pixel / S::GROUPS) * plan.k_blocks * PRODUCTS;
#pragma unroll 1
      for (int product = tile.first_k_block * PRODUCTS; product < tile.last_k_block * PRODUCTS; ++product) {
        if (PRODUCERS == 0) {
          window_empty[window.stage].wait(window.parity ^ 1);
          window_full[window.stage].arrive_and_expect(S::WINDOW_BYTES);
          window_full[window.stage].copy(windows + window.stage * S::WINDOW_BYTES,
                                         windows_before + (first_window + product) * S::WINDOW_BYTES, S::WINDOW_BYTES);
          window.next();
        }
        filter_empty[filter.stage].wait(filter.parity ^ 1);
        filter_full[filter.stage].arrive_and_expect(S::SLOT_BYTES);
#pragma unroll 1
        for (int tap = 0; tap < KERNEL; ++tap) {
          const long long from = filter_tile_offset<S::TILE_M, 2>(p, tile.filter_row, product * KERNEL + tap);
          filter_full[filter.stage].copy(filters + filter.stage * S::SLOT_BYTES + tap * S::FILTER_BYTES,
                                         filter_tiles + from, S::FILTER_BYTES);
        }
        filter.next();
      }
    }
  } else if (PRODUCERS > 0 && warpgroup >= CONSUMER_WARPGROUPS) {
    reduce_registers<S::PRODUCER_REGISTERS>();
    const int chunk = warp % 4;
    int number = blockIdx.x, unit = 0, parity = 0;
    TensorCoreTile tile = TensorCoreTile::find<false>(plan, number, S::TILE_M, S::GROUPS);
    int k_block = tile.first_k_block;
    WindowUnit<OUTPUTS, KERNEL> of_unit, of_next;
    const auto load_values = [&](WindowUnit<OUTPUTS, KERNEL>& to) {
      const StripPlace<OUTPUTS> place(by_pitch, by_strips, (tile.first_pixel + unit) * S::Group::WINDOWS + lane);
      to.template load_values<PADDED>(x, p, place, k_block, chunk);
    };
    // The values of a unit are loaded while the one before is split, if there are registers for both.
    if (S::LOADS_AHEAD) load_values(of_unit);
    for (bool has_next = true; has_next; parity ^= 1) {
      if (!S::LOADS_AHEAD) load_values(of_unit);
      const int this_unit = unit, this_k_block = k_block, group = tile.first_pixel + unit;
      if (++unit == S::UNITS) {
        unit = 0;
        if (++k_block == tile.last_k_block) {
          number += gridDim.x;
          has_next = number < tiles;
          if (has_next) {
            tile = TensorCoreTile::find<false>(plan, number, S::TILE_M, S::GROUPS);
            k_block = tile.first_k_block;
          }
        }
      }
      if (S::LOADS_AHEAD && has_next) load_values(of_next);
      Ring<WINDOW_STAGES> at = window;
#pragma unroll
      for (int product = 0; product < PRODUCTS; ++product, at.next()) window_empty[at.stage].wait(at.parity ^ 1);
      of_unit.find_scale(maxima[parity], chunk, exponent_limit, [] { synchronize_warpgroup(1); });
      at = window;
#pragma unroll
      for (int product = 0; product < PRODUCTS; ++product, at.next()) {
        const SplitChunk<2> split = of_unit.split(product);
        const unsigned to = shared_address(windows + at.stage * S::WINDOW_BYTES) + planes.offset(this_unit, chunk, lane);
        store_shared(to, split.parts[0]);
        store_shared(to + CHUNKS * planes.plane_bytes(), split.parts[1]);
        if (threadIdx.x % 128 == 0) {
          factors[at.stage * S::UNITS + this_unit] = of_unit.factor(product, this_k_block, group);
        }
      }
      fence_shared_writes();
      __syncwarp();
      at = window;
#pragma unroll
      for (int product = 0; product < PRODUCTS; ++product, at.next()) {
        if (lane == 0) window_full[at.stage].arrive();
      }
      if (unit == 0) window = at;
      if (S::LOADS_AHEAD) of_unit = of_next;
    }
  } else {
    raise_registers<S::CONSUMER_REGISTERS>();
    wait_for_prerequisite();  // for the filter's factors, and before anything is stored
    const int first_channel = WARPGROUPS_M == 1 ? 0 : warpgroup * 64, part = WARPGROUPS_M == 1 ? warpgroup : 0;
    constexpr int GROUPS_OF_PART = S::GROUPS / S::PARTS_N;
    const unsigned long long first_a = tile_descriptor(shared_address(filters) + first_channel * ROW_BYTES);
    const unsigned long long first_b =
        position_descriptor(shared_address(windows) + part * planes.part_bytes(), planes.plane_bytes());
    const auto output_of = [&](const TensorCoreTile& tile) {
      const int channel = tile.first_channel + first_channel + warp % 4 * Output::ROWS;
      return Output{p, plan.epilogue, {p, by_pitch, by_strips, tile.first_pixel + part * GROUPS_OF_PART}, y + tile.output,
                    channel, p.out_channels};
    };
    Suspects suspects;
    if (warpgroup == 1) give_turn(0);
    for (int i = blockIdx.x; i < tiles; i += gridDim.x) {
      const TensorCoreTile tile = TensorCoreTile::find<false>(plan, i, S::TILE_M, S::GROUPS);
      float results[OUTPUTS * N / 8][4] = {};  // row by row
      float sums[N / 8][4] = {};               // in here, so that it holds no registers while results are stored
      window_full[window.stage].wait(window.parity);
      filter_full[filter.stage].wait(filter.parity);
#pragma unroll 1
      for (int k_block = tile.first_k_block; k_block < tile.last_k_block; ++k_block) {
#pragma unroll
        for (int product = 0; product < PRODUCTS; ++product) {
          const unsigned long long a = further(first_a, filter.stage * S::SLOT_BYTES);
          const unsigned long long b = further(first_b, window.stage * S::WINDOW_BYTES);
          const float* const of_stage =
              PRODUCERS == 0 ? reinterpret_cast<const float*>(windows + window.stage * S::WINDOW_BYTES + planes.bytes())
                             : factors + window.stage * S::UNITS;
          Ring<FILTER_SLOTS> next_filter = filter;
          Ring<WINDOW_STAGES> next_window = window;
          next_filter.next(), next_window.next();
          const int taps = product == SUMMING_PRODUCT ? 1 : KERNEL;  // at once
#pragma unroll 1
          for (int first = 0; first < KERNEL; first += taps) {
            wait_for_turn(warpgroup);
            start_products();
#pragma unroll
            for (int i = 0; i < PART_PRODUCTS<2>; ++i) {
              const PartProduct of = part_product<2>(i);
#pragma unroll S::TAPS_UNROLLED
              for (int tap = first; tap < first + taps; ++tap) {
#pragma unroll
                for (int k = 0; k < K_BLOCK; k += 16) {
                  const int from_a = tap * S::FILTER_BYTES + of.filter * K_BLOCK * 2 + k * 2;
                  const int from_b = (of.window * CHUNKS + k / CHUNK) * planes.plane_bytes() + tap * CHUNK_BYTES;
                  multiply_tiles<N>(sums, further(a, from_a), further(b, from_b), i > 0 || tap > first || k > 0);
                }
              }
            }
            commit_products();
            give_turn(1 - warpgroup);
            // A look at a barrier takes a hundred cycles: the next ones are looked at meanwhile.
            if (first + taps == KERNEL && (product + 1 < PRODUCTS || k_block + 1 < tile.last_k_block)) {
              window_full[next_window.stage].wait(next_window.parity);
              filter_full[next_filter.stage].wait(next_filter.parity);
            }
            finish_products<N>(sums);
#pragma unroll
            for (int j = 0; j < N / 8; ++j) {
              const float undo = of_stage[part * S::OF_PART + 8 * j / EPILOGUE_COLUMNS];
#pragma unroll
              for (int output = 0; output < OUTPUTS; ++output) {
                const float coefficient = winograd.output[output][product];
                if (coefficient == 0.0f) continue;
                float* const of = results[output * N / 8 + j];
#pragma unroll
                for (int i = 0; i < 4; ++i) of[i] = fmaf(sums[j][i], coefficient * undo, of[i]);
              }
            }
          }
          __syncwarp();
          if (lane == 0) {
            filter_empty[filter.stage].arrive();
            window_empty[window.stage].arrive();
          }
          filter = next_filter, window = next_window;
        }
      }
      const Output output = output_of(tile);
      const RowFactors row_factors(filter_factors, plan.epilogue, output.channel + lane / 4, p.out_channels);
      bool finite;
      if constexpr (IN_ORDER) {
        synchronize_warpgroup(1 + warpgroup);  // until the last tile's are not used any more
        Strips::find_places(places[warpgroup], output.columns);
        synchronize_warpgroup(1 + warpgroup);
        finite = Strips::store(output, results, row_factors, buffers + warp * BUFFER, places[warpgroup]);
      } else {
        finite = output.store(results, row_factors, buffers + warp * BUFFER);
      }
      suspects.add(i, __any_sync(0xffffffffu, !finite));
    }
    if (warpgroup == 0) wait_for_turn(0);  // none is left when the block ends
    for (int i = blockIdx.x; i < tiles; i += gridDim.x) {
      if (!suspects.has(i)) continue;
      const TensorCoreTile tile = TensorCoreTile::find<false>(plan, i, S::TILE_M, S::GROUPS);
      const int window_values = K_BLOCK * KERNEL * KERNEL;
      output_of(tile).store_strict(x, f, tile.first_k_block * window_values, tile.last_k_block * window_values);
    }
  }
#endif
}

// Writes the window tensor for the kernel above without PRODUCERS: for each tile, K block and product the planes, and for each
// unit a factor. A group is the `columns` positions of a part of a tile, in UNITS units. Grid: (parts of all tiles, k_blocks).
template <int OUTPUTS, int KERNEL, int UNITS, bool PADDED>
__global__ __launch_bounds__(128 * UNITS, 2) void write_windows(
    const float* __restrict__ x, unsigned char* __restrict__ windows, int tile_parts, int columns, int pitch,
    unsigned pitch_multiplier, unsigned pitch_shift, int strips, unsigned strips_multiplier, unsigned strips_shift,
    int exponent_limit, PROBLEM_PARAMETERS) {
  using Unit = WindowUnit<OUTPUTS, KERNEL>;
  __shared__ float4 maxima[Unit::PRODUCTS + 1][UNITS];
  launch_dependents();
  const Problem p = PROBLEM_ARGUMENTS;
  const WindowPlanes planes = {tile_parts, UNITS};
  const int group = blockIdx.x, k_block = blockIdx.y, warp = threadIdx.x / 32, lane = threadIdx.x % 32, chunk = warp % 4;
  const int tile = group / tile_parts, unit = (group - tile * tile_parts) * UNITS + warp / 4;
  const StripPlace<OUTPUTS> place({pitch, pitch_multiplier, pitch_shift}, {strips, strips_multiplier, strips_shift},
                                  group * columns + warp / 4 * EPILOGUE_COLUMNS + lane);
  Unit of_unit;
  of_unit.template load_values<PADDED>(x, p, place, k_block, chunk);
  of_unit.find_scale(maxima, warp, exponent_limit, [] { __syncthreads(); });
  const long long first = (static_cast<long long>(tile) * gridDim.y + k_block) * Unit::PRODUCTS;
  unsigned char* buffer = windows + first * planes.bytes_in_memory();
  const int in_buffer = planes.offset(unit, chunk, lane), low = CHUNKS * planes.plane_bytes();
#pragma unroll
  for (int product = 0; product < Unit::PRODUCTS; ++product, buffer += planes.bytes_in_memory()) {
    const SplitChunk<2> split = of_unit.split(product);
    *reinterpret_cast<uint4*>(buffer + in_buffer) = split.parts[0];
    *reinterpret_cast<uint4*>(buffer + in_buffer + low) = split.parts[1];
    if (chunk == 0 && lane == 0) {
      reinterpret_cast<float*>(buffer + planes.bytes())[unit] = of_unit.factor(product, k_block, group * UNITS + warp / 4);
    }
  }
  wait_for_prerequisite();  // so that who waits for this kernel has waited for the filter's, too
}

// Transforms F down its columns and splits it, as split_filter in tensor_core_filter.cu splits F itself: the products of a K
// block of input channels have KERNEL tiles each, in this order. A channel has one scale for all products; factors[co]
// undoes it. The transform is in FP64. Grid: one block for each row of the split filter.
template <int OUTPUTS, int KERNEL>
__global__ void transform_filter(const float* __restrict__ f, unsigned char* __restrict__ tiles,
                                 float* __restrict__ factors, int k_blocks, PROBLEM_PARAMETERS) {
  constexpr Winograd<OUTPUTS, KERNEL> winograd;
  constexpr int PRODUCTS = winograd.PRODUCTS;
  // K blocks at a time pass through shared memory, since the threads' values are far apart.
  constexpr int AT_ONCE = KERNEL == 3 ? 16 : 6, AREA = KERNEL * KERNEL, PART = AT_ONCE * K_BLOCK * AREA;
  __shared__ float warp_largest[32], of_part[PART];
  launch_dependents();
  const Problem p = PROBLEM_ARGUMENTS;
  const int channel = blockIdx.x, reduction = channel < p.out_channels ? p.reduction() : 0;
  const float* const weights = f + static_cast<long long>(channel) * p.reduction();
  float largest = 0.0f;
#pragma unroll 8
  for (int i = threadIdx.x; i < reduction; i += blockDim.x) largest = max_magnitude(largest, weights[i]);
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    largest = max_magnitude(largest, __shfl_xor_sync(0xffffffffu, largest, lanes));
  }
  if (threadIdx.x % 32 == 0) warp_largest[threadIdx.x / 32] = largest;
  __syncthreads();
  for (int warp = 0; warp < blockDim.x / 32; ++warp) largest = max_magnitude(largest, warp_largest[warp]);

  // 2^126 is the largest for which the factor is finite. A NaN fails the comparison.
  const double most = winograd.growth * largest;
  const bool in_range = most < 0x1p127;
  const int exponent = in_range && most > 0.0 ? ilogb(most) : 0;
  const double scale = scalbn(1.0, 14 - exponent);
  if (threadIdx.x == 0 && channel < p.out_channels) {
    factors[channel] = in_range ? scalbnf(1.0f, exponent + 1) : __int_as_float(0x7fffffff);
  }

  for (int first = 0; first < k_blocks; first += AT_ONCE) {
    __syncthreads();
#pragma unroll 8
    for (int i = threadIdx.x; i < PART; i += blockDim.x) {
      const int k = first * K_BLOCK * AREA + i;
      of_part[i] = in_range && k < reduction ? weights[k] : 0.0f;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < min(AT_ONCE, k_blocks - first) * KERNEL * CHUNKS; i += blockDim.x) {
      const int k_block = i / (KERNEL * CHUNKS), rest = i - k_block * KERNEL * CHUNKS;
      const int v = rest / CHUNKS, chunk = rest % CHUNKS, row = channel % FILTER_ROWS;
      const float* const column = of_part + (k_block * K_BLOCK + chunk * CHUNK) * AREA + v;
#pragma unroll
      for (int product = 0; product < PRODUCTS; ++product) {
        float values[CHUNK];
#pragma unroll
        for (int j = 0; j < CHUNK; ++j) {
          double sum = 0.0;
#pragma unroll
          for (int u = 0; u < KERNEL; ++u) sum += winograd.filter[product][u] * column[j * AREA + u * KERNEL];
          values[j] = static_cast<float>(sum * scale);
        }
        const SplitChunk<2> split(values, 1.0f);
        const int of = ((first + k_block) * PRODUCTS + product) * KERNEL + v;
        unsigned char* const target = tiles + filter_tile_offset<FILTER_ROWS, 2>(p, channel, of);
        *reinterpret_cast<uint4*>(target + chunk_offset(row, chunk)) = split.parts[0];
        *reinterpret_cast<uint4*>(target + chunk_offset(row, CHUNKS + chunk)) = split.parts[1];
      }
    }
  }
}

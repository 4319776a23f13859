// The im2win convolution on Hopper's tensor cores with Winograd's minimal filtering down the columns: OUTPUTS rows of Y take
// OUTPUTS + KERNEL - 1 matrix products where im2win_tensor_core_sliding has OUTPUTS * KERNEL. Square filters, stride 1, one
// group. Arithmetic, error and guard: see docs/tensor_cores.md.
//
// A "line" is a strip of OUTPUTS output rows. Its places are the columns of the padded X, `pitch` of them, and are numbered on
// from line to line. Windows that start at GROUP_OUTPUTS neighbouring places lie in a group of EPILOGUE_COLUMNS positions,
// which has one scale; the next group begins with the last KERNEL - 1 of them again, so that all taps of a window have its
// group's scale and their sums need not be undone one by one.
//
// The reduction is cut into K blocks of K_BLOCK input channels. A producer takes the rows of X under a strip, transforms them
// into a value for each product, and splits those; each product has a plane of the window tensor, which serves KERNEL taps,
// start addresses further along the width, as in im2win_tensor_core_sliding. Consumers add a product's sums to the strip's
// rows at once, so that they hold results of OUTPUTS rows and sums of one product.
#include "include/winograd_tensor_core.cuh"

// A block computes 64 * WARPGROUPS_M output channels. Each consumer multiplies N positions.
template <int WARPGROUPS_M, int N, int PRODUCERS, int OUTPUTS, int KERNEL>
struct Shape {
  static_assert(WARPGROUPS_M == 1 || WARPGROUPS_M == CONSUMER_WARPGROUPS, "the consumers lie beside each other");
  static constexpr int PARTS_N = CONSUMER_WARPGROUPS / WARPGROUPS_M, TILE_M = 64 * WARPGROUPS_M;
  // The last warpgroup has the filter copied.
  static constexpr int COPIER = CONSUMER_WARPGROUPS + PRODUCERS, WARPGROUPS = COPIER + 1;
  static constexpr int FILTER_BYTES = WARPGROUPS_M * FILTER_TILE_BYTES;
  static_assert(N % EPILOGUE_COLUMNS == 0, "whole groups");
  static constexpr int GROUPS = N / EPILOGUE_COLUMNS, PLANE_BYTES = N * CHUNK_BYTES;
  static constexpr int PART_BYTES = 2 * CHUNKS * PLANE_BYTES, WINDOW_BYTES = PARTS_N * PART_BYTES;
  static constexpr int UNITS = PARTS_N * GROUPS;
  static_assert(PRODUCERS <= UNITS, "a producer would lose track of the rounds of the ring");
  // A block starts with what its 64 Ki registers give each thread, in eights. A consumer holds N / 2 sums and OUTPUTS times
  // as many results; the producers share the rest.
  static constexpr int REGISTERS = REGISTER_FILE / 128 / WARPGROUPS / 8 * 8 * WARPGROUPS;  // a thread of each warpgroup
  static constexpr int COPIER_REGISTERS = 24, NEEDED = ((OUTPUTS + 1) * N / 2 + 24 + 7) / 8 * 8;  // by a consumer
  static constexpr int LEFT = (REGISTERS - COPIER_REGISTERS - CONSUMER_WARPGROUPS * NEEDED) / PRODUCERS / 8 * 8;
  static constexpr int PRODUCER_REGISTERS = LEFT < REGISTERS / WARPGROUPS ? LEFT : REGISTERS / WARPGROUPS;
  static constexpr int CONSUMER_REGISTERS =
      (REGISTERS - COPIER_REGISTERS - PRODUCERS * PRODUCER_REGISTERS) / CONSUMER_WARPGROUPS / 8 * 8;
  static_assert(PRODUCER_REGISTERS >= 72, "a producer holds a chunk of one position of all rows");
};

// The largest magnitudes in each row of X under a unit's strips, and whether they are near enough to each other.
//
// Winograd's sums hold values that cancel: rounding errors are relative to the largest value under the strip times the
// largest weight, while an output may see that value with a small weight, or not at all. A unit is left to the guard where
// all that the outputs of a row see in it is less than 2^-SPREAD of the largest, or all that the other rows of X hold.
template <int OUTPUTS, int KERNEL>
struct UnitLargest {
  static constexpr int SPREAD = 6, ROWS = Winograd<OUTPUTS, KERNEL>::PRODUCTS;
  float largest = 0.0f, second = 0.0f, least_seen = __int_as_float(0x7f800000);
  __device__ UnitLargest(const float4 (&of_warps)[ROWS]) {
    float rows[ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; ++i) {
      const float4 four = of_warps[i];
      rows[i] = max_magnitude(max_magnitude(four.x, four.y), max_magnitude(four.z, four.w));
      second = fmaxf(second, fminf(largest, rows[i]));
      largest = max_magnitude(largest, rows[i]);
    }
#pragma unroll
    for (int output = 0; output < OUTPUTS; ++output) {
      float seen = rows[output];
#pragma unroll
      for (int i = 1; i < KERNEL; ++i) seen = max_magnitude(seen, rows[output + i]);
      least_seen = fminf(least_seen, seen);
    }
  }
  __device__ bool spread_too_far() const {
    const float enough = largest * (1.0f / (1 << SPREAD));
    // Where all other rows are zeros, most often padding, nothing cancels but a row with itself.
    return least_seen < enough || (second < enough && second > 0.0f);
  }
};

// The bits of an FP32 value that do not fit into its high part.
constexpr unsigned LOW_BITS = 0x1fff;

// The product at point 1, which adds up a strip's values: the only one whose sums have one sign where all values do. So much
// would be cut off them that each tap's are added to the results by themselves.
constexpr int SUMMING_PRODUCT = 1;

// Makes up for what the tensor core cuts off a product's sums, by a factor: 0.9 * 2^-23 of a K block's sums for three taps,
// which are six instructions on large sums. The factor stays exact, and one FMA applies it. What is exact has nothing cut.
__device__ inline float lengthen(float factor, int taps, int k_block, bool is_cut) {
  const auto units_up_to = [=](int end) { return (3 * taps * end + 5) / 10; };
  const int units = is_cut ? units_up_to(k_block + 1) - units_up_to(k_block) : 0;
  return fmaf(factor, units * 0x1p-23f, factor);
}

// As im2win_tensor_core_sliding. `k_blocks` counts K blocks of input channels; the split filter is transform_filter's, and
// has KERNEL tiles for each of a K block's products. `tiles_n` counts tiles of UNITS groups. An image has `strips` lines. Dynamic shared memory: see
// kernels/tiles/tensor_core_winograd.py.
template <int OUTPUTS, int KERNEL, int WARPGROUPS_M, int N, int PRODUCERS, int FILTER_STAGES, int WINDOW_STAGES,
          bool PADDED>
__global__ __launch_bounds__(128 * (CONSUMER_WARPGROUPS + PRODUCERS + 1), 1) void im2win_tensor_core_winograd(
    const float* __restrict__ x, const float* __restrict__ f, const unsigned char* __restrict__ filter_tiles,
    const float* __restrict__ filter_factors, float* __restrict__ y, int pitch, unsigned pitch_multiplier,
    unsigned pitch_shift, int strips, unsigned strips_multiplier, unsigned strips_shift, TENSOR_CORE_PARAMETERS) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  using S = Shape<WARPGROUPS_M, N, PRODUCERS, OUTPUTS, KERNEL>;
  using Output = WarpOutput<OUTPUTS * N, StripRows<OUTPUTS, KERNEL, N>, false>;
  constexpr Winograd<OUTPUTS, KERNEL> winograd;
  constexpr int PRODUCTS = winograd.PRODUCTS;
  static_assert(WINDOW_STAGES >= PRODUCTS, "a producer fills a K block's planes at once");
  static_assert(FILTER_STAGES >= KERNEL, "a consumer multiplies all taps of a product at once");
  extern __shared__ unsigned char dynamic[];
  unsigned char* const filters = dynamic + (TILE_ALIGNMENT - shared_address(dynamic) % TILE_ALIGNMENT) % TILE_ALIGNMENT;
  unsigned char* const windows = filters + FILTER_STAGES * S::FILTER_BYTES;
  float* const buffers = reinterpret_cast<float*>(windows + WINDOW_STAGES * S::WINDOW_BYTES);
  // [PRODUCERS][2][PRODUCTS + 1], of the four warps of a producer.
  float4* const maxima = reinterpret_cast<float4*>(buffers + 4 * CONSUMER_WARPGROUPS * Output::BUFFER);
  float* const factors = reinterpret_cast<float*>(maxima + PRODUCERS * 2 * (PRODUCTS + 1));  // [WINDOW_STAGES][UNITS]
  Barrier* const filter_full = reinterpret_cast<Barrier*>(factors + (WINDOW_STAGES * S::UNITS + 1) / 2 * 2);
  Barrier* const filter_empty = filter_full + FILTER_STAGES;
  Barrier* const window_full = filter_empty + FILTER_STAGES;
  Barrier* const window_empty = window_full + WINDOW_STAGES;

  const TensorCorePlan plan = TENSOR_CORE_ARGUMENTS;
  const Problem& p = plan.problem;
  const FastDivision by_pitch = {pitch, pitch_multiplier, pitch_shift};
  const FastDivision by_strips = {strips, strips_multiplier, strips_shift};
  const int tiles = TensorCoreTile::count(plan);
  const int warpgroup = threadIdx.x / 128, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  Ring<FILTER_STAGES> filter;
  Ring<WINDOW_STAGES> window;
  if (threadIdx.x == 0) {
    for (int i = 0; i < FILTER_STAGES; ++i) {
      filter_full[i].initialize(1);
      filter_empty[i].initialize(4 * CONSUMER_WARPGROUPS);
    }
    for (int i = 0; i < WINDOW_STAGES; ++i) {
      window_full[i].initialize(4 * S::UNITS);  // the warps of a producer that write a unit
      window_empty[i].initialize(4 * CONSUMER_WARPGROUPS);
    }
    fence_barriers();
  }
  __syncthreads();

  if (warpgroup == S::COPIER) {
    reduce_registers<S::COPIER_REGISTERS>();
    if (threadIdx.x % 128 != 0) return;
    wait_for_prerequisite();  // for the split filter; the producers gather X meanwhile
    constexpr int TAPS = PRODUCTS * KERNEL;
    for (int i = blockIdx.x; i < tiles; i += gridDim.x) {
      const TensorCoreTile tile = TensorCoreTile::find<false>(plan, i, S::TILE_M, S::UNITS);
#pragma unroll 1
      for (int from = tile.first_k_block * TAPS; from < tile.last_k_block * TAPS; ++from, filter.next()) {
        filter_empty[filter.stage].wait(filter.parity ^ 1);
        filter_full[filter.stage].arrive_and_expect(S::FILTER_BYTES);
        filter_full[filter.stage].copy(filters + filter.stage * S::FILTER_BYTES,
                                       filter_tiles + filter_tile_offset<S::TILE_M, 2>(p, tile.filter_row, from),
                                       S::FILTER_BYTES);
      }
    }
  } else if (warpgroup >= CONSUMER_WARPGROUPS) {
    reduce_registers<S::PRODUCER_REGISTERS>();
    const int producer = warpgroup - CONSUMER_WARPGROUPS, chunk = warp % 4;
    const int plane = p.height * p.width;
    int unit = producer, parity = 0;
    for (int i = blockIdx.x; i < tiles; i += gridDim.x) {
      const TensorCoreTile tile = TensorCoreTile::find<false>(plan, i, S::TILE_M, S::UNITS);
      for (int k_block = tile.first_k_block;; unit += PRODUCERS, parity ^= 1) {
        for (; unit >= S::UNITS && k_block < tile.last_k_block; unit -= S::UNITS, ++k_block) {
          for (int product = 0; product < PRODUCTS; ++product) window.next();
        }
        if (k_block == tile.last_k_block) break;
        // A unit is a group of positions; a lane takes one of them, and a warp a chunk of the K block.
        const int part = unit / S::GROUPS, position = (unit - part * S::GROUPS) * EPILOGUE_COLUMNS + lane;
        const StripPlace<OUTPUTS> place(by_pitch, by_strips, (tile.first_pixel + unit) * GROUP_OUTPUTS<KERNEL> + lane);
        const int column = place.column - p.pad_left, first_row = place.first_row - p.pad_top;
        const unsigned image = static_cast<unsigned>(min(place.image, p.batch - 1)) * p.in_channels;
        unsigned channels[CHUNK];
#pragma unroll
        for (int k = 0; k < CHUNK; ++k) {
          // Channels beyond the last repeat it: the filter is zero there.
          const int channel = min(k_block * K_BLOCK + chunk * CHUNK + k, p.in_channels - 1);
          channels[k] = sizeof(float) * ((image + channel) * plane + column);
        }
        float values[PRODUCTS][CHUNK];
#pragma unroll
        for (int i = 0; i < PRODUCTS; ++i) {
          int row = first_row + i;
          // Of rows that no output needs any will do, but what is large there would seem to be seen by none: the last one.
          if (row + p.pad_top >= p.out_height + KERNEL - 1) row = p.height - 1;
          const bool inside = !PADDED || (is_inside(row, p.height) && is_inside(column, p.width));
#pragma unroll
          for (int k = 0; k < CHUNK; ++k) {
            values[i][k] = inside ? load(x, channels[k] + sizeof(float) * row * p.width) : 0.0f;
          }
        }
        // The loads are in flight while this waits for free planes, of all products.
        Ring<WINDOW_STAGES> at = window;
#pragma unroll
        for (int product = 0; product < PRODUCTS; ++product, at.next()) window_empty[at.stage].wait(at.parity ^ 1);
        // A unit has one scale, so that its positions can be shared by windows; all products have it in common.
        float4* const of_rows = maxima + (producer * 2 + parity) * (PRODUCTS + 1);
        unsigned bits_of_all = 0;
#pragma unroll
        for (int i = 0; i < PRODUCTS; ++i) {
#pragma unroll
          for (int k = 0; k < CHUNK; ++k) bits_of_all |= __float_as_int(values[i][k]);
          const unsigned bits = __reduce_max_sync(0xffffffffu, Ranks(values[i]).largest) >> 1;
          if (lane == 0) reinterpret_cast<float*>(of_rows + i)[chunk] = __int_as_float(bits);
        }
        const bool is_cut = __any_sync(0xffffffffu, bits_of_all & LOW_BITS);
        if (lane == 0) reinterpret_cast<float*>(of_rows + PRODUCTS)[chunk] = is_cut ? 1.0f : 0.0f;
        synchronize_warpgroup(1 + producer);
        const UnitLargest<OUTPUTS, KERNEL> unit_largest(*reinterpret_cast<float4(*)[PRODUCTS]>(of_rows));
        const KBlockScale scale(unit_largest.largest * (1 << winograd.headroom), exponent_limit);
        const float4 cut = of_rows[PRODUCTS];
        const bool has_cuts = cut.x + cut.y + cut.z + cut.w > 0.0f;
        const float undo = unit_largest.spread_too_far() ? __int_as_float(0x7fffffff) : scale.factor;
        at = window;
#pragma unroll
        for (int product = 0; product < PRODUCTS; ++product, at.next()) {
          float transformed[CHUNK];
#pragma unroll
          for (int k = 0; k < CHUNK; ++k) {
            transformed[k] = winograd.transform(product, values, k);
          }
          const SplitChunk<2> split(transformed, scale.scale);
          const unsigned to = shared_address(windows + at.stage * S::WINDOW_BYTES) + part * S::PART_BYTES +
                              chunk * S::PLANE_BYTES + position * CHUNK_BYTES;
          store_shared(to, split.parts[0]);
          store_shared(to + CHUNKS * S::PLANE_BYTES, split.parts[1]);
          if (threadIdx.x % 128 == 0) {
            factors[at.stage * S::UNITS + unit] =
                product == SUMMING_PRODUCT ? make_up_for_cuts<30>(undo, has_cuts, k_block, tile.first_pixel + unit)
                                           : lengthen(undo, KERNEL, k_block, has_cuts);
          }
        }
        fence_shared_writes();
        __syncwarp();
        if (lane == 0) {
          at = window;
#pragma unroll
          for (int product = 0; product < PRODUCTS; ++product, at.next()) window_full[at.stage].arrive();
        }
      }
    }
  } else {
    raise_registers<S::CONSUMER_REGISTERS>();
    wait_for_prerequisite();  // for the filter's factors, and before anything is stored
    const int first_channel = WARPGROUPS_M == 1 ? 0 : warpgroup * 64, part = WARPGROUPS_M == 1 ? warpgroup : 0;
    const unsigned long long first_a = tile_descriptor(shared_address(filters) + first_channel * ROW_BYTES);
    const unsigned long long first_b =
        position_descriptor(shared_address(windows) + part * S::PART_BYTES, S::PLANE_BYTES);
    const auto output_of = [&](const TensorCoreTile& tile) {
      const int channel = tile.first_channel + first_channel + warp % 4 * Output::ROWS;
      return Output{p, plan.epilogue, {p, by_pitch, by_strips, tile.first_pixel + part * S::GROUPS}, y + tile.output,
                    channel, p.out_channels};
    };
    Suspects suspects;
    for (int i = blockIdx.x; i < tiles; i += gridDim.x) {
      const TensorCoreTile tile = TensorCoreTile::find<false>(plan, i, S::TILE_M, S::UNITS);
      float results[OUTPUTS * N / 8][4] = {};  // row by row
      float sums[N / 8][4] = {};               // in here, so that it holds no registers while results are stored
#pragma unroll 1
      for (int k_block = tile.first_k_block; k_block < tile.last_k_block; ++k_block) {
#pragma unroll
        for (int product = 0; product < PRODUCTS; ++product, window.next()) {
          const unsigned long long b = further(first_b, window.stage * S::WINDOW_BYTES);
          window_full[window.stage].wait(window.parity);
          Ring<FILTER_STAGES> at = filter;
#pragma unroll 1
          for (int tap = 0; tap < KERNEL; ++tap, at.next()) filter_full[at.stage].wait(at.parity);
          const int taps = product == SUMMING_PRODUCT ? 1 : KERNEL;  // at once
#pragma unroll 1
          for (int first = 0; first < KERNEL; first += taps) {
            start_products();
#pragma unroll
            for (int i = 0; i < PART_PRODUCTS<2>; ++i) {
              const PartProduct of = part_product<2>(i);
              at = filter;
              // Unrolled it would keep the descriptors of all instructions in registers.
#pragma unroll 1
              for (int tap = first; tap < first + taps; ++tap, at.next()) {
                const unsigned long long a = further(first_a, at.stage * S::FILTER_BYTES);
#pragma unroll
                for (int k = 0; k < K_BLOCK; k += 16) {
                  const int from_a = of.filter * K_BLOCK * 2 + k * 2;
                  const int from_b = (of.window * CHUNKS + k / CHUNK) * S::PLANE_BYTES + tap * CHUNK_BYTES;
                  multiply_tiles<N>(sums, further(a, from_a), further(b, from_b), i > 0 || tap > first || k > 0);
                }
              }
            }
            finish_products<N>(sums);
#pragma unroll
            for (int j = 0; j < N / 8; ++j) {
              const float undo = factors[window.stage * S::UNITS + part * S::GROUPS + 8 * j / EPILOGUE_COLUMNS];
#pragma unroll
              for (int output = 0; output < OUTPUTS; ++output) {
                const float coefficient = winograd.output[output][product];
                if (coefficient == 0.0f) continue;
                float* const of = results[output * N / 8 + j];
#pragma unroll
                for (int i = 0; i < 4; ++i) of[i] = fmaf(sums[j][i], coefficient * undo, of[i]);
              }
            }
            __syncwarp();
#pragma unroll
            for (int tap = 0; tap < taps; ++tap, filter.next()) {
              if (lane == 0) filter_empty[filter.stage].arrive();
            }
          }
          if (lane == 0) window_empty[window.stage].arrive();
        }
      }
      const Output output = output_of(tile);
      const RowFactors row_factors(filter_factors, plan.epilogue, output.channel + lane / 4, p.out_channels);
      const bool finite = output.store(results, row_factors, buffers + warp * Output::BUFFER);
      suspects.add(i, __any_sync(0xffffffffu, !finite));
    }
    for (int i = blockIdx.x; i < tiles; i += gridDim.x) {
      if (!suspects.has(i)) continue;
      const TensorCoreTile tile = TensorCoreTile::find<false>(plan, i, S::TILE_M, S::UNITS);
      const int window_values = K_BLOCK * KERNEL * KERNEL;
      output_of(tile).store_strict(x, f, tile.first_k_block * window_values, tile.last_k_block * window_values);
    }
  }
#endif
}

// Transforms F down its columns and splits it, as split_filter in tensor_core_filter.cu splits F itself: the products of a K
// block of input channels have KERNEL tiles each, in this order. A channel has one scale for all products; factors[co]
// undoes it. The transform is in FP64. Grid: one block for each row of the split filter.
template <int OUTPUTS, int KERNEL>
__global__ void transform_filter(const float* __restrict__ f, unsigned char* __restrict__ tiles,
                                 float* __restrict__ factors, int k_blocks, PROBLEM_PARAMETERS) {
  constexpr Winograd<OUTPUTS, KERNEL> winograd;
  constexpr int PRODUCTS = winograd.PRODUCTS;
  __shared__ float warp_largest[32];
  launch_dependents();
  const Problem p = PROBLEM_ARGUMENTS;
  const int channel = blockIdx.x, columns = channel < p.out_channels ? p.in_channels * KERNEL : 0;
  const float* const weights = f + static_cast<long long>(channel) * p.reduction();
  // The value for a product, in input channel column / KERNEL and the filter's column column % KERNEL.
  const auto transform = [&](int product, int c, int v) {
    double sum = 0.0;
#pragma unroll
    for (int u = 0; u < KERNEL; ++u) sum += winograd.filter[product][u] * weights[(c * KERNEL + u) * KERNEL + v];
    return sum;
  };

  float largest = 0.0f;
  for (int i = threadIdx.x; i < columns; i += blockDim.x) {
    const int c = i / KERNEL, v = i - c * KERNEL;
#pragma unroll
    for (int product = 0; product < PRODUCTS; ++product) {
      largest = max_magnitude(largest, static_cast<float>(transform(product, c, v)));
    }
  }
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    largest = max_magnitude(largest, __shfl_xor_sync(0xffffffffu, largest, lanes));
  }
  if (threadIdx.x % 32 == 0) warp_largest[threadIdx.x / 32] = largest;
  __syncthreads();
  for (int warp = 0; warp < blockDim.x / 32; ++warp) largest = max_magnitude(largest, warp_largest[warp]);

  // 2^126 is the largest for which the factor is finite. A NaN fails the comparison.
  const bool in_range = largest < 0x1p127f;
  const int exponent = in_range && largest > 0.0f ? ilogbf(largest) : 0;
  const double scale = scalbn(1.0, 14 - exponent);
  if (threadIdx.x == 0 && channel < p.out_channels) {
    factors[channel] = in_range ? scalbnf(1.0f, exponent + 1) : __int_as_float(0x7fffffff);
  }

  for (int i = threadIdx.x; i < k_blocks * KERNEL * CHUNKS; i += blockDim.x) {
    const int k_block = i / (KERNEL * CHUNKS), rest = i - k_block * KERNEL * CHUNKS;
    const int v = rest / CHUNKS, chunk = rest % CHUNKS, row = channel % FILTER_ROWS;
#pragma unroll
    for (int product = 0; product < PRODUCTS; ++product) {
      float values[CHUNK];
#pragma unroll
      for (int j = 0; j < CHUNK; ++j) {
        const int c = k_block * K_BLOCK + chunk * CHUNK + j;
        const bool is_weight = in_range && c * KERNEL < columns;
        values[j] = is_weight ? static_cast<float>(transform(product, c, v) * scale) : 0.0f;
      }
      const SplitChunk<2> split(values, 1.0f);
      const int of = (k_block * PRODUCTS + product) * KERNEL + v;
      unsigned char* const target = tiles + filter_tile_offset<FILTER_ROWS, 2>(p, channel, of);
      *reinterpret_cast<uint4*>(target + chunk_offset(row, chunk)) = split.parts[0];
      *reinterpret_cast<uint4*>(target + chunk_offset(row, CHUNKS + chunk)) = split.parts[1];
    }
  }
}

// What the tensor-core kernels share: how FP32 values become pairs of FP16 values and lie in shared memory, where a
// pixel's window starts in X, and how outputs are written. docs/tensor_cores.md has the method and its error analysis.
//
// The convolution is an implicit matrix product, M = out_channels, N = pixels, K = group_channels * kernel_h * kernel_w; with
// groups it is one for each, and each has whole tiles of output channels.
// A "K block" is K_BLOCK of the reduction. Within a K block the window of one pixel is scaled by one power of two, and
// the products of the K block are added to the FP32 result times its inverse: x * 2^s is split into FP16 values.
#pragma once
#include "epilogue.cuh"
#include "guard.cuh"

// Values are split into PARTS FP16 values, 2 or 3. A row of a tile holds two parts of one pixel's (or one output
// channel's) K_BLOCK values: 128 bytes, in chunks of 16 bytes; a third part has a tile of its own behind the first,
// beside FP16(value). Exchanging chunks within groups of eight rows (the 128-byte swizzle of the PTX ISA's
// matrix descriptors) lets eight rows be read or written at one chunk without bank conflicts.
constexpr int CHUNK = 8;  // values in a chunk
constexpr int CHUNKS = K_BLOCK / CHUNK;
constexpr int FILTER_ROWS = 64;  // output channels in a tile of the split filter
constexpr int FILTER_TILE_BYTES = FILTER_ROWS * ROW_BYTES;

// Byte offset of a chunk in a tile; chunks CHUNKS and up are the second part.
__device__ inline int chunk_offset(int row, int chunk) { return row * ROW_BYTES + ((chunk ^ (row & 7)) << 4); }

// Rows of the split filter: each group's output channels, padded. `filter_row` is that of the first channel of a tile.
__device__ inline int filter_rows_per_group(const Problem& p) {
  return (p.group_out_channels + FILTER_PADDING - 1) / FILTER_PADDING * FILTER_PADDING;
}
// Where the split filter of some output channels and one K block starts, in bytes: split_filter has the layout.
template <int CHANNELS, int PARTS>
__device__ inline long long filter_tile_offset(const Problem& p, int filter_row, int k_block) {
  static_assert(CHANNELS % FILTER_ROWS == 0, "whole tiles of the split filter");
  const int tiles_m = p.groups * filter_rows_per_group(p) / FILTER_ROWS;
  const long long tile = static_cast<long long>(k_block) * tiles_m + filter_row / FILTER_ROWS;
  return tile * (PARTS - 1) * FILTER_TILE_BYTES;
}

// Writes a chunk of a row, given the address of the row's first chunk in a tile that starts at a multiple of 128 bytes:
// chunk_offset for one exclusive or.
__device__ inline void store_chunk(unsigned first_chunk, int chunk, uint4 values) {
  store_shared(first_chunk ^ (chunk << 4), values);
}

// A chunk of scaled values v, split.
//
// Two parts are high = fp16(v) and low = fp16(v - high): 22 bits or more of v's 24. Of three parts the first is v to a
// multiple of 2^7: its products are then multiples of 2^14, and FP32 holds the sum of a K block of them exactly. The two
// others are split off as before; the three together are v, or within 2^-31 of the K block's largest for small v. Behind
// them fp16(v) is stored, which the last part is multiplied by.
template <int PARTS>
struct SplitChunk {
  static_assert(PARTS == 2 || PARTS == 3, "two parts for long reductions, three for a single K block");
  static constexpr int STORED = PARTS == 3 ? 4 : 2;
  uint4 parts[STORED];
  // Not zero if the first part is not all of a value.
  __device__ unsigned rest() const {
    return (parts[1].x | parts[1].y | parts[1].z | parts[1].w) & 0x7fff7fff;
  }
  __device__ SplitChunk(const float* values, float scale) {
    unsigned packed[STORED][CHUNK / 2];
#pragma unroll
    for (int i = 0; i < CHUNK / 2; ++i) {
      float2 rest = {values[2 * i] * scale, values[2 * i + 1] * scale};
      if (STORED > PARTS) packed[PARTS][i] = pack(rest.x, rest.y);
#pragma unroll
      for (int part = 0; part < PARTS; ++part) {
        // 1.5 * 2^30 has units of 2^7: adding it rounds to them.
        constexpr float TO_UNITS = 0x1.8p30f;
        const bool coarse = PARTS == 3 && part == 0;
        packed[part][i] = coarse ? pack((rest.x + TO_UNITS) - TO_UNITS, (rest.y + TO_UNITS) - TO_UNITS)
                                 : pack(rest.x, rest.y);
        const float2 taken = unpack(packed[part][i]);
        rest = {rest.x - taken.x, rest.y - taken.y};
      }
    }
#pragma unroll
    for (int part = 0; part < STORED; ++part) {
      parts[part] = make_uint4(packed[part][0], packed[part][1], packed[part][2], packed[part][3]);
    }
  }
};

// A product of a part of the filter and a part of the window.
struct PartProduct {
  int filter, window;
};
// The products of a K block in their order, smallest first: the tensor core truncates its sums, so only those of the last
// product are large enough for that to matter. With three parts that one is exact, and has sums of its own; the
// last part is multiplied by fp16(v), since the first part of a value far below its K block's largest is zero.
template <int PARTS>
__device__ constexpr PartProduct part_product(int i) {
  constexpr PartProduct TWO[] = {{1, 0}, {0, 1}, {0, 0}};
  constexpr PartProduct THREE[] = {{2, 3}, {3, 2}, {1, 1}, {1, 0}, {0, 1}, {0, 0}};
  return PARTS == 2 ? TWO[i] : THREE[i];
}
template <int PARTS>
constexpr int PART_PRODUCTS = PARTS == 2 ? 3 : 6;

// The power of two that brings a K block's largest magnitude into [2^14, 2^15), and the factor that undoes it.
//
// The factor is also divided by 2^15, the most that a scaled filter value can be, so that the FP32 result stays as
// small as X. It is NaN where FP32 could not hold the result or its low bits: an Inf or NaN, a magnitude whose sum over
// the reduction may overflow (biased exponents from `exponent_limit`), or one so small that its low bits may be lost.
// Then the result becomes NaN, and is computed again without tensor cores.
struct KBlockScale {
  static constexpr int LEAST_EXPONENT = 15;  // biased: 2^-112
  float scale, factor;
  __device__ KBlockScale(float largest, int exponent_limit) {
    const int bits = __float_as_int(largest), exponent = bits >> 23;
    scale = __int_as_float((2 * 127 + 14 - max(exponent, LEAST_EXPONENT)) << 23);
    factor = __int_as_float(bits & 0x7f800000) * 0x1p-29f;
    if (exponent >= exponent_limit || (exponent < LEAST_EXPONENT && bits != 0)) factor = __int_as_float(0x7fffffff);
  }
};

// The tensor core cuts its sums instead of rounding them, which shortens a K block's by 0.9 (mixed signs) to 1.4 (one
// sign) times 2^-24 on average. The factor of LONGER K blocks of 64, spread over the reduction and over places, is
// therefore longer by 2^-23; as many as bring both means equally near zero on an H100. Not where values are all FP16
// values: their sums may be exact, and stay so. A denormal factor stays as it is.
template <int LONGER>
__device__ inline float make_up_for_cuts(float factor, bool is_cut, int k_block, int place) {
  // A second K block is added to one of its size, where less is rounded up than in long sums.
  const unsigned longer = k_block == 1 ? LONGER + 6 : LONGER;
  return is_cut && (k_block * 23 + place * 37) % 64u < longer ? factor * 0x1.000002p0f : factor;
}

// What the host knows of a plan, as plain integers; and what becomes of a result.
#define TENSOR_CORE_PARAMETERS                                                                                  \
  const float *__restrict__ bias, const float *__restrict__ residual, int relu, int k_blocks, int splits, int exponent_limit, int tiles_m, unsigned tiles_m_multiplier, unsigned tiles_m_shift, \
      int tiles_n, unsigned tiles_n_multiplier, unsigned tiles_n_shift, PROBLEM_PARAMETERS
#define TENSOR_CORE_ARGUMENTS                                                                                             \
  {PROBLEM_ARGUMENTS, {tiles_m, tiles_m_multiplier, tiles_m_shift}, {tiles_n, tiles_n_multiplier, tiles_n_shift}, k_blocks, \
   splits, exponent_limit, {bias, residual, relu}}
struct TensorCorePlan {
  Problem problem;
  FastDivision by_tiles_m, by_tiles_n;  // tiles along the output channels, along the pixels
  int k_blocks, splits;                 // of the reduction
  int exponent_limit;                   // see KBlockScale
  Epilogue epilogue;
};

// Where the window of an output starts in a group's channels of X, in bytes. X has less than 4 GiB, so that an address is
// one addition to a 32-bit offset; that of a window that starts in the padding before X wraps around. Without padding,
// dilation and groups the kernels are not GENERAL and do without what these take.
template <bool GENERAL>
__device__ inline unsigned find_window(const Problem& p, const Pixel& at, int group) {
  if (!GENERAL) {
    return sizeof(float) * (static_cast<unsigned>(at.image) * p.in_channels * p.height * p.width +
                            at.row * p.stride_h * p.width + at.column * p.stride_w);
  }
  const unsigned channel = at.image * p.in_channels + group * p.group_channels;
  return sizeof(float) * ((channel * p.height + at.first_row(p)) * p.width + at.first_column(p));
}
// Pixels beyond the last have the last one's: they are computed and dropped.
__device__ inline Pixel find_pixel(const Problem& p, int pixel) { return Pixel(p, min(pixel, p.pixels() - 1)); }

__device__ inline float load(const float* __restrict__ x, unsigned offset) {
  return __ldg(reinterpret_cast<const float*>(reinterpret_cast<const char*>(x) + offset));
}
// Which of a K block's values lie inside X and not in its padding, a bit each: those whose row of the filter does.
// `rows` has for each of these rows the bits of the values that it holds.
__device__ inline unsigned values_inside_rows(const Problem& p, int first_row, const int* __restrict__ rows) {
  if (first_row >= 0 && first_row + (p.kernel_h - 1) * p.dilation_h < p.height) return ~0u;  // most windows
  unsigned inside = 0;
#pragma unroll 1
  for (int u = 0, row = first_row; u < p.kernel_h; ++u, row += p.dilation_h) {
    if (is_inside(row, p.height)) inside |= __ldg(rows + u);
  }
  return inside;
}
// The same of rows and columns; `taps` has the bits of kernel_h rows, and behind them of kernel_w columns.
__device__ inline unsigned values_inside(const Problem& p, const Pixel& at, const int* __restrict__ taps) {
  const unsigned inside_rows = values_inside_rows(p, at.first_row(p), taps);
  const int first_column = at.first_column(p);
  if (first_column >= 0 && first_column + (p.kernel_w - 1) * p.dilation_w < p.width) return inside_rows;
  unsigned inside = 0;
#pragma unroll 1
  for (int v = 0, column = first_column; v < p.kernel_w; ++v, column += p.dilation_w) {
    if (is_inside(column, p.width)) inside |= __ldg(taps + p.kernel_h + v);
  }
  return inside & inside_rows;
}
// Values of a K block, all or some; the first one of their window lies `window` bytes into X. GENERAL: zeros but for those
// `inside`.
template <bool GENERAL, int COUNT>
__device__ inline void gather(float (&values)[COUNT], const float* __restrict__ x, unsigned window,
                              const int* __restrict__ offsets, unsigned inside) {
#pragma unroll
  for (int k = 0; k < COUNT; k += 4) {
    const int4 four = __ldg(reinterpret_cast<const int4*>(offsets + k));
    const int offset[] = {four.x, four.y, four.z, four.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      values[k + i] = 0.0f;
      if (!GENERAL || (inside >> (k + i) & 1)) values[k + i] = load(x, window + offset[i]);
    }
  }
}
// Index in Y of a pixel's value in the first channel.
__device__ inline long long output_index(const TensorCorePlan& plan, int pixel) {
  const long long gap = static_cast<long long>(plan.problem.out_channels - 1) * plan.problem.by_image.divisor;
  return plan.problem.by_image.quotient(pixel) * gap + pixel;
}

// Which pixel lies in a row of the window's tile, that is in a column of the results. A lane holds two neighbouring
// columns of every 8. If images have a multiple of four pixels, the columns are dealt so that those of two such pieces
// are four neighbouring pixels, which are written with one instruction.
__device__ inline int deal(int row) { return (row & ~15) | (row & 6) << 1 | (row & 8) >> 2 | (row & 1); }
__device__ inline int pixel_of_row(const TensorCorePlan& plan, int row) {
  return plan.problem.by_image.divisor % 4 == 0 ? deal(row) : row;
}

// What a block computes: which output channels and pixels, and which K blocks of the reduction.
// Output channels run fastest, so that blocks that read the same pixels run together and find them in the L2 cache.
struct TensorCoreTile {
  int first_channel, first_pixel, first_k_block, last_k_block, group, filter_row;
  long long output;  // where this part of the reduction's results start: each has a tensor of Y's shape
  // GENERAL kernels take groups, which have whole tiles each.
  template <bool GENERAL>
  __device__ static TensorCoreTile find(const TensorCorePlan& plan, int number, int tile_m, int tile_n) {
    const Problem& p = plan.problem;
    const int rest = plan.by_tiles_m.quotient(number), of_m = number - rest * plan.by_tiles_m.divisor;
    TensorCoreTile tile;
    tile.first_channel = tile.filter_row = of_m * tile_m;
    tile.group = 0;
    if (GENERAL && p.groups > 1) {
      const int channels = p.group_out_channels, tiles = (channels + tile_m - 1) / tile_m;
      tile.group = of_m / tiles;
      const int in_group = (of_m - tile.group * tiles) * tile_m;
      tile.first_channel = tile.group * channels + in_group;
      tile.filter_row = tile.group * filter_rows_per_group(p) + in_group;
    }
    const int split = plan.by_tiles_n.quotient(rest);
    tile.first_pixel = (rest - split * plan.by_tiles_n.divisor) * tile_n;
    tile.first_k_block = 0, tile.last_k_block = plan.k_blocks, tile.output = 0;
    if (plan.splits == 1) return tile;
    tile.first_k_block = plan.k_blocks * split / plan.splits;
    tile.last_k_block = plan.k_blocks * (split + 1) / plan.splits;
    tile.output = static_cast<long long>(split) * p.pixels() * p.out_channels;
    return tile;
  }
  __device__ static int count(const TensorCorePlan& plan) {
    return plan.by_tiles_m.divisor * plan.by_tiles_n.divisor * plan.splits;
  }
};

// The first output channel behind those of a channel's group.
template <bool GENERAL>
__device__ inline int end_of_group(const Problem& p, int channel) {
  if (!GENERAL || p.groups == 1) return p.out_channels;
  const int channels = p.group_out_channels;
  return (channel / channels + 1) * channels;
}

// What a thread writes after m16n8 matrix instructions: two rows of results (output channels), 8 apart, and two
// neighbouring columns of every 8, which are the pixels that pixel_of_row says.
template <int COLUMNS>
class TensorCoreOutput {
 public:
  static_assert(COLUMNS % 16 == 0, "columns are dealt in groups of 16");
  // `y` takes the results; `channel` is the one of the thread's first row, `end` the first that is not computed, `pixel`
  // that of the first column of all.
  __device__ TensorCoreOutput(const TensorCorePlan& plan, float* y, int channel, int end, int pixel)
      : plan_(plan),
        y_(y),
        channel_(channel),
        end_(end),
        pixel_(pixel) {}

  // results[j][0..1] are of the first row, [2..3] of the second. Returns whether all are finite; those that are not
  // must be computed again.
  __device__ bool store(const float (&results)[COLUMNS / 8][4], RowFactors factors) const {
    const int plane = plan_.problem.by_image.divisor, within = pixel_ - plan_.problem.by_image.quotient(pixel_) * plane;
    // Then addresses are constants apart.
    const bool one_image = within + COLUMNS <= plane && pixel_ < plan_.problem.pixels();
    if (plane % 4 == 0) return one_image ? write<4, true>(results, factors) : write<4, false>(results, factors);
    return one_image ? write<1, true>(results, factors) : write<1, false>(results, factors);
  }

  // The guard: computes again, in strict FP32, what was just written and is not finite, over [first_k, last_k) of the
  // reduction. For all lanes of a warp.
  __device__ void store_strict(const float* x, const float* f, int first_k, int last_k) const {
    const Problem& p = plan_.problem;
#pragma unroll 1
    for (int i = 0; i < COLUMNS / 8 * 4; ++i) {
      const int channel = channel_ + i % 2 * 8, pixel = pixel_ + i / 8 * 16 + lane_pixel(i / 2 % 4);
      const bool is_output = channel < end_ && pixel < p.pixels();
      const long long index = is_output ? index_of(channel, pixel) : 0;
      const bool wrong = is_output && !is_finite(y_[index]);
      const float sum =
          strict_sums(p, x, f, wrong, find_pixel(p, pixel), channel, first_k, min(last_k, p.reduction()));
      if (wrong) y_[index] = plan_.epilogue(sum, channel, index);
    }
  }

 private:
  // Index in Y.
  __device__ long long index_of(int channel, int pixel) const {
    return static_cast<long long>(channel) * plan_.problem.by_image.divisor + output_index(plan_, pixel);
  }
  // Place of the lane's i-th pixel in a group of 16.
  __device__ int lane_pixel(int i) const {
    return pixel_of_row(plan_, i / 2 * 8 + threadIdx.x % 4 * 2 + i % 2);
  }
  // Writes WIDTH neighbouring pixels at a time.
  template <int WIDTH, bool ONE_IMAGE>
  __device__ bool write(const float (&results)[COLUMNS / 8][4], RowFactors factors) const {
    float* const start = y_ + index_of(channel_, pixel_);
    const long long second_row = 8ll * plan_.problem.by_image.divisor;
    const bool has_first = channel_ < end_, has_second = channel_ + 8 < end_;
    float check = 0.0f;  // NaN as soon as one result is not finite
#pragma unroll
    for (int j = 0; j < COLUMNS / 8; j += 2) {
      float first[4], second[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        first[i] = fmaf(results[j + i / 2][i % 2], factors.first, factors.first_bias);
        second[i] = fmaf(results[j + i / 2][2 + i % 2], factors.second, factors.second_bias);
        check = fmaf(first[i], 0.0f, fmaf(second[i], 0.0f, check));
      }
#pragma unroll
      for (int i = 0; i < 4; i += WIDTH) {
        const int column = 8 * j + (WIDTH == 4 ? threadIdx.x % 4 * 4 : i / 2 * 8 + threadIdx.x % 4 * 2 + i % 2);
        if (!ONE_IMAGE && pixel_ + column >= plan_.problem.pixels()) continue;
        float* const place = ONE_IMAGE ? start + column : y_ + index_of(channel_, pixel_ + column);
        if (plan_.epilogue.has_more()) {
          const Epilogue& epilogue = plan_.epilogue;
          const long long index = place - y_;
#pragma unroll
          for (int t = 0; t < WIDTH; ++t) {
            if (has_first) first[i + t] = epilogue.after(first[i + t], epilogue.residual_at(index + t));
            if (!has_second) continue;
            second[i + t] = epilogue.after(second[i + t], epilogue.residual_at(index + second_row + t));
          }
        }
        if (has_first) copy<WIDTH>(place, first + i);
        if (has_second) copy<WIDTH>(place + second_row, second + i);
      }
    }
    return check == 0.0f;
  }
  template <int WIDTH>
  __device__ static void copy(float* to, const float* from) {
    if (WIDTH == 4) {
      *reinterpret_cast<float4*>(to) = make_float4(from[0], from[1], from[2], from[3]);
    } else {
      *to = *from;
    }
  }

  const TensorCorePlan& plan_;
  float* y_;
  int channel_, end_, pixel_;
};

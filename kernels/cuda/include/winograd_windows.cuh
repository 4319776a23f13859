// The window tensor of im2win_tensor_core_winograd: X under strips of OUTPUTS output rows, transformed and split.
#pragma once
#include "winograd_tensor_core.cuh"

// The largest magnitudes in each row of X under a group's strips, and whether they are near enough to each other.
//
// Winograd's sums hold values that cancel: rounding errors are relative to the largest value under the strip times the
// largest weight, while an output may see that value with a small weight, or not at all. A group is left to the guard where
// all that the outputs of a row see in it is less than 2^-SPREAD of the largest, or all that the other rows of X hold.
template <int OUTPUTS, int KERNEL>
struct GroupLargest {
  static constexpr int SPREAD = 6, ROWS = Winograd<OUTPUTS, KERNEL>::PRODUCTS;
  float largest = 0.0f, second = 0.0f, least_seen = __int_as_float(0x7f800000);
  // For each row those of the four warps of each of UNITS warpgroups.
  template <int UNITS>
  __device__ GroupLargest(const float4 (&of_warps)[ROWS + 1][UNITS]) {
    float rows[ROWS] = {};
#pragma unroll
    for (int i = 0; i < ROWS; ++i) {
#pragma unroll
      for (int j = 0; j < UNITS; ++j) {
        const float4 four = of_warps[i][j];
        rows[i] = max_magnitude(rows[i], max_magnitude(max_magnitude(four.x, four.y), max_magnitude(four.z, four.w)));
      }
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

// What fills a product's plane of the window tensor for a unit of EPILOGUE_COLUMNS positions: the values of X under its
// strips in one K block, transformed, scaled and split. All four warps of a warpgroup take part; a lane takes a position, and
// a warp a chunk of the K block.
template <int OUTPUTS, int KERNEL>
class WindowUnit {
 public:
  static constexpr int PRODUCTS = Winograd<OUTPUTS, KERNEL>::PRODUCTS;

  template <bool PADDED>
  __device__ void load_values(const float* __restrict__ x, const Problem& p, const StripPlace<OUTPUTS>& place, int k_block,
                              int chunk) {
    const int plane = p.height * p.width;
    const int column = place.column - p.pad_left, first_row = place.first_row - p.pad_top;
    const unsigned image = static_cast<unsigned>(min(place.image, p.batch - 1)) * p.in_channels;
    unsigned channels[CHUNK];
#pragma unroll
    for (int k = 0; k < CHUNK; ++k) {
      // Channels beyond the last repeat it: the filter is zero there.
      const int channel = min(k_block * K_BLOCK + chunk * CHUNK + k, p.in_channels - 1);
      channels[k] = sizeof(float) * ((image + channel) * plane + column);
    }
#pragma unroll
    for (int i = 0; i < PRODUCTS; ++i) {
      int row = first_row + i;
      // Of rows that no output needs any will do, but what is large there would seem to be seen by none: the last one.
      if (row + p.pad_top >= p.out_height + KERNEL - 1) row = p.height - 1;
      const bool inside = !PADDED || (is_inside(row, p.height) && is_inside(column, p.width));
#pragma unroll
      for (int k = 0; k < CHUNK; ++k) {
        values_[i][k] = inside ? load(x, channels[k] + sizeof(float) * row * p.width) : 0.0f;
      }
    }
  }

  // The UNITS of a group, of as many warpgroups, have one scale, so that its positions can be shared by windows; all
  // products have it in common. These warps, of which this is number `warp`, meet here; then `of_rows` must not be in use by
  // another group until they have met again.
  template <int UNITS, class MEET>
  __device__ void find_scale(float4 (&of_rows)[PRODUCTS + 1][UNITS], int warp, int exponent_limit, MEET meet) {
    constexpr Winograd<OUTPUTS, KERNEL> winograd;
    const int lane = threadIdx.x % 32;
    unsigned bits_of_all = 0;
#pragma unroll
    for (int i = 0; i < PRODUCTS; ++i) {
#pragma unroll
      for (int k = 0; k < CHUNK; ++k) bits_of_all |= __float_as_int(values_[i][k]);
      const unsigned bits = __reduce_max_sync(0xffffffffu, Ranks(values_[i]).largest) >> 1;
      if (lane == 0) reinterpret_cast<float*>(of_rows[i])[warp] = __int_as_float(bits);
    }
    const bool is_cut = __any_sync(0xffffffffu, bits_of_all & LOW_BITS);
    if (lane == 0) reinterpret_cast<float*>(of_rows[PRODUCTS])[warp] = is_cut ? 1.0f : 0.0f;
    meet();
    const GroupLargest<OUTPUTS, KERNEL> group_largest(of_rows);
    const KBlockScale scale(group_largest.largest * (1 << winograd.headroom), exponent_limit);
    has_cuts_ = false;
#pragma unroll
    for (int i = 0; i < UNITS; ++i) {
      const float4 cut = of_rows[PRODUCTS][i];
      has_cuts_ |= cut.x + cut.y + cut.z + cut.w > 0.0f;
    }
    scale_ = scale.scale;
    undo_ = group_largest.spread_too_far() ? __int_as_float(0x7fffffff) : scale.factor;
  }

  // A product's values in this thread's position and chunk.
  __device__ SplitChunk<2> split(int product) const {
    constexpr Winograd<OUTPUTS, KERNEL> winograd;
    float transformed[CHUNK];
#pragma unroll
    for (int k = 0; k < CHUNK; ++k) transformed[k] = winograd.transform(product, values_, k);
    return SplitChunk<2>(transformed, scale_);
  }

  // What undoes the scale in a product's sums; `unit` is its number among all.
  __device__ float factor(int product, int k_block, int unit) const {
    return product == SUMMING_PRODUCT ? make_up_for_cuts<30>(undo_, has_cuts_, k_block, unit)
                                      : lengthen(undo_, KERNEL, k_block, has_cuts_);
  }

 private:
  float values_[PRODUCTS][CHUNK];
  float scale_, undo_;
  bool has_cuts_;
};

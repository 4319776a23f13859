// The guard of the tensor-core kernels: which results may not be as accurate as FP32, and how they are computed again.
#pragma once
#include "convolution.cuh"
#include "epilogue.cuh"
#include "half.cuh"

// A value's bits but its sign, as integers of the same order; NaN is above all.
__device__ inline unsigned rank(float value) { return 2u * __float_as_int(value); }

constexpr float LEAST_WHOLE = 0x1p-3f;  // the least scaled value that is split nearly without loss

// The largest rank of some values, and the least one of those that are not zero, less one. Hopper has instructions for
// three integers, so that both together take no longer than the maximum of floats alone.
struct Ranks {
  unsigned largest = 0, least = ~0u;
  template <int COUNT>
  __device__ explicit Ranks(const float (&values)[COUNT]) {
#pragma unroll
    for (int i = 0; i < COUNT; i += 2) {
      const unsigned first = rank(values[i]), second = rank(values[i + 1]);
      largest = __vimax3_u32(largest, first, second);
      least = __vimin3_u32(least, first - 1u, second - 1u);
    }
  }
  __device__ float magnitude() const { return __int_as_float(largest >> 1); }
  // Whether a value that is not zero loses more than two of its 24 bits when it is scaled and split: FP16 ends at 2^-24,
  // and so do the parts of a scaled value. `scale` is a power of two.
  __device__ bool lose_bits(float scale) const {
    const float unscaled = __int_as_float((251 << 23) - __float_as_int(scale));  // LEAST_WHOLE / scale
    return least < rank(unscaled) - 1u;
  }
};

// Each value that loses bits is off by up to 2^-25 after scaling, and so is its product by up to 2^-10 times the factor
// that undoes the K block's scale. Together that must not exceed (K + 8) u |result|, which is at most (K + 8) u times the
// products' magnitudes; u = 2^-24.
struct AccuracyLimit {
  float per_factor;
  __device__ explicit AccuracyLimit(const Problem& p)
      : per_factor(0x1p14f * min(p.reduction(), K_BLOCK) / (p.reduction() + 8)) {}
  // Of a result, for the sum of its factors, `lost` for that of those of K blocks in which a value lost bits;
  // `filter_lost` says whether one of the filter did.
  __device__ float of(float factors, float lost, bool filter_lost) const {
    return per_factor * (lost + (filter_lost ? factors : 0.0f));
  }
};

// The largest of a warp's values, none of which is negative.
__device__ inline float max_of_warp(float value) {
  return __int_as_float(__reduce_max_sync(0xffffffffu, static_cast<unsigned>(__float_as_int(value))));
}

// Of a thread's two rows of results: what undoes the filter's scale, a power of two; the bias; and whether the split of
// their filters lost bits. `end` is the first channel that is not computed.
struct RowFactors {
  float first, second, first_bias, second_bias;
  bool first_lost, second_lost;
  __device__ RowFactors(const float* factors, const Epilogue& epilogue, int channel, int end) {
    const float of_first = channel < end ? factors[channel] : 0.0f;
    const float of_second = channel + 8 < end ? factors[channel + 8] : 0.0f;
    first = fabsf(of_first), second = fabsf(of_second), first_lost = of_first < 0.0f, second_lost = of_second < 0.0f;
    first_bias = channel < end ? epilogue.bias_of(channel) : 0.0f;
    second_bias = channel + 8 < end ? epilogue.bias_of(channel + 8) : 0.0f;
  }
};

// Of a column of results: the sum of its K blocks' factors, and of those in which a value lost bits.
struct ColumnFactors {
  float all, lost;
  __device__ void add(float factor) { all += fabsf(factor), lost += fmaxf(-factor, 0.0f); }
};

// Makes NaN of those of a thread's results in two columns that may not be as accurate as FP32, so that the guard computes
// them again.
__device__ inline void check_accuracy(float (&results)[4], const AccuracyLimit& limit, ColumnFactors first,
                                      ColumnFactors second, const RowFactors& rows) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const ColumnFactors& column = i % 2 ? second : first;
    const bool is_small = fabsf(results[i]) < limit.of(column.all, column.lost, i < 2 ? rows.first_lost : rows.second_lost);
    if (is_small) results[i] = __int_as_float(0x7fffffff);
  }
}
// Whether there may be such a result, which is seldom so; `most` is the most that columns have. Costs a third of the check.
template <int COUNT>
__device__ bool may_be_inaccurate(const float (&results)[COUNT][4], const AccuracyLimit& limit, ColumnFactors most,
                                  const RowFactors& rows) {
  float least[2] = {fabsf(results[0][0]), fabsf(results[0][2])};
#pragma unroll
  for (int j = 0; j < COUNT; ++j) {
#pragma unroll
    for (int i = 0; i < 4; ++i) least[i / 2] = fminf(least[i / 2], fabsf(results[j][i]));
  }
  return least[0] < limit.of(most.all, most.lost, rows.first_lost) ||
         least[1] < limit.of(most.all, most.lost, rows.second_lost);
}

// Which of a block's tiles the guard has to look at again, once all are computed: a bit for each, or for several where
// there are more than 32. Within the loop over tiles its registers would be missing.
class Suspects {
 public:
  __device__ void add(int tile, bool is_suspect) { bits_ |= (is_suspect ? 1u : 0u) << bit(tile); }
  __device__ bool has(int tile) const { return bits_ >> bit(tile) & 1; }

 private:
  __device__ static int bit(int tile) { return tile / static_cast<int>(gridDim.x) % 32; }
  unsigned bits_ = 0;
};

// One output in strict FP32, by a warp whose lanes get the same arguments and the same sum: over values [first, last) of
// the reduction.
__device__ inline float strict_sum(const Problem& p, const float* x, const float* f, const Pixel& at, int channel,
                                   int first, int last) {
  const int group = channel / p.group_out_channels, plane = p.height * p.width;
  const float* const source =
      x + (static_cast<long long>(at.image) * p.in_channels + group * p.group_channels) * plane;
  const float* const weights = f + static_cast<long long>(channel) * p.reduction();
  float sum = 0.0f;
#pragma unroll 4
  for (int k = first + static_cast<int>(threadIdx.x % 32); k < last; k += 32) {
    const int c = k / p.window(), u = (k - c * p.window()) / p.kernel_w, v = k - c * p.window() - u * p.kernel_w;
    const int row = at.first_row(p) + u * p.dilation_h, column = at.first_column(p) + v * p.dilation_w;
    const bool inside = is_inside(row, p.height) && is_inside(column, p.width);
    sum = fmaf(inside ? __ldg(source + static_cast<long long>(c) * plane + row * p.width + column) : 0.0f, weights[k], sum);
  }
  for (int lanes = 16; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
  return sum;
}
// The same for each lane of a warp that wants it, with arguments of its own.
__device__ inline float strict_sums(const Problem& p, const float* x, const float* f, bool wanted, const Pixel& at,
                                    int channel, int first, int last) {
  float own = 0.0f;
#pragma unroll 1
  for (unsigned left = __ballot_sync(0xffffffffu, wanted); left != 0; left &= left - 1) {
    const int lane = __ffs(left) - 1;
    const Pixel of_lane(__shfl_sync(0xffffffffu, at.image, lane), __shfl_sync(0xffffffffu, at.row, lane),
                        __shfl_sync(0xffffffffu, at.column, lane));
    const int channel_of_lane = __shfl_sync(0xffffffffu, channel, lane);
    const float sum = strict_sum(p, x, f, of_lane, channel_of_lane, first, last);
    if (threadIdx.x % 32 == lane) own = sum;
  }
  return own;
}

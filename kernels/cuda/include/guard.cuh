// The guard of the tensor-core kernels: which results may not be as accurate as FP32, and how they are computed again.
#pragma once
#include "convolution.cuh"
#include "half.cuh"

// Orders magnitudes, with zero as the largest.
__device__ inline unsigned rank_of_nonzero(float value) { return 2u * __float_as_int(value) - 1u; }
template <int COUNT>
__device__ inline unsigned least_nonzero(const float (&values)[COUNT]) {
  unsigned least = rank_of_nonzero(values[0]);
#pragma unroll
  for (int i = 1; i < COUNT; ++i) least = min(least, rank_of_nonzero(values[i]));
  return least;
}
// Whether a value of this rank, or one above it, loses low bits when it is scaled and split: FP16 ends at 2^-24, and so
// do the parts of a scaled value, which has 24 bits. `scale` is a power of two.
__device__ inline bool loses_bits(unsigned least_rank, float scale) {
  const float half_unscaled = __int_as_float((253 << 23) - __float_as_int(scale));  // 0.5 / scale
  return least_rank < rank_of_nonzero(half_unscaled);
}

// Each value that loses bits is off by up to 2^-25 after scaling, and so is its product by up to 2^-10 times the factor
// that undoes the K block's scale. Together that must not exceed (K + 8) u |result|, which is at most (K + 8) u times the
// products' magnitudes; u = 2^-24.
struct AccuracyLimit {
  float per_factor;
  __device__ explicit AccuracyLimit(const Problem& p)
      : per_factor(0x1p14f * min(p.reduction(), K_BLOCK) / (p.reduction() + 8)) {}
  // The result, or NaN if it is too small for what was lost. `factors` is the sum of its factors, `lost` that of those of
  // K blocks in which a value lost bits; `filter_lost` says whether one of the filter did.
  __device__ float check(float result, float factors, float lost, bool filter_lost) const {
    const float limit = per_factor * (lost + (filter_lost ? factors : 0.0f));
    return fabsf(result) < limit ? __int_as_float(0x7fffffff) : result;
  }
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
#pragma unroll 1
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

// What runs before and after the tensor-core convolution: the filter's split into FP16, and the sum of partial results.
#include "include/overlap.cuh"
#include "include/tensor_core.cuh"

// Splits F[co][k] into tiles of FILTER_ROWS output channels x K_BLOCK, one contiguous piece each, as shared memory
// wants them (see ROW_BYTES): tiles[K block][co / FILTER_ROWS]. K block b takes every `taps`-th value, from b % taps on:
// with one tap K_BLOCK neighbours, with kernel_w the same column of K_BLOCK filter rows. What is beyond F is zero.
//
// Each channel has one power of two as its scale, which brings its largest magnitude into [2^14, 2^15); factors[co]
// undoes that and the division by 2^15 of KBlockScale. It is NaN if the channel holds an Inf or NaN, or a value too
// large for it; and negative if a value loses bits when it is split (see Ranks). Grid: one block for each row of the split filter, those of the groups' padding included.
template <int PARTS>
__global__ void split_filter(const float* __restrict__ f, unsigned char* __restrict__ tiles,
                             float* __restrict__ factors, int k_blocks, int taps, PROBLEM_PARAMETERS) {
  __shared__ float warp_largest[32], warp_least[32];
  launch_dependents();
  const Problem p = PROBLEM_ARGUMENTS;
  const int group = p.groups == 1 ? 0 : blockIdx.x / filter_rows_per_group(p);
  const int in_group = blockIdx.x - group * filter_rows_per_group(p);
  const int channels = p.group_out_channels, channel = group * channels + in_group;
  const int reduction = in_group < channels ? p.reduction() : 0;
  const float* weights = f + static_cast<long long>(channel) * p.reduction();

  constexpr float NONE = 0x1p127f;
  float largest = 0.0f, least = NONE;  // of all magnitudes, and of those that are not zero
#pragma unroll 8
  for (int k = threadIdx.x; k < reduction; k += blockDim.x) {
    const float weight = weights[k];
    largest = max_magnitude(largest, weight);
    if (weight != 0.0f) least = fminf(least, fabsf(weight));
  }
  for (int lanes = 16; lanes > 0; lanes /= 2) {
    largest = max_magnitude(largest, __shfl_xor_sync(0xffffffffu, largest, lanes));
    least = fminf(least, __shfl_xor_sync(0xffffffffu, least, lanes));
  }
  if (threadIdx.x % 32 == 0) warp_largest[threadIdx.x / 32] = largest, warp_least[threadIdx.x / 32] = least;
  __syncthreads();
  for (int warp = 0; warp < blockDim.x / 32; ++warp) {
    largest = max_magnitude(largest, warp_largest[warp]), least = fminf(least, warp_least[warp]);
  }

  // 2^126 is the largest for which the factor is finite. A NaN fails the comparison.
  const bool in_range = largest < 0x1p127f;
  const int exponent = in_range && largest > 0.0f ? ilogbf(largest) : 0;
  // In two steps: the scale of a denormal channel is no float itself.
  const int boost = exponent < -90 ? 64 : 0;
  const float first_scale = boost > 0 ? 0x1p64f : 1.0f, second_scale = scalbnf(1.0f, 14 - exponent - boost);
  if (threadIdx.x == 0 && in_group < channels) {
    const bool loses = least * first_scale * second_scale < LEAST_WHOLE;
    const float factor = in_range ? scalbnf(1.0f, exponent + 1) : __int_as_float(0x7fffffff);
    factors[channel] = loses ? -factor : factor;
  }

  for (int i = threadIdx.x; i < k_blocks * CHUNKS; i += blockDim.x) {
    const int k_block = i / CHUNKS, chunk = i % CHUNKS;
    float values[CHUNK];
#pragma unroll
    for (int j = 0; j < CHUNK; ++j) {
      const int k = (k_block / taps * K_BLOCK + chunk * CHUNK + j) * taps + k_block % taps;
      values[j] = k < reduction && in_range ? weights[k] * first_scale * second_scale : 0.0f;
    }
    const SplitChunk<PARTS> split(values, 1.0f);
    unsigned char* target = tiles + filter_tile_offset<FILTER_ROWS, PARTS>(p, blockIdx.x, k_block);
    const int row = blockIdx.x % FILTER_ROWS;
#pragma unroll
    for (int part = 0; part < SplitChunk<PARTS>::STORED; ++part) {
      const int offset = part / 2 * FILTER_TILE_BYTES + chunk_offset(row, part % 2 * CHUNKS + chunk);
      *reinterpret_cast<uint4*>(target + offset) = split.parts[part];
    }
  }
}

// y[i] = partials[0][i] + partials[1][i] + ..., always in this order, so that results are the same in every run; and what
// then becomes of it. A single part may be Y itself, of which nothing is left to do but the epilogue. Grid: any size.
__global__ void sum_partials(const float* partials, float* y, const float* __restrict__ bias,
                             const float* __restrict__ residual, int relu, int splits, PROBLEM_PARAMETERS) {
  const Problem p = PROBLEM_ARGUMENTS;
  const Epilogue epilogue = {bias, residual, relu};
  const bool as_is = epilogue.is_identity();
  const auto channel_of = [&](long long i) {
    return bias == nullptr ? 0 : static_cast<int>(i / p.pixels_per_image() % p.out_channels);
  };
  // Whether four neighbours are of one channel: the divisions take longer than the memory.
  const bool together = p.pixels_per_image() % 4 == 0;
  const long long values = static_cast<long long>(p.pixels()) * p.out_channels;
  const long long step = static_cast<long long>(gridDim.x) * blockDim.x;
  const long long first = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (values % 4 == 0) {
    for (long long i = first; i < values / 4; i += step) {
      float4 sum = reinterpret_cast<const float4*>(partials)[i];
      for (int split = 1; split < splits; ++split) {
        const float4 part = reinterpret_cast<const float4*>(partials + split * values)[i];
        sum.x += part.x, sum.y += part.y, sum.z += part.z, sum.w += part.w;
      }
      if (!as_is) {
        const int channel = channel_of(4 * i);
        sum.x = epilogue(sum.x, channel, 4 * i);
        sum.y = epilogue(sum.y, together ? channel : channel_of(4 * i + 1), 4 * i + 1);
        sum.z = epilogue(sum.z, together ? channel : channel_of(4 * i + 2), 4 * i + 2);
        sum.w = epilogue(sum.w, together ? channel : channel_of(4 * i + 3), 4 * i + 3);
      }
      reinterpret_cast<float4*>(y)[i] = sum;
    }
  } else {
    for (long long i = first; i < values; i += step) {
      float sum = partials[i];
      for (int split = 1; split < splits; ++split) sum += partials[split * values + i];
      y[i] = as_is ? sum : epilogue(sum, channel_of(i), i);
    }
  }
}

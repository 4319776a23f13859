// Grouped convolution: the channels of a group are too few to fill the tile of a matrix product, so each block computes
// outputs of one group from planes of X in shared memory. Neighbouring windows share their values there, and down the
// columns in registers.
#include "include/planes.cuh"

// Reads COUNT floats of shared memory, 16 bytes at a time if they are whole vectors.
template <int COUNT>
__device__ inline void read_weights(float (&values)[COUNT], const float* from) {
  if constexpr (COUNT % VECTOR == 0) {
#pragma unroll
    for (int i = 0; i < COUNT; i += VECTOR) {
      const float4 four = *reinterpret_cast<const float4*>(from + i);
      values[i] = four.x, values[i + 1] = four.y, values[i + 2] = four.z, values[i + 3] = four.w;
    }
  } else {
#pragma unroll
    for (int i = 0; i < COUNT; ++i) values[i] = from[i];
  }
}

// Adds one channel of X to a thread's outputs. `source` is its first window's first value, `weights` that of its first output
// channel; those of the next tap lie `filter_row` further.
template <int KERNEL, int STRIDE, int CHANNELS, int ROWS>
__device__ inline void add_channel(float (&sums)[CHANNELS][ROWS], const Problem& p, const float* source, int pitch,
                                   const float* weights, int filter_row) {
  if constexpr (KERNEL == 0) {
    // Sizes of run time.
    for (int u = 0; u < p.kernel_h; ++u) {
      for (int v = 0; v < p.kernel_w; ++v, weights += filter_row) {
        float of_tap[CHANNELS];
        read_weights(of_tap, weights);
        const float* value = source + u * p.dilation_h * pitch + v * p.dilation_w;
#pragma unroll
        for (int row = 0; row < ROWS; ++row, value += p.stride_h * pitch) {
#pragma unroll
          for (int m = 0; m < CHANNELS; ++m) sums[m][row] = fmaf(*value, of_tap[m], sums[m][row]);
        }
      }
    }
  } else {
#pragma unroll
    for (int v = 0; v < KERNEL; ++v) {
      float of_column[KERNEL][CHANNELS];
#pragma unroll
      for (int u = 0; u < KERNEL; ++u) read_weights(of_column[u], weights + (u * KERNEL + v) * filter_row);
#pragma unroll
      for (int i = 0; i < (ROWS - 1) * STRIDE + KERNEL; ++i) {
        const float value = source[i * pitch + v];
#pragma unroll
        for (int row = 0; row < ROWS; ++row) {
          const int u = i - row * STRIDE;
          if (u < 0 || u >= KERNEL) continue;
#pragma unroll
          for (int m = 0; m < CHANNELS; ++m) sums[m][row] = fmaf(value, of_column[u][m], sums[m][row]);
        }
      }
    }
  }
}

// A block computes output channels of one group for one tile of output rows and columns of `images` images. A thread computes
// CHANNELS of them for ROWS outputs of a column, one below the other; neighbouring threads take neighbouring columns, so that
// what they read of shared memory and write to Y is contiguous. The threads of a warp have the same output channels, whose
// weights they read at one address.
//
// A step is `step_channels` channels of the group. While a step is computed, the next one is copied to the other stage;
// a stage holds the step's weights, [channel][tap][output channel], and its planes of X.
//
// Grid: x covers the blocks of output channels, sections of columns, bands of rows, groups, and images, in this order.
template <int KERNEL, int STRIDE, int CHANNELS, int ROWS>
__global__ __launch_bounds__(GROUPED_THREADS) void im2win_grouped(
    const float* __restrict__ x, const float* __restrict__ f, float* __restrict__ y, int images, int strips, int bands,
    int sections, int channel_blocks, int block_channels, int pixel_threads, int filter_row, int stage_floats,
    int step_channels, unsigned step_multiplier, unsigned step_shift, PLANES_PARAMETERS, PROBLEM_PARAMETERS) {
  extern __shared__ unsigned char dynamic[];
  const Problem p = PROBLEM_ARGUMENTS;
  const PlaneTile tile = PLANES_ARGUMENTS;
  const FastDivision by_step{step_channels, step_multiplier, step_shift};
  float* const stages = reinterpret_cast<float*>(dynamic);
  const int taps = p.window();
  const int filter_floats = (step_channels * taps * filter_row + VECTOR - 1) / VECTOR * VECTOR;

  int block = blockIdx.x;
  const int first_channel = block % channel_blocks * block_channels;  // of the group's output channels
  block /= channel_blocks;
  const int section = block % sections;
  block /= sections;
  const int band = block % bands;
  block /= bands;
  const int group = block % p.groups, first_image = block / p.groups * images;
  const int here = min(images, p.batch - first_image), channels = p.group_out_channels;
  const TileCorner corner(p, band * tile.rows, section * tile.columns);

  const auto start = [&](int step) {
    float* const stage = stages + step % 2 * stage_floats;
    const int first = step * step_channels, count = min(step_channels, p.group_channels - first);
    load_planes(p, x, shared_address(stage + filter_floats), tile, corner, [=](int plane) -> long long {
      const int image = by_step.quotient(plane), channel = plane - image * step_channels;
      if (image >= here || channel >= count) return -1;
      return static_cast<long long>(first_image + image) * p.in_channels + group * p.group_channels + first + channel;
    });
    // Each warp takes output channels of its own.
    for (int m = threadIdx.x / 32; m < block_channels; m += blockDim.x / 32) {
      const long long channel = group * channels + first_channel + m;
      const float* const from = f + (channel * p.group_channels + first) * taps;
      for (int i = threadIdx.x % 32; i < count * taps; i += 32) {
        float* const to = stage + i * filter_row + m;
        if (first_channel + m < channels) {
          copy_async<sizeof(float)>(shared_address(to), from + i);
        } else {
          *to = 0.0f;
        }
      }
    }
    end_copies();
  };

  const int pixel = threadIdx.x % pixel_threads, mine = threadIdx.x / pixel_threads * CHANNELS;
  const int column = pixel % tile.columns, strip = pixel / tile.columns % strips, image = pixel / (tile.columns * strips);
  const bool active = image < here;
  const int origin = image * step_channels * tile.plane() + strip * (ROWS * p.stride_h) * tile.pitch() + corner.early +
                     column * p.stride_w;
  const int steps = (p.group_channels + step_channels - 1) / step_channels;
  float sums[CHANNELS][ROWS] = {};
  start(0);
  for (int step = 0; step < steps; ++step) {
    if (step + 1 < steps) {
      start(step + 1);
      wait_for_copies<1>();
    } else {
      wait_for_copies<0>();
    }
    __syncthreads();
    if (active) {
      const float* const stage = stages + step % 2 * stage_floats;
      const float* weights = stage + mine;
      const float* source = stage + filter_floats + origin;
      for (int left = min(step_channels, p.group_channels - step * step_channels); left > 0; --left) {
        add_channel<KERNEL, STRIDE>(sums, p, source, tile.pitch(), weights, filter_row);
        source += tile.plane(), weights += taps * filter_row;
      }
    }
    __syncthreads();
  }

  const int first_row = band * tile.rows + strip * ROWS, at_column = section * tile.columns + column;
  if (!active || at_column >= p.out_width) return;
#pragma unroll
  for (int m = 0; m < CHANNELS; ++m) {
    const int channel = first_channel + mine + m;
    if (channel >= channels) break;
    float* const plane = y + (static_cast<long long>(first_image + image) * p.out_channels + group * channels + channel) *
                                 p.pixels_per_image() + at_column;
#pragma unroll
    for (int row = 0; row < ROWS; ++row) {
      if (first_row + row < p.out_height) plane[(first_row + row) * p.out_width] = sums[m][row];
    }
  }
}

// Depthwise convolution: each channel by itself, so that every value of X is worth KERNEL^2 multiply-adds and no more, and
// what counts is how fast X and Y pass through. Neighbouring windows share their values in registers, down and across.
#include "include/runs.cuh"

// What a block computes at a time: `here` planes of Y from plane `first` on, or a band of the rows of one. Both are one run of
// Y, and what they need of X is one run too: planes from `input` on, or rows of one.
struct Share {
  int first, here, output_row, rows;    // of Y
  int input, inputs, row, needed_rows;  // of X

  __device__ Share(const Problem& p, int number, int planes, int band_rows, const FastDivision& by_bands,
                   const FastDivision& by_multiplier) {
    const int run = by_bands.quotient(number);
    first = run * planes;
    here = min(planes, p.batch * p.out_channels - first);
    output_row = (number - run * by_bands.divisor) * band_rows;
    rows = min(band_rows, p.out_height - output_row);
    input = by_multiplier.quotient(first);
    inputs = by_multiplier.quotient(first + here - 1) - input + 1;
    row = 0, needed_rows = p.height;
    if (by_bands.divisor > 1) {
      const int begin = output_row * p.stride_h - p.pad_top;
      row = max(0, begin);
      needed_rows = max(0, min(p.height, begin + (rows - 1) * p.stride_h + p.kernel_h) - row);
    }
  }
  __device__ const float* source(const Problem& p, const float* x) const {
    return x + static_cast<long long>(input) * (p.height * p.width) + row * p.width;
  }
  __device__ float* target(const Problem& p, float* y) const {
    return y + static_cast<long long>(first) * p.pixels_per_image() + output_row * p.out_width;
  }
};

// Starts copies of the filters of `count` planes of Y, the first of which lies WIDTH-aligned as `channel` * WINDOW does.
template <int WINDOW, int WIDTH>
__device__ void load_filters(SharedAddress to, const float* __restrict__ f, int channel, int channels, int count) {
  const int start = channel * WINDOW, all = channels * WINDOW;
  for (int i = static_cast<int>(threadIdx.x) * WIDTH - start % WIDTH; i < count * WINDOW; i += blockDim.x * WIDTH) {
    int from = start + i;
    while (from >= all) from -= all;
    copy_async<WIDTH * sizeof(float)>(to + i * sizeof(float), f + from);
  }
}

// Shared memory begins with zeros where tiles are WHOLE. A place in it, in bytes, of which only the last bits are kept is that
// of a zero in the same bank: what a thread reads in the padding meets no bank conflict that X itself would not.
constexpr int SPREAD = 32;
// The bits to keep: all, or those.
__device__ inline int keep_inside(int index, int size) {
  return is_inside(index, size) ? -1 : SPREAD * static_cast<int>(sizeof(float)) - 1;
}

// A thread computes ROWS x COLUMNS outputs: it reads each row of X that they need once, and keeps the filter in registers.
// Neighbouring threads lie COLUMNS apart: an odd number, so that at stride 1 their reads
// meet few bank conflicts. The outputs take the place of X in shared memory, and are stored from there.
//
// What lies in the padding is not read, for which each value has a predicate. If WHOLE, every tile is whole and nothing or half
// a filter lies beyond each end of X: the rows and columns that can be padding are known then, and are so for a tile all or
// none. They are read in zeros, with three places for each row and not a predicate for each value.
//
// Where a thread holds few values, one more block fits on a multiprocessor.
//
// A block takes every gridDim.x-th share. If it has more than one, there are two stages: while it computes from one, the next
// share is copied to the other. A stage is `filter_floats` for the filters, then X, whose rows lie `pitch_bytes` apart and
// whose planes `more_plane` floats further than that makes. `strips` x `across` threads share a plane.
template <int KERNEL, int STRIDE, int ROWS, int COLUMNS, bool WHOLE>
__global__ __launch_bounds__(DEPTHWISE_THREADS, DEPTHWISE_BLOCKS + (ROWS * COLUMNS + KERNEL * KERNEL < 50)) void
im2win_depthwise(
    const float* __restrict__ x, const float* __restrict__ f, float* __restrict__ y, int shares, int planes, int band_rows,
    int strips, int across, int filter_floats, int stage_floats, int pitch_bytes, int more_plane, int bands,
    unsigned bands_multiplier, unsigned bands_shift, int multiplier, unsigned multiplier_multiplier,
    unsigned multiplier_shift, unsigned input_width_multiplier, unsigned input_width_shift, unsigned height_multiplier,
    unsigned height_shift, unsigned channels_multiplier, unsigned channels_shift, PROBLEM_PARAMETERS) {
  constexpr int WINDOW = KERNEL * KERNEL, EDGE = KERNEL / 2;
  // Rows of X that a thread's outputs need, and values of each.
  constexpr int NEEDED = (ROWS - 1) * STRIDE + KERNEL, VALUES = (COLUMNS - 1) * STRIDE + KERNEL;
  constexpr int ZEROS = WHOLE ? DEPTHWISE_ZEROS : 0;
  static_assert(!WHOLE || (STRIDE == 1 && SPREAD + VALUES - 1 <= DEPTHWISE_ZEROS), "a row of zeros, from any bank on");
  extern __shared__ unsigned char dynamic[];
  const Problem p = PROBLEM_ARGUMENTS;
  const FastDivision by_bands{bands, bands_multiplier, bands_shift};
  const FastDivision by_multiplier{multiplier, multiplier_multiplier, multiplier_shift};
  const FastDivision by_channels{out_channels, channels_multiplier, channels_shift};
  const FastDivision by_input_width{width, input_width_multiplier, input_width_shift};
  const FastDivision by_height{height, height_multiplier, height_shift};
  float* const memory = reinterpret_cast<float*>(dynamic);
  float* const stages = memory + ZEROS;
  const int pitch = pitch_bytes / static_cast<int>(sizeof(float)), more_row = pitch - width;
  const bool apart = more_row + more_plane > 0;
  const bool whole_filters = out_channels * WINDOW % VECTOR == 0 && floats_behind_boundary(f) == 0;
  const auto channel_of = [&](const Share& share) {
    return share.first - by_channels.quotient(share.first) * by_channels.divisor;
  };

  // If WHOLE, threads still have the filters of the share before: registers suffice, which in other kernels they do not.
  const auto start = [&](int number, float* stage, int channel_before) {
    const Share share(p, number, planes, band_rows, by_bands, by_multiplier);
    const float* const from = share.source(p, x);
    const int floats = share.inputs * share.needed_rows * p.width, behind = floats_behind_boundary(from);
    const SharedAddress cells = shared_address(stage + filter_floats);
    if (!apart) {
      load_run(cells + behind * sizeof(float), from, floats);
    } else if (behind == 0) {
      load_rows<VECTOR>(cells, from, floats, by_input_width, by_height, more_row, more_plane);
    } else {
      load_rows<1>(cells, from, floats, by_input_width, by_height, more_row, more_plane);
    }
    const int channel = channel_of(share);
    if (WHOLE && channel == channel_before) return;
    const SharedAddress filters = shared_address(stage + channel * WINDOW % VECTOR);
    if (whole_filters) {
      load_filters<WINDOW, VECTOR>(filters, f, channel, p.out_channels, share.here);
    } else {
      load_filters<WINDOW, 1>(filters, f, channel, p.out_channels, share.here);
    }
  };

  const int group = threadIdx.x % across, strip = threadIdx.x / across % strips, plane = threadIdx.x / (across * strips);
  const int left = group * (COLUMNS * STRIDE) - p.pad_left;
  const int keep_first = keep_inside(left, p.width), keep_last = keep_inside(left + VALUES - 1, p.width);
  // Bit j: whether the thread's column j of X is inside.
  unsigned columns_inside = 0;
#pragma unroll
  for (int j = 0; j < VALUES; ++j) columns_inside |= static_cast<unsigned>(is_inside(left + j, p.width)) << j;
  float filter[WINDOW];

  for (int i = threadIdx.x; i < ZEROS; i += blockDim.x) memory[i] = 0.0f;
  start(blockIdx.x, stages, -1);
  end_copies();
  for (int number = blockIdx.x, turn = 0, channel_before = -1; number < shares; number += gridDim.x, turn ^= 1) {
    float* const stage = stages + turn * stage_floats;
    const Share share(p, number, planes, band_rows, by_bands, by_multiplier);
    const int channel = channel_of(share);
    if (number + static_cast<int>(gridDim.x) < shares) start(number + gridDim.x, stages + (turn ^ 1) * stage_floats, channel);
    end_copies();
    // In a plane's last band a thread may have nothing to compute, and yet need the filter for the next share.
    const bool has_plane = plane < share.here, active = has_plane && (!WHOLE || strip * ROWS < share.rows);
    float* const cells = stage + filter_floats;
    float sums[ROWS][COLUMNS];
    if constexpr (!WHOLE) {
#pragma unroll
      for (int i = 0; i < ROWS * COLUMNS; ++i) sums[i / COLUMNS][i % COLUMNS] = 0.0f;
    }
    wait_for_copies<1>();
    __syncthreads();
    if (has_plane && (!WHOLE || channel != channel_before)) {
      const float* const weights = stage + channel * WINDOW % VECTOR + plane * WINDOW;
#pragma unroll
      for (int i = 0; i < WINDOW; ++i) filter[i] = weights[i];
    }
    channel_before = channel;
    if (active) {
      const int behind = apart ? 0 : floats_behind_boundary(share.source(p, x));
      const int top = (share.output_row + strip * ROWS) * STRIDE - p.pad_top - share.row;
      const int keep_above = keep_inside(top, share.needed_rows);
      const int keep_below = keep_inside(top + NEEDED - 1, share.needed_rows);
      const int input = by_multiplier.quotient(share.first + plane) - share.input;
      // Where the thread's first value of X lies in the stage, behind the filters, and its row in memory, in bytes.
      const int cell = behind + input * (p.height * pitch + more_plane) + top * pitch + left;
      const float* line = cells + cell;
      int place = (ZEROS + turn * stage_floats + filter_floats + cell) * static_cast<int>(sizeof(float));
#pragma unroll
      for (int i = 0; i < NEEDED; ++i) {
        float values[VALUES];
        if constexpr (WHOLE) {
          const int middle = place & (i < EDGE ? keep_above : i < NEEDED - EDGE ? -1 : keep_below);
          const int begin = middle & keep_first, end = middle & keep_last;
#pragma unroll
          for (int j = 0; j < VALUES; ++j) {
            const int from = j < EDGE ? begin : j < VALUES - EDGE ? middle : end;
            values[j] = reinterpret_cast<const float*>(dynamic + from)[j];
          }
          place += pitch_bytes;
        } else {
          const unsigned inside = is_inside(top + i, share.needed_rows) ? columns_inside : 0;
#pragma unroll
          for (int j = 0; j < VALUES; ++j) {
            values[j] = 0.0f;
            if (inside & 1u << j) values[j] = line[j];
          }
          line += pitch;
        }
#pragma unroll
        for (int row = 0; row < ROWS; ++row) {
          const int u = i - row * STRIDE;
          if (u < 0 || u >= KERNEL) continue;
#pragma unroll
          for (int v = 0; v < KERNEL; ++v) {
#pragma unroll
            for (int column = 0; column < COLUMNS; ++column) {
              // If WHOLE, the first product takes the place of a zero; other kernels would need more registers so.
              const float value = values[column * STRIDE + v], weight = filter[u * KERNEL + v];
              sums[row][column] = WHOLE && u + v == 0 ? value * weight : fmaf(value, weight, sums[row][column]);
            }
          }
        }
      }
    }
    __syncthreads();

    float* const target = share.target(p, y);
    float* const staged = cells + floats_behind_boundary(target);
    if (active) {
      float* to = staged + (plane * share.rows + strip * ROWS) * p.out_width + group * COLUMNS;
      const int rows_left = share.rows - strip * ROWS, columns_left = p.out_width - group * COLUMNS;
      if (WHOLE || (rows_left >= ROWS && columns_left >= COLUMNS)) {
#pragma unroll
        for (int row = 0; row < ROWS; ++row, to += p.out_width) {
#pragma unroll
          for (int column = 0; column < COLUMNS; ++column) to[column] = sums[row][column];
        }
      } else {
#pragma unroll
        for (int row = 0; row < ROWS; ++row, to += p.out_width) {
#pragma unroll
          for (int column = 0; column < COLUMNS; ++column) {
            if (row < rows_left && column < columns_left) to[column] = sums[row][column];
          }
        }
      }
    }
    __syncthreads();
    store_run(target, staged, share.here * share.rows * p.out_width);
    // The share after the next one takes this stage.
    __syncthreads();
  }
}

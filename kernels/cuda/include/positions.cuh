// Positions of the sliding tensor-core kernels: places of the window tensor along the width, in shared memory. See
// im2win_tensor_core_sliding.cu for lines, phases and the pitch.
#pragma once
#include "tensor_core.cuh"

// Where a position lies. Those behind the last line are in no line.
struct Place {
  int line, column, image;
  __device__ Place(const Problem& p, FastDivision by_pitch, int position)
      : line(by_pitch.quotient(position)), column(position - line * by_pitch.divisor), image(p.by_column.quotient(line)) {}
  __device__ bool is_output(const Problem& p) const { return image < p.batch && column < p.out_width; }
  // Without padding, dilation and groups: the first value in X of the window that starts there at a phase, in bytes; beyond
  // X's edges the last one's, which no output needs.
  __device__ unsigned find_window(const Problem& p, int phase) const {
    const int of = min(image, p.batch - 1), row = image < p.batch ? line - image * p.out_height : p.out_height - 1;
    return sizeof(float) * ((static_cast<unsigned>(of) * p.in_channels * p.height + row * p.stride_h) * p.width +
                            min(column * p.stride_w + phase, p.width - 1));
  }
  // The output there; behind the last line the last line's.
  __device__ Pixel pixel(const Problem& p) const {
    return image < p.batch ? Pixel(image, line - image * p.out_height, column)
                           : Pixel(p.batch - 1, p.out_height - 1, column);
  }
  // Index in Y of the output in the first channel.
  __device__ long long output_index(const Problem& p) const {
    return static_cast<long long>(image) * (p.out_channels - 1) * p.pixels_per_image() + line * p.out_width + column;
  }
};

// The columns of a consumer's results, for WarpOutput.
struct Positions {
  const Problem& p;
  FastDivision by_pitch;
  int first;
  __device__ bool is_output(int column) const { return Place(p, by_pitch, first + column).is_output(p); }
  __device__ long long output_index(int column) const { return Place(p, by_pitch, first + column).output_index(p); }
  __device__ Pixel pixel(int column) const { return Place(p, by_pitch, first + column).pixel(p); }
};

// What every kernel of this folder shares: the sizes of the problem and cheap division by them.
//
// Names follow kernels/problem.py. Tensors are FP32 and contiguous:
//   X  [batch][in_channels][height][width]                     input
//   F  [out_channels][group_channels][kernel_h][kernel_w]      filter, group_channels = in_channels / groups
//   Y  [batch][out_channels][out_height][out_width]            output
// A "pixel" is one (image, output row, output column); pixels number batch * out_height * out_width.
#pragma once

// Kernel arguments are plain 32-bit integers, in this order, so that the host needs no struct layout.
#define PROBLEM_PARAMETERS                                                                                        \
  int batch, int in_channels, int height, int width, int out_channels, int kernel_h, int kernel_w, int stride_h,   \
      int stride_w, int pad_top, int pad_left, int dilation_h, int dilation_w, int groups, int group_channels,      \
      int group_out_channels, int padded_width, int out_height, int out_width, unsigned image_multiplier,           \
      unsigned image_shift, unsigned row_multiplier, unsigned row_shift, unsigned column_multiplier,                \
      unsigned column_shift, unsigned width_multiplier, unsigned width_shift
#define PROBLEM_ARGUMENTS                                                                                           \
  {batch,    in_channels, height,     width,      out_channels, kernel_h,       kernel_w,           stride_h,       \
   stride_w, pad_top,     pad_left,   dilation_h, dilation_w,   groups,         group_channels,     group_out_channels, \
   padded_width, out_height, out_width,                                                                              \
   {out_height * out_width, image_multiplier, image_shift}, {out_width, row_multiplier, row_shift},                  \
   {out_height, column_multiplier, column_shift}, {padded_width, width_multiplier, width_shift}}

// n / divisor for 0 <= n < 2^31 with one multiply and one shift (Granlund and Montgomery, PLDI 1994): the
// divisor is known only at run time, and the hardware's own division costs some twenty instructions. The host
// computes the numbers (kernels/launch.py).
struct FastDivision {
  int divisor;
  unsigned multiplier, shift;
  __device__ int quotient(int n) const {
    return static_cast<int>((__umulhi(static_cast<unsigned>(n), multiplier) + static_cast<unsigned>(n)) >> shift);
  }
};

struct Problem {
  int batch, in_channels, height, width, out_channels, kernel_h, kernel_w, stride_h, stride_w;
  // Zeros above the input's first row and left of its first column.
  int pad_top, pad_left, dilation_h, dilation_w;
  // Groups, and the channels of X and of Y in each; the width with the zeros on both sides.
  int groups, group_channels, group_out_channels, padded_width, out_height, out_width;
  // By the pixels of an image, of an output row, of an output column, and by the padded input's width.
  FastDivision by_image, by_row, by_column, by_width;

  __device__ int pixels_per_image() const { return out_height * out_width; }
  __device__ int pixels() const { return batch * pixels_per_image(); }
  // Values of one dot-product window in one channel, contiguous in the window tensor unless columns are dilated.
  __device__ int window() const { return kernel_h * kernel_w; }
  // K of the equivalent matrix product of one group.
  __device__ int reduction() const { return group_channels * window(); }
  // Values of one row of the window tensor I[batch][in_channels][out_height][padded_width * kernel_h].
  __device__ int window_row() const { return padded_width * kernel_h; }
};

// Where a pixel lies.
struct Pixel {
  int image, row, column;
  __device__ Pixel(const Problem& p, int pixel) {
    image = p.by_image.quotient(pixel);
    const int within = pixel - image * p.by_image.divisor;
    row = p.by_row.quotient(within);
    column = within - row * p.out_width;
  }
  __device__ Pixel(int of_image, int of_row, int of_column) : image(of_image), row(of_row), column(of_column) {}
  // Where its window begins in X, before the first row or column if that is padding.
  __device__ int first_row(const Problem& p) const { return row * p.stride_h - p.pad_top; }
  __device__ int first_column(const Problem& p) const { return column * p.stride_w - p.pad_left; }
};

// Whether 0 <= index < size, with one comparison.
__device__ inline bool is_inside(int index, int size) { return static_cast<unsigned>(index) < static_cast<unsigned>(size); }

// Naive direct convolution, the paper's weakest baseline: one thread per output value, straight from X and F.
#include "include/convolution.cuh"

// Grid: x covers the pixels, y the output channels. Neighbouring threads take neighbouring output columns, so
// their reads of X and their writes of Y fall into the same lines; F is read at one address by the whole warp.
// GENERAL if windows may reach beyond X or have gaps between their values, or there are groups.
template <bool GENERAL>
__global__ void direct(const float* __restrict__ x, const float* __restrict__ f, float* __restrict__ y,
                       PROBLEM_PARAMETERS) {
  const Problem p = PROBLEM_ARGUMENTS;
  const int pixel = blockIdx.x * blockDim.x + threadIdx.x;
  const int channel = blockIdx.y, group = GENERAL ? channel / (p.out_channels / p.groups) : 0;
  if (pixel >= p.pixels()) return;
  const Pixel at(p, pixel);

  const int first_row = GENERAL ? at.first_row(p) : at.row * p.stride_h;
  const int first_column = GENERAL ? at.first_column(p) : at.column * p.stride_w;
  const long long image_values = static_cast<long long>(p.in_channels) * p.height * p.width;
  const float* source = x + at.image * image_values + first_row * p.width + first_column;
  if (GENERAL) source += static_cast<long long>(group) * p.group_channels * p.height * p.width;
  const float* weights = f + static_cast<long long>(channel) * p.reduction();
  float sum = 0.0f;
  for (int c = 0; c < p.group_channels; ++c) {
    for (int u = 0; u < p.kernel_h; ++u) {
      for (int v = 0; v < p.kernel_w; ++v) {
        const int row = GENERAL ? u * p.dilation_h : u, column = GENERAL ? v * p.dilation_w : v;
        const bool inside = !GENERAL || (is_inside(first_row + row, p.height) && is_inside(first_column + column, p.width));
        const float value = inside ? source[(c * p.height + row) * p.width + column] : 0.0f;
        sum = fmaf(value, *weights++, sum);
      }
    }
  }
  y[(static_cast<long long>(at.image) * p.out_channels + channel) * p.pixels_per_image() +
    pixel % p.pixels_per_image()] = sum;
}

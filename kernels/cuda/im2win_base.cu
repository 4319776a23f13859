// im2win without any optimization (the paper's base version): one thread per output value over the window tensor.
#include "include/convolution.cuh"

// Compared with direct.cu, a window's kernel_h * kernel_w values are one contiguous run. Padding is zeros in the window tensor.
// GENERAL if the filter's columns are dilated, so that each of them is a run of its own, or there are groups.
// Grid: x covers the pixels, y the output channels. `filter` is F'[k][padded_channels].
template <bool GENERAL>
__global__ void im2win_base(const float* __restrict__ window, const float* __restrict__ filter, float* __restrict__ y,
                            int padded_channels, PROBLEM_PARAMETERS) {
  const Problem p = PROBLEM_ARGUMENTS;
  const int pixel = blockIdx.x * blockDim.x + threadIdx.x;
  const int channel = blockIdx.y;
  if (pixel >= p.pixels()) return;
  const Pixel at(p, pixel);

  const int channel_values = p.out_height * p.window_row();
  const float* run = window + static_cast<long long>(at.image) * p.in_channels * channel_values +
                     at.row * p.window_row() + at.column * p.stride_w * p.kernel_h;
  if (GENERAL) run += static_cast<long long>(channel / (p.out_channels / p.groups)) * p.group_channels * channel_values;
  const float* weights = filter + channel;
  float sum = 0.0f;
  for (int c = 0; c < p.group_channels; ++c, run += channel_values) {
    if (GENERAL) {
      for (int v = 0; v < p.kernel_w; ++v) {
        const float* column = run + v * p.dilation_w * p.kernel_h;
        for (int u = 0; u < p.kernel_h; ++u, weights += padded_channels) sum = fmaf(column[u], *weights, sum);
      }
    } else {
      for (int i = 0; i < p.window(); ++i, weights += padded_channels) sum = fmaf(run[i], *weights, sum);
    }
  }
  y[(static_cast<long long>(at.image) * p.out_channels + channel) * p.pixels_per_image() +
    pixel % p.pixels_per_image()] = sum;
}

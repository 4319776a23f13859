// Naive direct convolution, the paper's weakest baseline: one thread per output value, straight from X and F.
#include "include/convolution.cuh"

// Grid: x covers the pixels, y the output channels. Neighbouring threads take neighbouring output columns, so
// their reads of X and their writes of Y fall into the same lines; F is read at one address by the whole warp.
__global__ void direct(const float* __restrict__ x, const float* __restrict__ f, float* __restrict__ y,
                       PROBLEM_PARAMETERS) {
  const Problem p = PROBLEM_ARGUMENTS;
  const int pixel = blockIdx.x * blockDim.x + threadIdx.x;
  const int channel = blockIdx.y;
  if (pixel >= p.pixels()) return;
  const Pixel at(p, pixel);

  const long long image_values = static_cast<long long>(p.in_channels) * p.height * p.width;
  const float* source = x + at.image * image_values + (at.row * p.stride_h) * p.width + at.column * p.stride_w;
  const float* weights = f + static_cast<long long>(channel) * p.reduction();
  float sum = 0.0f;
  for (int c = 0; c < p.in_channels; ++c) {
    for (int u = 0; u < p.kernel_h; ++u) {
      for (int v = 0; v < p.kernel_w; ++v) {
        sum = fmaf(source[(c * p.height + u) * p.width + v], *weights++, sum);
      }
    }
  }
  y[(static_cast<long long>(at.image) * p.out_channels + channel) * p.pixels_per_image() +
    pixel % p.pixels_per_image()] = sum;
}

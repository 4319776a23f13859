// The two reorderings that bring X and F into im2win's layout (paper, section 3.1).
#include "convolution.cuh"

// I[n][c][ho][w * Hf + u] = X[n][c][ho * s + u][w].
//
// Grid: x is the output row of one channel of one image, all batch * in_channels * out_height of them. The block
// walks along its row of I, so writes are contiguous; reads come from kernel_h rows of X at neighbouring columns.
__global__ void im2win_transform(const float* __restrict__ x, float* __restrict__ window, PROBLEM_PARAMETERS) {
  const Problem p = PROBLEM_ARGUMENTS;
  const int channel = blockIdx.x / p.out_height;  // of all images together
  const int row = blockIdx.x % p.out_height;
  const float* source =
      x + static_cast<long long>(channel) * p.height * p.width + static_cast<long long>(row) * p.stride * p.width;
  float* target = window + static_cast<long long>(blockIdx.x) * p.window_row();
  const FastDivision by_kernel_h(p.kernel_h);
  for (int i = threadIdx.x; i < p.window_row(); i += blockDim.x) {
    const int w = by_kernel_h.quotient(i);
    const int u = i - w * p.kernel_h;
    target[i] = source[u * p.width + w];
  }
}

// F'[c * Hf * Wf + v * Hf + u][co] = F[co][c][u][v], zero beyond K rows and Cout columns.
//
// K runs slowest, so that the filters of one k, which a tile reads together, are contiguous; rows and columns are
// padded to whole tiles, so that the convolution needs no bounds check on the filter.
// Grid: x is k, y covers padded_channels.
__global__ void filter_reorder(const float* __restrict__ f, float* __restrict__ reordered, int padded_channels,
                               PROBLEM_PARAMETERS) {
  const Problem p = PROBLEM_ARGUMENTS;
  const int channel = blockIdx.y * blockDim.x + threadIdx.x;
  const int k = blockIdx.x;
  if (channel >= padded_channels) return;
  float value = 0.0f;
  if (channel < p.out_channels && k < p.reduction()) {
    const int c = k / p.window();
    const int u = k % p.kernel_h;
    const int v = k % p.window() / p.kernel_h;
    value = f[((static_cast<long long>(channel) * p.in_channels + c) * p.kernel_h + u) * p.kernel_w + v];
  }
  reordered[static_cast<long long>(k) * padded_channels + channel] = value;
}

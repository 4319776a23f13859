// The two reorderings that bring X and F into im2win's layout (paper, section 3.1).
#include "convolution.cuh"

// I[n][c][ho][w * Hf + u] = X[n][c][ho * s + u][w].
//
// A block fills `rows_per_block` rows of I, of all batch * in_channels * out_height of them; the host chooses it so
// that short rows do not leave most of the block idle. Writes are contiguous; reads come from kernel_h rows of X at
// neighbouring columns. Grid: x covers the rows.
__global__ void im2win_transform(const float* __restrict__ x, float* __restrict__ window, int rows_per_block,
                                 PROBLEM_PARAMETERS) {
  const Problem p = PROBLEM_ARGUMENTS;
  const int first_row = static_cast<int>(blockIdx.x) * rows_per_block;
  const int rows = min(rows_per_block, p.batch * p.in_channels * p.out_height - first_row);
  const FastDivision by_row(p.window_row()), by_out_height(p.out_height), by_kernel_h(p.kernel_h);
  float* target = window + static_cast<long long>(first_row) * p.window_row();
#pragma unroll 4
  for (int i = threadIdx.x; i < rows * p.window_row(); i += blockDim.x) {
    const int row = by_row.quotient(i);
    const int w = by_kernel_h.quotient(i - row * p.window_row());
    const int u = i - row * p.window_row() - w * p.kernel_h;
    const int channel = by_out_height.quotient(first_row + row);  // of all images together
    const int out_row = first_row + row - channel * p.out_height;
    target[i] = x[(static_cast<long long>(channel) * p.height + out_row * p.stride + u) * p.width + w];
  }
}

// F'[c * Hf * Wf + v * Hf + u][co] = F[co][c][u][v], zero beyond K rows and Cout columns.
//
// K runs slowest, so that the filters of one k, which a tile reads together, are contiguous; rows and columns are
// padded to whole tiles, so that the convolution needs no bounds check on the filter. A block transposes a square of
// 32 x 32 values in shared memory, so that reads and writes are both contiguous.
// Grid: x covers padded_reduction, y padded_channels, in squares.
__global__ void filter_reorder(const float* __restrict__ f, float* __restrict__ reordered, int padded_channels,
                               int padded_reduction, PROBLEM_PARAMETERS) {
  constexpr int SIDE = 32;
  __shared__ float square[SIDE][SIDE + 1];  // one more column: reading down a column meets no bank conflict
  const Problem p = PROBLEM_ARGUMENTS;
  const int first_k = blockIdx.x * SIDE, first_channel = blockIdx.y * SIDE;
  const int lane = threadIdx.x % SIDE;
  for (int i = threadIdx.x / SIDE; i < SIDE; i += blockDim.x / SIDE) {
    const int channel = first_channel + i, k = first_k + lane;
    const bool inside = channel < p.out_channels && k < p.reduction();
    square[i][lane] = inside ? f[static_cast<long long>(channel) * p.reduction() + k] : 0.0f;
  }
  __syncthreads();
  for (int i = threadIdx.x / SIDE; i < SIDE; i += blockDim.x / SIDE) {
    const int channel = first_channel + lane, k = first_k + i;
    if (channel >= padded_channels || k >= padded_reduction) continue;
    const int v = k % p.kernel_w, u = k % p.window() / p.kernel_w;
    const int reordered_k = k < p.reduction() ? k - u * p.kernel_w - v + v * p.kernel_h + u : k;
    reordered[static_cast<long long>(reordered_k) * padded_channels + channel] = square[lane][i];
  }
}

// The two reorderings that bring X and F into im2win's layout (paper, section 3.1).
#include "convolution.cuh"

// I[n][c][ho][w * Hf + u] = X[n][c][ho * s + u][w].
//
// I is one contiguous run of values: rows follow each other, and Hf divides them. So a thread whose values are a
// multiple of Hf apart keeps to one u, and (row, w) advance by a constant number of columns.
// `threads` of the block are at work, a multiple of Hf. Writes are contiguous; reads come from Hf rows of X at
// neighbouring columns. Grid: x covers the values, threads * COLUMNS each.
constexpr int COLUMNS = 8;  // of each thread, all on their way at once
__global__ void im2win_transform(const float* __restrict__ x, float* __restrict__ window, int threads,
                                 PROBLEM_PARAMETERS) {
  if (threadIdx.x >= threads) return;
  const Problem p = PROBLEM_ARGUMENTS;
  const int u = threadIdx.x % p.kernel_h, columns = threads / p.kernel_h;  // columns that the block fills at once
  const int end = p.batch * p.in_channels * p.out_height * p.width;
  const int first = static_cast<int>(blockIdx.x) * columns * COLUMNS + threadIdx.x / p.kernel_h;
  float values[COLUMNS];
#pragma unroll
  for (int i = 0; i < COLUMNS; ++i) {
    const int column = min(first + i * columns, end - 1);
    const int row = p.by_width.quotient(column), w = column - row * p.width;
    const int channel = p.by_column.quotient(row);  // of all images together
    const int input_row = (row - channel * p.out_height) * p.stride + u;
    values[i] = x[(static_cast<long long>(channel) * p.height + input_row) * p.width + w];
  }
  float* target = window + static_cast<long long>(blockIdx.x) * threads * COLUMNS + threadIdx.x;
#pragma unroll
  for (int i = 0; i < COLUMNS; ++i) {
    if (first + i * columns < end) target[i * threads] = values[i];
  }
}

// F'[k][co] = F[co][c][u][v], zero beyond K rows and Cout columns: with k = c * Hf * Wf + v * Hf + u, the order of the
// window tensor, if `by_columns`, else with k = c * Hf * Wf + u * Wf + v, that of X.
//
// K runs slowest, so that the filters of one k, which a tile reads together, are contiguous; rows and columns are
// padded to whole tiles, so that the convolution needs no bounds check on the filter. A block transposes a square of
// 32 x 32 values in shared memory, so that reads and writes are both contiguous.
// Grid: x covers padded_reduction, y padded_channels, in squares.
__global__ void filter_reorder(const float* __restrict__ f, float* __restrict__ reordered, int by_columns,
                               int padded_channels, int padded_reduction, PROBLEM_PARAMETERS) {
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
    int reordered_k = k;
    if (by_columns && k < p.reduction()) {
      const int v = k % p.kernel_w, u = k % p.window() / p.kernel_w;
      reordered_k += v * p.kernel_h + u - (u * p.kernel_w + v);
    }
    reordered[static_cast<long long>(reordered_k) * padded_channels + channel] = square[lane][i];
  }
}

// The two reorderings that bring X and F into im2win's layout (paper, section 3.1).
#include "include/convolution.cuh"
#include "include/overlap.cuh"
#include "include/prefetch.cuh"
#include "include/shared_memory.cuh"

// Floats of a line of the L2, and for which block a block asks the L2 beside its own: 264 and 528 blocks ahead are equally
// fast on an H100; with 1056 too many bytes are in flight, and some lines are evicted before they are read.
constexpr int LINE = 32, AHEAD = 264;

// How many floats `pointer` lies behind a 16-byte boundary.
__device__ inline int misalignment(const float* pointer) {
  return reinterpret_cast<unsigned long long>(pointer) / sizeof(float) % VECTOR;
}

// The rows of X that an output row needs are those from `first_row` on, up to `end_row`. PADDED: without those that are
// padding.
template <bool PADDED>
__device__ inline int first_row(const Problem& p, int out_row) {
  const int row = out_row * p.stride_h;
  return PADDED ? min(max(row - p.pad_top, 0), p.height) : row;
}
template <bool PADDED>
__device__ inline int end_row(const Problem& p, int out_row) {
  const int reach = PADDED ? (p.kernel_h - 1) * p.dilation_h + 1 : p.kernel_h, row = out_row * p.stride_h + reach;
  return PADDED ? min(max(row - p.pad_top, 0), p.height) : row;
}

// A row of I: its channel, counted over all images, and its output row.
struct WindowRow {
  int channel, out_row;
  __device__ WindowRow(const Problem& p, int row)
      : channel(p.by_column.quotient(row)), out_row(row - channel * p.out_height) {}
};

// Where the values of a row of I begin in X.
template <bool PADDED>
__device__ inline long long begin_in_input(const Problem& p, WindowRow row) {
  return (static_cast<long long>(row.channel) * p.height + first_row<PADDED>(p, row.out_row)) * p.width;
}

// I[n][c][ho][w * Hf + u] = X[n][c][ho * s + u][w]. PADDED: with X's padding as zeros, or with dilated rows.
//
// A block writes `rows` neighbouring rows of I, of whatever channels and images: one run of values. What they need of X
// is one run too, since channels follow each other in both. It is copied to shared memory once, where the Hf / s output
// rows that read a value find it. Both runs go 16 bytes at a time, but for what lies beyond their ends. Meanwhile the L2
// fetches what a later block needs, which then waits less.
// `input` is shared memory for them: see kernels/families/im2win_transform.py.
template <bool PADDED>
__device__ void transform_rows(const Problem& p, FastDivision by_kernel, const float* __restrict__ x,
                               float* __restrict__ window, int first, int rows, float* input) {
  const int all = p.batch * p.in_channels * p.out_height, end = min(first + rows, all);
  const WindowRow first_of_block(p, first), last_of_block(p, end - 1);
  const int first_of_input = first_row<PADDED>(p, first_of_block.out_row);
  const int input_rows = (last_of_block.channel - first_of_block.channel) * p.height - first_of_input +
                         end_row<PADDED>(p, last_of_block.out_row);

  const long long begin = begin_in_input<PADDED>(p, first_of_block);
  const long long size = static_cast<long long>(p.batch) * p.in_channels * p.height * p.width;
  const int before = misalignment(x + begin), needed = input_rows * p.width + before;
  const SharedAddress to = shared_address(input);
  for (int i = threadIdx.x * VECTOR; i < needed; i += REORDER_THREADS * VECTOR) {
    const long long from = begin - before + i;
    if (from >= 0 && from + VECTOR <= size) {
      copy_async<VECTOR * sizeof(float)>(to + i * sizeof(float), x + from);
    } else {
      for (int j = 0; j < VECTOR; ++j) {
        if (from + j >= 0 && from + j < size) input[i + j] = x[from + j];
      }
    }
  }
  end_copies();
  const int later = first + AHEAD * rows;
  if (later < all) {
    const long long from = begin_in_input<PADDED>(p, WindowRow(p, later));
    for (int i = threadIdx.x * LINE; i < needed && from + i < size; i += REORDER_THREADS * LINE) prefetch(x + from + i);
  }
  wait_for_copies<0>();
  __syncthreads();

  // Where the window of a row of I begins in `input`, at the left padding of its first row; and which row of X that is.
  const float* from = nullptr;
  int input_row = 0;
  auto find = [&](int row) {
    const WindowRow at(p, row);
    input_row = at.out_row * p.stride_h - (PADDED ? p.pad_top : 0);
    const int rows_before = (at.channel - first_of_block.channel) * p.height + input_row - first_of_input;
    from = input + before + rows_before * p.width - (PADDED ? p.pad_left : 0);
  };
  auto value = [&](int u, int column) {
    if (!PADDED) return from[u * p.width + column];
    const int row = u * p.dilation_h;
    const bool inside = is_inside(input_row + row, p.height) && is_inside(column - p.pad_left, p.width);
    return inside ? from[row * p.width + column] : 0.0f;
  };
  const int values = (end - first) * p.window_row();
  float* const target = window + static_cast<long long>(first) * p.window_row();
  for (int i = threadIdx.x * VECTOR - misalignment(target); i < values; i += REORDER_THREADS * VECTOR) {
    const int column = by_kernel.quotient(max(i, 0));  // of the block's rows together
    int u = max(i, 0) - column * p.kernel_h, row = p.by_width.quotient(column), w = column - row * p.padded_width;
    find(first + row);
    float four[VECTOR];
#pragma unroll
    for (int j = 0; j < VECTOR; ++j) {
      four[j] = value(u, w);
      if (i + j < 0) continue;
      if (++u == p.kernel_h) {
        u = 0;
        if (++w == p.padded_width) {
          w = 0;
          if (i + j + 1 < values) find(first + ++row);
        }
      }
    }
    if (i >= 0 && i + VECTOR <= values) {
      *reinterpret_cast<float4*>(target + i) = make_float4(four[0], four[1], four[2], four[3]);
    } else {
#pragma unroll
      for (int j = 0; j < VECTOR; ++j) {
        if (i + j >= 0 && i + j < values) target[i + j] = four[j];
      }
    }
  }
}

// F'[k][co] = F[co][c][u][v], zero beyond K rows and Cout columns: with k = c * Hf * Wf + v * Hf + u, the order of the
// window tensor, if `by_columns`, else with k = c * Hf * Wf + u * Wf + v, that of X.
//
// K runs slowest, so that the filters of one k, which a tile reads together, are contiguous; rows and columns are
// padded to whole tiles, so that the convolution needs no bounds check on the filter. A block transposes square `number`
// of F' in shared memory, so that reads and writes are both contiguous.
__device__ void reorder_square(const Problem& p, const float* __restrict__ f, float* __restrict__ reordered, int by_columns,
                               int padded_channels, int padded_reduction, int number) {
  constexpr int LINES = REORDER_THREADS / REORDER_SIDE, PASSES = REORDER_SIDE / LINES;
  __shared__ float square[REORDER_SIDE][REORDER_SIDE + 1];  // one more column: reading down a column meets no bank conflict
  __shared__ int places[REORDER_SIDE];              // which row of F' each k of the square is
  const int squares_k = (padded_reduction + REORDER_SIDE - 1) / REORDER_SIDE;
  const int first_k = number % squares_k * REORDER_SIDE, first_channel = number / squares_k * REORDER_SIDE;
  const int lane = threadIdx.x % REORDER_SIDE, line = threadIdx.x / REORDER_SIDE;
  float values[PASSES];  // all loads in flight at once
#pragma unroll
  for (int i = 0; i < PASSES; ++i) {
    const int channel = first_channel + line + i * LINES, k = first_k + lane;
    const bool inside = channel < p.out_channels && k < p.reduction();
    values[i] = inside ? f[static_cast<long long>(channel) * p.reduction() + k] : 0.0f;
  }
  if (threadIdx.x < REORDER_SIDE) {
    const int k = first_k + threadIdx.x;
    places[threadIdx.x] = k;
    if (by_columns && k < p.reduction()) {
      const int v = k % p.kernel_w, u = k % p.window() / p.kernel_w;
      places[threadIdx.x] += v * p.kernel_h + u - (u * p.kernel_w + v);
    }
  }
#pragma unroll
  for (int i = 0; i < PASSES; ++i) square[line + i * LINES][lane] = values[i];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < PASSES; ++i) {
    const int channel = first_channel + lane, k = first_k + line + i * LINES;
    if (channel >= padded_channels || k >= padded_reduction) continue;
    reordered[static_cast<long long>(places[line + i * LINES]) * padded_channels + channel] = square[lane][line + i * LINES];
  }
}

// F alone, for kernels that read X itself. Grid: x covers the squares.
__global__ __launch_bounds__(REORDER_THREADS) void filter_reorder(const float* __restrict__ f, float* __restrict__ reordered,
                                                          int by_columns, int padded_channels, int padded_reduction,
                                                          PROBLEM_PARAMETERS) {
  launch_dependents();
  const Problem p = PROBLEM_ARGUMENTS;
  reorder_square(p, f, reordered, by_columns, padded_channels, padded_reduction, blockIdx.x);
}

// Both, side by side: F is small, and alone would keep the device waiting. Grid: x covers the `squares` of F, then the rows
// of I. PADDED as above.
template <bool PADDED>
__global__ __launch_bounds__(REORDER_THREADS) void im2win_transform(const float* __restrict__ x, float* __restrict__ window, int rows,
                                                            unsigned kernel_multiplier, unsigned kernel_shift, int squares,
                                                            const float* __restrict__ f, float* __restrict__ reordered,
                                                            int by_columns, int padded_channels, int padded_reduction,
                                                            PROBLEM_PARAMETERS) {
  extern __shared__ unsigned char dynamic[];
  launch_dependents();
  const Problem p = PROBLEM_ARGUMENTS;
  const int block = blockIdx.x;
  if (block < squares) {
    reorder_square(p, f, reordered, by_columns, padded_channels, padded_reduction, block);
  } else {
    transform_rows<PADDED>(p, {kernel_h, kernel_multiplier, kernel_shift}, x, window, (block - squares) * rows, rows,
                   reinterpret_cast<float*>(dynamic));
  }
}

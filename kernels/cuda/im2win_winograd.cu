// im2win_fused.cu with fewer multiplications, for filters of 3 x 3 at stride 1: Winograd's minimal filtering F(6, 3) down
// the columns (Winograd, Arithmetic Complexity of Computations, 1980; Lavin and Gray, CVPR 2016). A strip of six outputs,
// one above the other, takes eight products for each column of the filter and not 18. All of it is FP32.
//
// The outputs are a polynomial's coefficients, that of the strip's eight inputs times that of the column's three weights. The
// products are both polynomials' values at 0, 1, -1, 2, -2, 1/2, -1/2 and infinity. To come from products to outputs is
// linear: it is done once, after all channels and columns have been added up. So this is eight matrix products, M =
// out_channels, N = strips, K = in_channels * 3, each computed by a warp of its own. Weights and inputs are transformed
// between device memory and shared memory, outputs through shared memory at the end.
//
// The transforms multiply by integers and powers of two, and the sums are divided by 90 at last: integers come out exactly,
// as long as all that is in between fits the 24 bits of a float.
//
// `Strips` are the problem here, with a filter of one row: out_height is a sixth of Y's, rounded up; height and pad_top are
// X's, and `rows` are Y's.
#include "include/im2win_tile.cuh"

constexpr int COLUMNS = 3;  // of the filter

struct Strips : Problem {
  int rows;
};

__device__ inline void transform_weights(const float g[3], float u[STRIP_PRODUCTS]) {
  const float outer = g[0] + g[2], near = fmaf(4.0f, g[2], g[0]), far = fmaf(4.0f, g[0], g[2]), twice = 2.0f * g[1];
  u[0] = g[0];
  u[1] = outer + g[1], u[2] = outer - g[1];
  u[3] = near + twice, u[4] = near - twice;
  u[5] = far + twice, u[6] = far - twice;
  u[7] = g[2];
}
__device__ inline void transform_inputs(const float d[STRIP_PRODUCTS], float v[STRIP_PRODUCTS]) {
  v[0] = fmaf(5.25f, d[4] - d[2], d[0] - d[6]);
  v[7] = fmaf(5.25f, d[3] - d[5], d[7] - d[1]);
  float even = fmaf(-4.25f, d[4], d[2] + d[6]), odd = fmaf(-4.25f, d[3], d[1] + d[5]);
  v[1] = even + odd, v[2] = even - odd;
  even = fmaf(0.25f, d[2], fmaf(-1.25f, d[4], d[6])), odd = fmaf(0.5f, d[1], fmaf(-2.5f, d[3], 2.0f * d[5]));
  v[3] = even + odd, v[4] = even - odd;
  even = fmaf(4.0f, d[2], fmaf(-5.0f, d[4], d[6])), odd = fmaf(2.0f, d[1], fmaf(-2.5f, d[3], 0.5f * d[5]));
  v[5] = even + odd, v[6] = even - odd;
}
// A 90th, in half the instructions of a division; of a multiple of 90 it is exact.
__device__ inline float divide(float sum) {
  constexpr float PART = 1.0f / 90.0f;
  const float near = sum * PART;
  return fmaf(fmaf(-90.0f, near, sum), PART, near);
}
__device__ inline void transform_products(const float m[STRIP_PRODUCTS], float y[STRIP_OUTPUTS]) {
  const float even1 = -20.0f * (m[1] + m[2]), even2 = m[3] + m[4], even3 = m[5] + m[6];
  const float odd1 = -20.0f * (m[1] - m[2]), odd2 = m[3] - m[4], odd3 = m[5] - m[6];
  y[0] = divide(fmaf(90.0f, m[0], fmaf(16.0f, even3, even1 + even2)));
  y[1] = divide(fmaf(2.0f, odd2, fmaf(8.0f, odd3, odd1)));
  y[2] = divide(fmaf(4.0f, even2, fmaf(4.0f, even3, even1)));
  y[3] = divide(fmaf(8.0f, odd2, fmaf(2.0f, odd3, odd1)));
  y[4] = divide(fmaf(16.0f, even2, even1 + even3));
  y[5] = divide(fmaf(90.0f, m[7], fmaf(32.0f, odd2, fmaf(0.5f, odd3, odd1))));
}

// A stage of the pipeline: the first product's window tile, and the filter's tiles of all products, are where MicroKernel
// expects its own. The pad of the filter's rows moves neighbouring channels of X to other banks, as WeightLoader writes them.
constexpr int WINDOW_PAD = 0;
template <int TILE_M, int TILE_N, int TILE_K>
struct ProductStage : Stage<STRIP_PRODUCTS * TILE_M, TILE_N, TILE_K, WINOGRAD_FILTER_PAD, WINDOW_PAD> {
  float other_windows[STRIP_PRODUCTS - 1][TILE_K][TILE_N + WINDOW_PAD];
};

// Brings the weights of TILE_M channels of Y in TILE_K / COLUMNS channels of X from F into registers, and transformed from
// there into a stage. In a stage, RUN neighbouring channels of each product follow each other.
template <class Stage, int TILE_M, int TILE_K, int RUN>
class WeightLoader {
 public:
  static constexpr int CHANNELS = TILE_K / COLUMNS, THREADS = TILE_M * CHANNELS;  // a thread for each pair of channels

  __device__ WeightLoader(const Problem& strips, const float* f, int first_channel, int step)
      : left_(strips.in_channels - step * CHANNELS - of_x()) {
    // Beyond Y's channels the last one's weights will do: what is computed of them is not stored.
    const int channel = min(first_channel + of_y(), strips.out_channels - 1);
    next_ = f + (static_cast<long long>(channel) * strips.in_channels + step * CHANNELS + of_x()) * WEIGHTS;
  }
  __device__ static int offset() {
    return (of_x() * COLUMNS * Stage::FILTER_ROW + of_y() / RUN * STRIP_PRODUCTS * RUN + of_y() % RUN) * sizeof(float);
  }
  // The next step's weights are in flight from `begin` to `end`, which writes them to the stage; both take its address plus
  // `offset`. Zeros beyond X's channels.
  __device__ void begin(SharedAddress) {
#pragma unroll
    for (int i = 0; i < WEIGHTS; ++i) g_[i] = load_here(next_ + i, left_ > 0);
    next_ += CHANNELS * WEIGHTS;
    left_ -= CHANNELS;
  }
  __device__ void end(SharedAddress to) const {
#pragma unroll
    for (int column = 0; column < COLUMNS; ++column) {
      const float g[] = {g_[column], g_[COLUMNS + column], g_[2 * COLUMNS + column]};
      float u[STRIP_PRODUCTS];
      transform_weights(g, u);
#pragma unroll
      for (int product = 0; product < STRIP_PRODUCTS; ++product) {
        write_shared(to + (column * Stage::FILTER_ROW + product * RUN) * sizeof(float), u[product]);
      }
    }
  }

 private:
  static constexpr int WEIGHTS = 3 * COLUMNS;
  __device__ static int of_x() { return threadIdx.x % CHANNELS; }
  __device__ static int of_y() { return threadIdx.x / CHANNELS; }

  const float* next_;
  int left_;
  float g_[WEIGHTS];
};

// The same from weights that winograd_filter has transformed.
template <class Stage, int TILE_M, int TILE_K, int RUN>
class PreparedLoader {
 public:
  static constexpr int THREADS = TILE_M * TILE_K / COLUMNS;
  // In a row of the stage, and rows that the threads copy at a time.
  static constexpr int VECTORS = STRIP_PRODUCTS * TILE_M / VECTOR, ROWS = THREADS / VECTORS;
  static_assert(THREADS % VECTORS == 0 && TILE_K % ROWS == 0, "all threads copy equally many");

  __device__ PreparedLoader(const Problem& strips, const float* transformed, int first_channel, int step) {
    const int padded_reduction = (strips.reduction() + TILE_K - 1) / TILE_K * TILE_K;
    const long long row = static_cast<long long>(first_channel / TILE_M) * padded_reduction + step * TILE_K;
    next_ = transformed + (row * VECTORS + threadIdx.x) * VECTOR;
  }
  __device__ static int offset() {
    return (threadIdx.x / VECTORS * Stage::FILTER_ROW + threadIdx.x % VECTORS * VECTOR) * sizeof(float);
  }
  __device__ void begin(SharedAddress to) {
#pragma unroll
    for (int k = 0; k < TILE_K; k += ROWS) {
      copy_async<VECTOR * sizeof(float)>(to + k * Stage::FILTER_ROW * sizeof(float), next_ + k * VECTORS * VECTOR);
    }
    end_copies();
    next_ += TILE_K * VECTORS * VECTOR;
  }
  __device__ void end(SharedAddress) const { wait_for_copies<0>(); }

 private:
  const float* next_;
};

// Brings the inputs of TILE_N strips in TILE_K / COLUMNS channels from X into registers, and transformed from there into a
// stage. A warp reads 32 neighbouring strips, which are contiguous in X but for the ends of rows. PADDED if strips may reach
// beyond X.
template <class Stage, int TILE_N, int TILE_K, bool PADDED>
class InputLoader {
 public:
  static constexpr int CHANNELS = TILE_K / COLUMNS, THREADS = TILE_N * CHANNELS;  // a thread for each channel of a strip

  __device__ InputLoader(const Strips& strips, const float* x, int first_strip, int step)
      : channel_(step * CHANNELS + threadIdx.x / TILE_N), channels_(strips.in_channels),
        channel_values_(strips.height * strips.width), row_values_(strips.width) {
    const Pixel at(strips, min(first_strip + strip(), strips.pixels() - 1));
    const int row = STRIP_OUTPUTS * at.row - strips.pad_top, first_column = at.first_column(strips);
    first_ = x + static_cast<long long>(at.image) * channels_ * channel_values_ + row * row_values_ + first_column;
    last_row_ = strips.height - row - 1;
    if (!PADDED) return;
    inside_ = 0;
#pragma unroll
    for (int i = 0; i < STRIP_PRODUCTS; ++i) inside_ |= is_inside(row + i, strips.height) << i;
#pragma unroll
    for (int i = 0; i < COLUMNS; ++i) inside_ |= is_inside(first_column + i, strips.width) << (STRIP_PRODUCTS + i);
  }
  __device__ static int offset() {
    return Stage::WINDOW_OFFSET + (threadIdx.x / TILE_N * COLUMNS * Stage::WINDOW_ROW + strip()) * sizeof(float);
  }
  // The next step's inputs. Beyond X's channels, where the weights are zero, the last one's will do. So will the last row's
  // beyond X's rows, of which no output in Y needs anything, unless they are padding: zeros.
  __device__ void fetch() {
    const float* channel = first_ + min(channel_, channels_ - 1) * channel_values_;
    channel_ += CHANNELS;
#pragma unroll
    for (int row = 0; row < STRIP_PRODUCTS; ++row) {
      const float* from = channel + (PADDED ? row : min(row, last_row_)) * row_values_;
#pragma unroll
      for (int column = 0; column < COLUMNS; ++column) {
        const unsigned taps = 1u << row | 1u << (STRIP_PRODUCTS + column);
        d_[column][row] = load_here(from + column, !PADDED || (inside_ & taps) == taps);
      }
    }
  }
  // `to` is the address of a stage plus `offset`.
  __device__ void put(SharedAddress to) const {
#pragma unroll
    for (int column = 0; column < COLUMNS; ++column) {
      float v[STRIP_PRODUCTS];
      transform_inputs(d_[column], v);
#pragma unroll
      for (int product = 0; product < STRIP_PRODUCTS; ++product) {
        write_shared(to + (product * TILE_K + column) * Stage::WINDOW_ROW * sizeof(float), v[product]);
      }
    }
  }

 private:
  __device__ static int strip() { return threadIdx.x % TILE_N; }

  const float* first_;
  int channel_, channels_, channel_values_, row_values_, last_row_;
  unsigned inside_;  // a bit for each row of the strip and, behind them, for each column of the filter
  float d_[COLUMNS][STRIP_PRODUCTS];
};

// The products of a tile, TILE_M channels x TILE_N strips each. To MicroKernel they are one tile of eight times as many
// channels, in the stage's order: so each warp computes one of them.
template <int TILE_M, int TILE_N, int TILE_K, int MICRO_M, int MICRO_N>
class Products : public MicroKernel<STRIP_PRODUCTS * TILE_M, TILE_N, TILE_K, MICRO_M, MICRO_N, WINOGRAD_FILTER_PAD, WINDOW_PAD> {
  using Micro = MicroKernel<STRIP_PRODUCTS * TILE_M, TILE_N, TILE_K, MICRO_M, MICRO_N, WINOGRAD_FILTER_PAD, WINDOW_PAD>;

 public:
  using Tiles = ProductStage<TILE_M, TILE_N, TILE_K>;
  using OutputTile = Tile<TILE_M, TILE_N>;
  static constexpr int WARPS = Micro::THREADS / 32, PARTS = Micro::PARTS, SHARE_SEMAPHORE = 1;
  // Neighbouring channels of a product in the stage's order, which are those of a part of the tile.
  static constexpr int RUN = TILE_M / PARTS;
  static_assert(RUN % 16 == 0, "a warp's channels are of one product");

  __device__ static int window_offset() {
    const int product = Micro::row(0) / RUN;
    return Micro::window_offset() + product * sizeof(Tiles::window);
  }

  // Writes the tile's outputs, or adds them to what Y holds, part by part: all threads put a part's products into shared
  // memory, and then a warp stores the rows of 32 neighbouring strips of a channel at a time. `scratch` has room for two
  // parts, so that one is written while the one before is still read.
  static constexpr int SCRATCH = 2 * STRIP_PRODUCTS * RUN * TILE_N;
  static_assert(SCRATCH * sizeof(float) <= 2 * sizeof(Tiles), "it has the room of two stages");
  __device__ void store(const Strips& strips, float* y, const OutputTile& tile, const Semaphores<PARTS>& semaphores,
                        float* scratch) const {
    semaphores.add() ? store_parts<true>(strips, y, tile, semaphores, scratch) : store_parts<false>(strips, y, tile, semaphores, scratch);
  }

 private:
  template <bool ADD>
  __device__ void store_parts(const Strips& strips, float* y, const OutputTile& tile, const Semaphores<PARTS>& semaphores,
                              float* scratch) const {
    constexpr int RUNS = TILE_N / 32, CHANNELS = RUN / WARPS, TASKS = RUNS * CHANNELS;
    static_assert(TILE_N % 32 == 0 && RUN % WARPS == 0, "all warps store equally many outputs");
    const int rows = strips.rows, channel_values = rows * strips.out_width;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float* first[RUNS];  // where the strip's first output goes in the image's first channel
    int outputs[RUNS];   // how many of the strip's lie in Y
#pragma unroll
    for (int r = 0; r < RUNS; ++r) {
      const int strip = tile.first_pixel + r * 32 + lane;
      const Pixel at(strips, strip);
      const long long row = static_cast<long long>(at.image) * strips.out_channels * rows + STRIP_OUTPUTS * at.row;
      first[r] = y + row * strips.out_width + at.column;
      outputs[r] = strip < strips.pixels() ? min(rows - STRIP_OUTPUTS * at.row, STRIP_OUTPUTS) : 0;
    }
#pragma unroll
    for (int part = 0; part < PARTS; ++part) {
      float* const products = scratch + part % 2 * (SCRATCH / 2);
      Micro::put_part(part, shared_address(products));
      __syncthreads();
      semaphores.wait(part);
      float* to[TASKS];
      int stored[TASKS];
      float old[TASKS][STRIP_OUTPUTS] = {};
#pragma unroll
      for (int i = 0; i < TASKS; ++i) {
        const int channel = tile.first_channel + part * RUN + i / RUNS * WARPS + warp;
        to[i] = first[i % RUNS] + static_cast<long long>(channel) * channel_values;
        stored[i] = channel < strips.out_channels ? outputs[i % RUNS] : 0;
#pragma unroll
        for (int row = 0; row < STRIP_OUTPUTS; ++row) {
          // Read from the L2, since the L1 cache is not coherent with what other blocks store.
          if (ADD && row < stored[i]) old[i][row] = __ldcg(to[i] + row * strips.out_width);
        }
      }
#pragma unroll
      for (int i = 0; i < TASKS; ++i) {
        const float* from = products + (i / RUNS * WARPS + warp) * TILE_N + i % RUNS * 32 + lane;
        float m[STRIP_PRODUCTS], sums[STRIP_OUTPUTS];
#pragma unroll
        for (int product = 0; product < STRIP_PRODUCTS; ++product) m[product] = from[product * RUN * TILE_N];
        transform_products(m, sums);
#pragma unroll
        for (int row = 0; row < STRIP_OUTPUTS; ++row) {
          if (row < stored[i]) to[i][row * strips.out_width] = old[i][row] + sums[row];
        }
      }
      semaphores.pass(part);
    }
  }
};

// Transforms F beforehand, for PreparedLoader: F'[tile][k][a stage's row], k = (channel of X, column), zero beyond K and
// Cout. A tile has `tile_channels`, and `run` as RUN below. Grid: x covers squares of REORDER_SIDE k and REORDER_SIDE channels.
__global__ __launch_bounds__(REORDER_THREADS) void winograd_filter(const float* __restrict__ f,
                                                                  float* __restrict__ transformed, int tile_channels,
                                                                  int run, int padded_reduction, PROBLEM_PARAMETERS) {
  launch_dependents();
  // Whole channels of X, which a square may begin and end within.
  constexpr int LINES = REORDER_THREADS / REORDER_SIDE, CHANNELS_OF_X = (REORDER_SIDE + 2 * COLUMNS - 2) / COLUMNS, VALUES = CHANNELS_OF_X * 9;
  __shared__ float values[REORDER_SIDE][VALUES | 1];  // an odd number: reading down a column meets no bank conflict
  const Problem p = PROBLEM_ARGUMENTS;
  const int squares_k = (padded_reduction + REORDER_SIDE - 1) / REORDER_SIDE, number = block_index();
  const int first_k = number % squares_k * REORDER_SIDE, first_channel = number / squares_k * REORDER_SIDE;
  const int first_of_x = first_k / COLUMNS, left = min(VALUES, (p.in_channels - first_of_x) * 9);
  const int lane = threadIdx.x % REORDER_SIDE, line = threadIdx.x / REORDER_SIDE;
#pragma unroll
  for (int i = line; i < REORDER_SIDE; i += LINES) {
    const float* from = f + (static_cast<long long>(first_channel + i) * p.in_channels + first_of_x) * 9;
#pragma unroll
    for (int value = lane; value < VALUES; value += REORDER_SIDE) {
      values[i][value] = first_channel + i < p.out_channels && value < left ? from[value] : 0.0f;
    }
  }
  __syncthreads();
  const int channel = first_channel + lane, tile = channel / tile_channels, in_tile = channel % tile_channels;
  const int place = in_tile / run * run * STRIP_PRODUCTS + in_tile % run;
#pragma unroll
  for (int i = line; i < REORDER_SIDE; i += LINES) {
    const int k = first_k + i;
    if (k >= padded_reduction) break;
    const float* from = values[lane] + (k / COLUMNS - first_of_x) * 9 + k % COLUMNS;
    const float g[3] = {from[0], from[COLUMNS], from[2 * COLUMNS]};
    float u[STRIP_PRODUCTS];
    transform_weights(g, u);
    float* to = transformed + (static_cast<long long>(tile) * padded_reduction + k) * STRIP_PRODUCTS * tile_channels + place;
#pragma unroll
    for (int product = 0; product < STRIP_PRODUCTS; ++product) to[product * run] = u[product];
  }
}

// Y from X and `filter`: F with WeightLoader, what winograd_filter made of it with PreparedLoader. `semaphores` as in im2win.cu;
// the others are of X and Y, not of the strips. Dynamic shared memory: two stages.
template <template <class, int, int, int> class Loader, bool PADDED, int TILE_M, int TILE_N, int TILE_K, int MICRO_M, int MICRO_N>
__global__ __launch_bounds__(STRIP_PRODUCTS * TILE_M / MICRO_M * (TILE_N / MICRO_N), 1)
void im2win_winograd(const float* __restrict__ x, const float* __restrict__ filter, float* y, int* semaphores,
                     int steps_per_block, int input_height, int input_pad_top, int output_rows, PROBLEM_PARAMETERS) {
  using Micro = Products<TILE_M, TILE_N, TILE_K, MICRO_M, MICRO_N>;
  using Stage = typename Micro::Tiles;
  using Inputs = InputLoader<Stage, TILE_N, TILE_K, PADDED>;
  using Weights = Loader<Stage, TILE_M, TILE_K, Micro::RUN>;
  static_assert(Inputs::THREADS == Micro::THREADS && Weights::THREADS == Micro::THREADS, "no thread is idle");
  extern __shared__ unsigned char dynamic[];

  Strips strips = {PROBLEM_ARGUMENTS, output_rows};
  strips.height = input_height;
  strips.pad_top = input_pad_top;
  const SharedAddress shared = shared_address(dynamic);
  const SharedAddress inputs_to = shared + Inputs::offset(), weights_to = shared + Weights::offset();
  const SharedAddress window_from = shared + Micro::window_offset(), filter_from = shared + Micro::filter_offset();
  convolve<Micro>(strips, y, semaphores, steps_per_block, reinterpret_cast<float*>(dynamic),
                  [&](const Segment& segment, const typename Micro::OutputTile& tile, Micro& micro_kernel) {
    Inputs inputs(strips, x, tile.first_pixel, segment.first);
    Weights weights(strips, filter, tile.first_channel, segment.first);
    inputs.fetch();
    weights.begin(weights_to);
    inputs.put(inputs_to);
    weights.end(weights_to);
    __syncthreads();
    int current = 0, next = sizeof(Stage);
    typename Micro::Operands operands[2];
    Micro::read(operands[0], filter_from, window_from, 0);
    for (int remaining = segment.last - segment.first; remaining > 0; --remaining) {
      // The next step's loads are in flight while this step is multiplied. The compiler would sink them to their first use,
      // which the branches and __syncwarp prevent.
      if (remaining > 1) {
        __syncwarp();
        inputs.fetch();
        weights.begin(weights_to + next);
      }
#pragma unroll
      for (int k = 0; k < TILE_K; ++k) {
        if (k + 1 < TILE_K) {
          Micro::read(operands[(k + 1) % 2], filter_from + current, window_from + current, k + 1);
        } else {
          if (remaining > 1) {
            inputs.put(inputs_to + next);
            weights.end(weights_to + next);
          }
          __syncthreads();
          current = next;
          next = sizeof(Stage) - current;
          Micro::read(operands[0], filter_from + current, window_from + current, 0);  // unused after the last step
        }
        micro_kernel.multiply(operands[k % 2]);
      }
    }
  });
}

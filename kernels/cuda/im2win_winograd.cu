// im2win_fused.cu with fewer multiplications, for filters of 3 x 3 at stride 1: Winograd's minimal filtering F(2, 3)
// down the columns (Winograd, Arithmetic Complexity of Computations, 1980; Lavin and Gray, CVPR 2016). Two outputs, one
// above the other, take four products for each column of the filter and not six. All of it is FP32.
//
// Of a column d of four inputs and one g of the filter, the four products and the two outputs are
//   m0 = (d0 - d2) g0,   m1 = (d1 + d2) (g0 + g1 + g2) / 2,   m2 = (d2 - d1) (g0 - g1 + g2) / 2,   m3 = (d1 - d3) g2,
//   y0 = m0 + m1 + m2,   y1 = m1 - m2 - m3,
// and the outputs' last step is linear: it comes once, after all channels and columns have been added up. So this is four
// matrix products, M = out_channels, N = pairs of outputs, K = in_channels * 3, computed by neighbouring warps.
//
// `Problem` is that of the pairs here, with a filter of one row: out_height is half of Y's, rounded up; height is X's.
#include "im2win_tile.cuh"

constexpr int PRODUCTS = 4, COLUMNS = 3;

// The filter's transformed values: F'[k][channel and product], k = (channel, column), as im2win_winograd reads them: `run`
// neighbouring channels of each product in turn. Zero beyond K rows and Cout columns. Grid: x covers squares of SIDE k and
// SIDE channels.
constexpr int FILTER_THREADS = 256, SIDE = 32;
__global__ __launch_bounds__(FILTER_THREADS) void winograd_filter(const float* __restrict__ f,
                                                                  float* __restrict__ transformed, int run,
                                                                  int padded_channels, int padded_reduction,
                                                                  PROBLEM_PARAMETERS) {
  constexpr int LINES = FILTER_THREADS / SIDE, PASSES = SIDE / LINES;
  __shared__ float square[PRODUCTS][SIDE][SIDE + 1];  // one more column: reading down a column meets no bank conflict
  const Problem p = PROBLEM_ARGUMENTS;
  const int squares_k = (padded_reduction + SIDE - 1) / SIDE, number = block_index();
  const int first_k = number % squares_k * SIDE, first_channel = number / squares_k * SIDE;
  const int lane = threadIdx.x % SIDE, line = threadIdx.x / SIDE;
  float g[PASSES][3] = {};  // all on their way at once
  const int k = first_k + lane, column = k % COLUMNS;
#pragma unroll
  for (int i = 0; i < PASSES; ++i) {
    const int channel = first_channel + line + i * LINES;
    if (channel >= p.out_channels || k >= p.reduction()) continue;
    const float* from = f + (static_cast<long long>(channel) * p.reduction() + k - column) * 3 + column;
#pragma unroll
    for (int row = 0; row < 3; ++row) g[i][row] = from[row * COLUMNS];
  }
#pragma unroll
  for (int i = 0; i < PASSES; ++i) {
    const float outer = g[i][0] + g[i][2];
    square[0][line + i * LINES][lane] = g[i][0];
    square[1][line + i * LINES][lane] = 0.5f * (outer + g[i][1]);
    square[2][line + i * LINES][lane] = 0.5f * (outer - g[i][1]);
    square[3][line + i * LINES][lane] = g[i][2];
  }
  __syncthreads();
  const int channel = first_channel + lane;
  if (channel >= padded_channels) return;
#pragma unroll
  for (int i = 0; i < PASSES; ++i) {
    const int row = first_k + line + i * LINES;
    if (row >= padded_reduction) break;
    float* to = transformed + static_cast<long long>(row) * PRODUCTS * padded_channels;
    to += channel / run * run * PRODUCTS + channel % run;
#pragma unroll
    for (int product = 0; product < PRODUCTS; ++product) to[product * run] = square[product][lane][line + i * LINES];
  }
}

// A stage of the pipeline: the tiles of TILE_K values of the reduction, of all products.
template <int TILE_M, int TILE_N, int TILE_K>
struct ProductStage {
  static constexpr int VALUES = TILE_K, WINDOW_ROW = TILE_N + VECTOR;
  static constexpr int WINDOW_PLACE = PRODUCTS * TILE_K * TILE_M * sizeof(float);  // in bytes
  float filter[TILE_K][PRODUCTS * TILE_M];
  float window[PRODUCTS][TILE_K][WINDOW_ROW];
};

// Brings the inputs of TILE_N pairs in TILE_K / COLUMNS channels from X into registers, and transformed from there into a
// stage. A warp reads 32 neighbouring pairs, which are contiguous in X but for the ends of rows.
template <int TILE_N, int TILE_K, int THREADS>
class ColumnLoader {
 public:
  static_assert(THREADS % TILE_N == 0 && TILE_K % (COLUMNS * THREADS / TILE_N) == 0, "each thread keeps to one pair");
  // Columns that a thread takes in a step, all those of a channel after the other.
  static constexpr int LOADS = TILE_K * TILE_N / THREADS, ROW = TILE_N + VECTOR;

  __device__ ColumnLoader(const Problem& pairs, const float* x, int first_pair, int step)
      : channel_(step * TILE_K / COLUMNS + first_k() / COLUMNS), channels_(pairs.in_channels),
        channel_values_(pairs.height * pairs.width), row_values_(pairs.width) {
    const Pixel at(pairs, min(first_pair + pair(), pairs.pixels() - 1));
    first_ = x + static_cast<long long>(at.image) * channels_ * channel_values_ + 2 * at.row * row_values_ + at.column;
    // An odd number of output rows leaves the last pair without its fourth input, of which the first output needs nothing.
    last_values_ = (2 * at.row + 3 < pairs.height ? 3 : 2) * row_values_;
  }
  __device__ static int place() { return (first_k() * ROW + pair()) * sizeof(float); }
  // The thread's i-th column of a step, 0 to LOADS - 1 in turn.
  __device__ void fetch(int i) {
    if (i % COLUMNS == 0) {
      // Beyond X's channels, where the filter is zero, the last one's values will do.
      const float* channel = first_ + min(channel_ + i / COLUMNS, channels_ - 1) * channel_values_;
      rows_[0] = channel, rows_[1] = channel + row_values_;
      rows_[2] = channel + 2 * row_values_, rows_[3] = channel + last_values_;
    }
#pragma unroll
    for (int row = 0; row < 4; ++row) d_[i][row] = __ldg(rows_[row] + i % COLUMNS);
    if (i == LOADS - 1) channel_ += TILE_K / COLUMNS;
  }
  // `to` is the address of a stage's window tile plus `place`.
  __device__ void put(int i, SharedAddress to) const {
    constexpr int PRODUCT = TILE_K * ROW * sizeof(float);
    const float* d = d_[i];
    write_shared(to + i * ROW * sizeof(float), d[0] - d[2]);
    write_shared(to + i * ROW * sizeof(float) + PRODUCT, d[1] + d[2]);
    write_shared(to + i * ROW * sizeof(float) + 2 * PRODUCT, d[2] - d[1]);
    write_shared(to + i * ROW * sizeof(float) + 3 * PRODUCT, d[1] - d[3]);
  }

 private:
  __device__ static int pair() { return threadIdx.x % TILE_N; }
  __device__ static int first_k() { return threadIdx.x / TILE_N * LOADS; }

  const float* first_;
  const float* rows_[4];
  int channel_, channels_, channel_values_, row_values_, last_values_;
  float d_[LOADS][4];
};

// The four products of a tile, TILE_M channels x TILE_N pairs each. To MicroKernel they are one tile of four times as many
// channels, in the filter's order: so each warp computes one of them.
template <int TILE_M, int TILE_N, int TILE_K, int MICRO_M, int MICRO_N>
class Products : public MicroKernel<PRODUCTS * TILE_M, TILE_N, TILE_K, MICRO_M, MICRO_N> {
  using Micro = MicroKernel<PRODUCTS * TILE_M, TILE_N, TILE_K, MICRO_M, MICRO_N>;

 public:
  using Tiles = ProductStage<TILE_M, TILE_N, TILE_K>;
  using OutputTile = Tile<TILE_M, TILE_N>;
  static_assert(Tiles::WINDOW_ROW == Micro::Tiles::WINDOW_ROW && Tiles::WINDOW_PLACE == Micro::Tiles::WINDOW_PLACE,
                "the micro-kernel finds the first product's window tile where it expects one");
  // Neighbouring channels of a product in the filter's order (`run` above).
  static constexpr int RUN = TILE_M * VECTOR / MICRO_M;
  static_assert(RUN % 16 == 0, "a warp's channels are of one product");
  static constexpr int WARPS = Micro::THREADS / 32, PARTS = 4;

  __device__ static int window_place() {
    const int product = Micro::row(0) / RUN;
    return Micro::window_place() + product * sizeof(Tiles::window[0]);
  }

  // Writes the tile's outputs, or adds them to what Y holds. `scratch` has room for all products.
  __device__ void store(const Problem& pairs, float* y, const OutputTile& tile, const Turns<PARTS>& turns,
                        float* scratch) const {
    Micro::put(shared_address(scratch));
    __syncthreads();
    turns.add() ? store<true>(pairs, y, tile, turns, scratch) : store<false>(pairs, y, tile, turns, scratch);
    if (!turns.add()) turns.begin();
  }

 private:
  // A warp stores the two rows of 32 neighbouring pairs of a channel at a time.
  template <bool ADD>
  __device__ static void store(const Problem& pairs, float* y, const OutputTile& tile, const Turns<PARTS>& turns,
                               const float* scratch) {
    constexpr int RUNS = TILE_N / 32, CHANNELS = TILE_M / PARTS / WARPS;
    static_assert(TILE_N % 32 == 0 && TILE_M % (PARTS * WARPS) == 0, "all warps store equally many outputs");
    const int rows = pairs.height - 2, channel_values = rows * pairs.out_width;
    float* first[RUNS];  // where the pair's first output goes in the image's first channel
    int outputs[RUNS];   // how many of the two lie in Y
#pragma unroll
    for (int r = 0; r < RUNS; ++r) {
      const int pair = tile.first_pixel + r * 32 + threadIdx.x % 32;
      const Pixel at(pairs, pair);
      const long long row = static_cast<long long>(at.image) * pairs.out_channels * rows + 2 * at.row;
      first[r] = y + row * pairs.out_width + at.column;
      outputs[r] = pair < pairs.pixels() ? min(rows - 2 * at.row, 2) : 0;
    }
#pragma unroll
    for (int part = 0; part < PARTS; ++part) {
      if (ADD) turns.wait(part);
      float old[CHANNELS][RUNS][2] = {};
      float* to[CHANNELS][RUNS];
      bool stored[CHANNELS][RUNS][2];
#pragma unroll
      for (int i = 0; i < CHANNELS * RUNS; ++i) {
        const int c = i / RUNS, r = i % RUNS, channel = tile.first_channel + row(part, c);
        to[c][r] = first[r] + static_cast<long long>(channel) * channel_values;
        for (int j = 0; j < 2; ++j) {
          stored[c][r][j] = channel < pairs.out_channels && j < outputs[r];
          // Read past the L1 cache, which does not know of what other blocks store.
          if (ADD && stored[c][r][j]) old[c][r][j] = __ldcg(to[c][r] + j * pairs.out_width);
        }
      }
#pragma unroll
      for (int i = 0; i < CHANNELS * RUNS; ++i) {
        const int c = i / RUNS, r = i % RUNS;
        const int in_order = row(part, c) / RUN * PRODUCTS * RUN + row(part, c) % RUN;
        const float* m = scratch + in_order * TILE_N + r * 32 + threadIdx.x % 32;
        const float both = m[RUN * TILE_N] + m[2 * RUN * TILE_N], difference = m[RUN * TILE_N] - m[2 * RUN * TILE_N];
        const float y0 = m[0] + both, y1 = difference - m[3 * RUN * TILE_N];
        if (stored[c][r][0]) to[c][r][0] = old[c][r][0] + y0;
        if (stored[c][r][1]) to[c][r][pairs.out_width] = old[c][r][1] + y1;
      }
      if (ADD) turns.pass(part);
    }
  }
  // The c-th channel of the tile that this warp stores of a part.
  __device__ static int row(int part, int c) { return (part * (TILE_M / PARTS / WARPS) + c) * WARPS + threadIdx.x / 32; }
};

// Y from X and the transformed filter; `turns` as in im2win.cu. `input_height` is X's. Dynamic shared memory: see
// kernels/im2win_winograd.py.
template <int TILE_M, int TILE_N, int TILE_K, int MICRO_M, int MICRO_N>
__global__ __launch_bounds__(PRODUCTS * TILE_M / MICRO_M * (TILE_N / MICRO_N), 2)
void im2win_winograd(const float* __restrict__ x, const float* __restrict__ filter, float* y, int* turns,
                     int steps_per_block, int padded_channels, int input_height, PROBLEM_PARAMETERS) {
  using Micro = Products<TILE_M, TILE_N, TILE_K, MICRO_M, MICRO_N>;
  using Tiles = typename Micro::Tiles;
  using Window = ColumnLoader<TILE_N, TILE_K, Micro::THREADS>;
  using Filter = FilterLoader<PRODUCTS * TILE_M, TILE_K, Micro::THREADS, VECTOR>;
  extern __shared__ unsigned char dynamic[];  // two stages, and later the tile's products

  Problem pairs = PROBLEM_ARGUMENTS;
  pairs.height = input_height;
  const SharedAddress shared = shared_address(dynamic);
  const SharedAddress window_to = shared + Tiles::WINDOW_PLACE + Window::place(), filter_to = shared + Filter::place();
  const SharedAddress window_from = shared + Micro::window_place(), filter_from = shared + Micro::filter_place();
  convolve<Micro>(pairs, y, turns, steps_per_block, reinterpret_cast<float*>(dynamic),
                  [&](const Segment& segment, const typename Micro::OutputTile& tile, Micro& micro_kernel) {
    Window window_loader(pairs, x, tile.first_pixel, segment.first);
    Filter filter_loader(filter, PRODUCTS * padded_channels, PRODUCTS * tile.first_channel, segment.first);
#pragma unroll
    for (int i = 0; i < Window::LOADS; ++i) window_loader.fetch(i);
    filter_loader.start(filter_to);
    end_copies();
#pragma unroll
    for (int i = 0; i < Window::LOADS; ++i) window_loader.put(i, window_to);
    wait_for_copies<0>();
    __syncthreads();
    int current = 0, next = sizeof(Tiles);
    typename Micro::Operands operands[2];
    Micro::read(operands[0], filter_from, window_from, 0);
    for (int remaining = segment.last - segment.first; remaining > 0; --remaining) {
      // The next step's inputs are on their way while this step is multiplied. Both branches keep the compiler from
      // mixing the loads and what is done with them: it would wait for them too early.
      if (remaining > 1) {
#pragma unroll
        for (int i = 0; i < Window::LOADS; ++i) window_loader.fetch(i);
        filter_loader.start(filter_to + next);
      }
      end_copies();
#pragma unroll
      for (int k = 0; k < TILE_K; ++k) {
        if (k + 1 < TILE_K) {
          Micro::read(operands[(k + 1) % 2], filter_from + current, window_from + current, k + 1);
        } else {
          if (remaining > 1) {
#pragma unroll
            for (int i = 0; i < Window::LOADS; ++i) window_loader.put(i, window_to + next);
          }
          wait_for_copies<0>();
          __syncthreads();
          current = next;
          next = sizeof(Tiles) - current;
          Micro::read(operands[0], filter_from + current, window_from + current, 0);  // of no use after the last step
        }
        micro_kernel.multiply(operands[k % 2]);
      }
    }
  });
}

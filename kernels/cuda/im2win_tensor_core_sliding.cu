// The im2win convolution on Hopper's tensor cores, with the paper's window tensor in shared memory: neighbouring windows
// share their values there, and the taps along the width are only other start addresses of the matrix instructions.
// Arithmetic, guard and filter are those of im2win_tensor_core_wgmma; see docs/tensor_cores.md.
//
// A "line" is an output row of an image. The reduction is cut into stages of STAGE_K (input channel, filter row) pairs;
// a stage's part of the window tensor holds, for each line and each column of X that its windows touch, STAGE_K values.
// They are gathered and split once, and used for kernel_w taps.
#include "warpgroups.cuh"

// Eight lines at one column of X are the eight rows of a core matrix (PTX ISA, wgmma, no swizzle): a chunk of STAGE_K
// for each, 128 bytes in a row. The column after it starts one chunk later than need be, so that a warp that writes 32
// columns of one line meets no bank conflict.
constexpr int LINES = 8;
constexpr int CHUNK_BYTES = CHUNK * 2;
constexpr int COLUMN_BYTES = (LINES + 1) * CHUNK_BYTES;

// A block computes 64 * WARPGROUPS_M output channels. Each consumer multiplies COLUMNS columns of eight lines, with PITCH
// columns of X gathered for them. Short lines come in LINE_GROUPS groups of eight, PITCH columns apart, of which the last
// kernel_w - 1 give no output; the stride must be 1 then.
template <int WARPGROUPS_M, int COLUMNS, int PITCH, int LINE_GROUPS, int FILTER_STAGES>
struct Shape {
  static constexpr int CONSUMERS = 2, PRODUCERS = 2, WINDOW_STAGES = 2;
  static_assert(WARPGROUPS_M == 1 || WARPGROUPS_M == CONSUMERS, "the consumers lie beside each other");
  static_assert(COLUMNS <= PITCH * LINE_GROUPS, "what is multiplied is gathered");
  static constexpr int TILE_M = 64 * WARPGROUPS_M, N = COLUMNS * LINES;
  static constexpr int GROUPS = LINE_GROUPS * (CONSUMERS / WARPGROUPS_M), TILE_LINES = GROUPS * LINES;
  static constexpr int THREADS = 128 * (CONSUMERS + PRODUCERS);
  static constexpr int FILTER_BYTES = WARPGROUPS_M * FILTER_TILE_BYTES;
  static constexpr int PLANE_BYTES = GROUPS * PITCH * COLUMN_BYTES;  // one chunk of all lines and columns
  static constexpr int WINDOW_BYTES = 2 * CHUNKS * PLANE_BYTES;      // two parts
  // A warp gathers as many whole lines as it has lanes for, each in a power of two of them.
  static constexpr int LANES = PITCH <= 8 ? 8 : PITCH <= 16 ? 16 : 32;
  static_assert(PITCH <= LANES, "a line is gathered by one warp, which knows its largest value");
  static constexpr int UNIT_LINES = 32 / LANES, UNITS = TILE_LINES / UNIT_LINES;
  static constexpr int GATHERERS = 4 * PRODUCERS - 1;  // the last warp has the filter copied
  static_assert(GATHERERS <= UNITS * WINDOW_STAGES, "a warp would lose track of the rounds of the ring");
  static constexpr int PRODUCER_REGISTERS = 72, CONSUMER_REGISTERS = 184;  // 64 Ki in all
};

// Descriptor of every `stride`-th column of eight lines, `plane` bytes from a chunk of K to the next.
__device__ inline unsigned long long column_descriptor(unsigned address, int plane, int stride) {
  return static_cast<unsigned long long>(stride * COLUMN_BYTES / 16) << 32 | static_cast<unsigned long long>(plane / 16) << 16 |
         (address & 0x3ffff) >> 4;
}

// The first value of a line's window at a column of X, in bytes; lines and columns beyond the last have the last one's.
__device__ inline unsigned find_place(const Problem& p, int line, int column) {
  const int at = min(line, p.batch * p.out_height - 1), image = p.by_column.quotient(at);
  const int row = (at - image * p.out_height) * p.stride;
  return sizeof(float) * ((static_cast<unsigned>(image) * p.in_channels * p.height + row) * p.width +
                          min(column, p.width - 1));
}

// Four neighbouring lanes hold two lines each, of eight columns. Lane t gets columns 2 t and 2 t + 1 of all eight lines:
// pairs[i] are those of the lines that lane t ^ i held.
__device__ inline void exchange(const float (&columns)[8][2], float2 (&pairs)[4][2]) {
  const bool odd = threadIdx.x & 1, upper = threadIdx.x & 2;
#pragma unroll
  for (int line = 0; line < 2; ++line) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float own[2], other[2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float first = columns[4 * half + i][line], second = columns[4 * half + 2 + i][line];
        own[half] = odd ? second : first;
        other[half] = __shfl_xor_sync(0xffffffffu, odd ? first : second, 1);
      }
      const float from[4] = {upper ? own[1] : own[0], upper ? other[1] : other[0],
                             __shfl_xor_sync(0xffffffffu, upper ? own[0] : own[1], 2),
                             __shfl_xor_sync(0xffffffffu, upper ? other[0] : other[1], 2)};
#pragma unroll
      for (int lane = 0; lane < 4; ++lane) (i == 0 ? pairs[lane][line].x : pairs[lane][line].y) = from[lane];
    }
  }
}

// Where one consumer's results go: `channel` is the one of the thread's first row, `line` and `column` the first of all,
// `columns` how many of a line.
template <int COLUMNS, int PITCH, int LINE_GROUPS>
struct SlidingOutput {
  const Problem& p;
  float* y;
  int channel, line, column, columns;

  // Index in Y of a line's first output in the first channel; negative beyond the last line.
  __device__ long long line_start(int at) const {
    if (at >= p.batch * p.out_height) return -1;
    const int image = p.by_column.quotient(at);
    return (static_cast<long long>(image) * p.out_channels * p.out_height + (at - image * p.out_height)) * p.out_width;
  }

  // results[c][0..1] are two lines of column c in the first row, [2..3] in the second. Returns whether all are finite.
  __device__ bool store(const float (&results)[COLUMNS][4], RowFactors factors) const {
    const bool paired = p.out_width % 2 == 0 && column % 2 == 0;
    const int t = threadIdx.x % 4, plane = p.pixels_per_image();
    float check = 0.0f;  // NaN as soon as one result is not finite
#pragma unroll
    for (int group = 0; group < LINE_GROUPS; ++group) {
      long long starts[4][2];
#pragma unroll
      for (int i = 0; i < 8; ++i) starts[i / 2][i % 2] = line_start(line + group * LINES + (t ^ i / 2) * 2 + i % 2);
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        const long long to_channel = (static_cast<long long>(channel) + 8 * row) * plane + column + 2 * t;
        const bool has_channel = channel + 8 * row < p.out_channels;
        const float factor = row == 0 ? factors.first : factors.second;
        constexpr int MOST = COLUMNS < PITCH ? COLUMNS : PITCH;
#pragma unroll
        for (int first = 0; first < MOST; first += 8) {
          float piece[8][2];
#pragma unroll
          for (int i = 0; i < 16; ++i) {
            const int c = group * PITCH + first + i / 2;
            piece[i / 2][i % 2] = c < COLUMNS ? results[c < COLUMNS ? c : 0][2 * row + i % 2] * factor : 0.0f;
          }
          float2 pairs[4][2];
          exchange(piece, pairs);
          const int left = has_channel ? columns - first - 2 * t : 0;
#pragma unroll
          for (int i = 0; i < 8; ++i) {
            const float2 pair = pairs[i / 2][i % 2];
            if (left <= 0 || starts[i / 2][i % 2] < 0) continue;
            float* const to = y + starts[i / 2][i % 2] + to_channel + first;
            check = fmaf(pair.x, 0.0f, check);
            if (left > 1) check = fmaf(pair.y, 0.0f, check);
            if (left > 1 && paired) {
              *reinterpret_cast<float2*>(to) = pair;
            } else {
              to[0] = pair.x;
              if (left > 1) to[1] = pair.y;
            }
          }
        }
      }
    }
    return check == 0.0f;
  }

  // The guard: computes again, in strict FP32, what this thread wrote and is not finite, over [first, last) of the
  // (input channel, filter row) pairs.
  __device__ void store_strict(const float* x, const float* f, const int* offsets, int first, int last) const {
    const int t = threadIdx.x % 4, pairs = p.in_channels * p.kernel_h;
#pragma unroll 1
    for (int i = 0; i < 2 * LINE_GROUPS * LINES; ++i) {
      const int at = line + i / 2, row = channel + i % 2 * 8;
      const long long start = line_start(at);
      if (start < 0 || row >= p.out_channels) continue;
#pragma unroll 1
      for (int c = 2 * t; c < columns; c += c % 2 ? 7 : 1) {
        float* const place = y + start + static_cast<long long>(row) * p.pixels_per_image() + column + c;
        if (is_finite(*place)) continue;
        const unsigned window = find_place(p, at, (column + c) * p.stride);
        const float* const weights = f + static_cast<long long>(row) * p.reduction();
        *place = strict_sum(x, window, weights, offsets, first, min(last, pairs), p.kernel_w);
      }
    }
  }
};

// As im2win_tensor_core_wgmma, but `offsets` are those of (input channel, filter row) pairs, in bytes, and
// `stages` counts stages of them; the split filter has kernel_w tiles for each. Tiles of pixels are `tiles_along_line`
// pieces of `columns` outputs of each of TILE_LINES lines. Dynamic shared memory: see kernels/tensor_core_tile.py.
template <int WARPGROUPS_M, int COLUMNS, int PITCH, int LINE_GROUPS, int FILTER_STAGES>
__global__ __launch_bounds__(512, 1) void im2win_tensor_core_sliding(
    const float* __restrict__ x, const float* __restrict__ f, const unsigned char* __restrict__ filter_tiles,
    const float* __restrict__ filter_factors, const int* __restrict__ offsets, float* __restrict__ y,
    int tiles_along_line, int columns, TENSOR_CORE_PARAMETERS) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  using S = Shape<WARPGROUPS_M, COLUMNS, PITCH, LINE_GROUPS, FILTER_STAGES>;
  extern __shared__ unsigned char dynamic[];
  unsigned char* const filters = dynamic + (1024 - shared_address(dynamic) % 1024) % 1024;
  unsigned char* const windows = filters + FILTER_STAGES * S::FILTER_BYTES;
  float* const factors = reinterpret_cast<float*>(windows + S::WINDOW_STAGES * S::WINDOW_BYTES);
  Barrier* const filter_full = reinterpret_cast<Barrier*>(factors + S::WINDOW_STAGES * S::TILE_LINES);
  Barrier* const filter_empty = filter_full + FILTER_STAGES;
  Barrier* const window_full = filter_empty + FILTER_STAGES;
  Barrier* const window_empty = window_full + S::WINDOW_STAGES;

  const TensorCorePlan plan = TENSOR_CORE_ARGUMENTS;
  const Problem& p = plan.problem;
  const int tiles = TensorCoreTile::count(plan);
  const int warpgroup = threadIdx.x / 128, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  Ring<FILTER_STAGES> filter;
  Ring<S::WINDOW_STAGES> window;
  if (threadIdx.x == 0) {
    for (int i = 0; i < FILTER_STAGES; ++i) {
      filter_full[i].initialize(1);
      filter_empty[i].initialize(4 * S::CONSUMERS);
    }
    for (int i = 0; i < S::WINDOW_STAGES; ++i) {
      window_full[i].initialize(S::UNITS);
      window_empty[i].initialize(4 * S::CONSUMERS);
    }
    fence_barriers();
  }
  __syncthreads();

  if (warpgroup >= S::CONSUMERS) {
    reduce_registers<S::PRODUCER_REGISTERS>();
    int unit = warp - 4 * S::CONSUMERS;
    const bool copies = unit == S::GATHERERS;
    for (int i = blockIdx.x; i < tiles; i += gridDim.x) {
      const TensorCoreTile tile(plan, i, S::TILE_M, 1);
      if (copies) {
        for (int stage = tile.first_stage * p.kernel_w; stage < tile.last_stage * p.kernel_w; ++stage, filter.next()) {
          filter_empty[filter.slot].wait(filter.parity ^ 1);
          if (lane == 0) {
            filter_full[filter.slot].arrive_and_expect(S::FILTER_BYTES);
            filter_full[filter.slot].copy(filters + filter.slot * S::FILTER_BYTES,
                                          filter_tiles + filter_tile_offset<S::TILE_M, 2>(p, tile.first_channel, stage),
                                          S::FILTER_BYTES);
          }
        }
        continue;
      }
      const int lines = tile.first_pixel / tiles_along_line;
      const int first_column = (tile.first_pixel - lines * tiles_along_line) * columns;
      for (int stage = tile.first_stage;; unit += S::GATHERERS) {
        for (; unit >= S::UNITS && stage < tile.last_stage; unit -= S::UNITS, window.next()) ++stage;
        if (stage == tile.last_stage) break;
        const int line = unit * S::UNIT_LINES + lane / S::LANES, column = lane % S::LANES;
        const unsigned place = find_place(p, lines * S::TILE_LINES + line, first_column * p.stride + column);
        float values[STAGE_K];
        gather(values, x, place, offsets + stage * STAGE_K);
        // The loads are under way while this waits for room.
        window_empty[window.slot].wait(window.parity ^ 1);
        // A line has one scale, so that its columns can be shared by windows and sums undo it with one factor.
        float largest = max_magnitude(values);
#pragma unroll
        for (int lanes = 1; lanes < S::LANES; lanes *= 2) {
          largest = max_magnitude(largest, __shfl_xor_sync(0xffffffffu, largest, lanes));
        }
        const StageScale scale(largest, exponent_limit);
        if (column < PITCH) {
          const unsigned first_chunk = shared_address(windows + window.slot * S::WINDOW_BYTES) +
                                       (line / LINES * PITCH + column) * COLUMN_BYTES + line % LINES * CHUNK_BYTES;
#pragma unroll
          for (int chunk = 0; chunk < CHUNKS; ++chunk) {
            const SplitChunk<2> split(values + chunk * CHUNK, scale.scale);
            store_shared(first_chunk + chunk * S::PLANE_BYTES, split.parts[0]);
            store_shared(first_chunk + (CHUNKS + chunk) * S::PLANE_BYTES, split.parts[1]);
          }
        }
        if (column == 0) factors[window.slot * S::TILE_LINES + line] = scale.factor;
        fence_shared_writes();
        __syncwarp();
        if (lane == 0) window_full[window.slot].arrive();
      }
    }
  } else {
    raise_registers<S::CONSUMER_REGISTERS>();
    const int first_row = WARPGROUPS_M == 1 ? 0 : warpgroup * 64;
    const int first_group = WARPGROUPS_M == 1 ? warpgroup * LINE_GROUPS : 0;
    float sums[COLUMNS][4] = {};
    for (int i = blockIdx.x; i < tiles; i += gridDim.x) {
      const TensorCoreTile tile(plan, i, S::TILE_M, 1);
      const int channel = tile.first_channel + first_row + warp % 4 * 16 + lane / 4;
      const RowFactors row_factors(p, filter_factors, channel);
      float results[COLUMNS][4] = {};
      for (int stage = tile.first_stage; stage < tile.last_stage; ++stage, window.next()) {
        unsigned long long b = column_descriptor(shared_address(windows + window.slot * S::WINDOW_BYTES) +
                                                     first_group * PITCH * COLUMN_BYTES,
                                                 S::PLANE_BYTES, p.stride);
        window_full[window.slot].wait(window.parity);
        float2 undo[LINE_GROUPS];
#pragma unroll
        for (int group = 0; group < LINE_GROUPS; ++group) {
          undo[group] = *reinterpret_cast<const float2*>(factors + window.slot * S::TILE_LINES +
                                                         (first_group + group) * LINES + lane % 4 * 2);
        }
#pragma unroll 1
        for (int tap = 0; tap < p.kernel_w; ++tap, filter.next(), b += COLUMN_BYTES / 16) {
          const unsigned long long a =
              tile_descriptor(shared_address(filters + filter.slot * S::FILTER_BYTES) + first_row * ROW_BYTES);
          filter_full[filter.slot].wait(filter.parity);
          start_products();
#pragma unroll
          for (int product = 0; product < PART_PRODUCTS<2>; ++product) {
            const PartProduct of = part_product<2>(product);
#pragma unroll
            for (int k = 0; k < STAGE_K; k += 16) {
              // Descriptors count in units of 16 bytes.
              const int from_a = (of.filter * STAGE_K * 2 + k * 2) / 16;
              const int from_b = (of.window * CHUNKS + k / CHUNK) * S::PLANE_BYTES / 16;
              multiply_tiles<S::N>(sums, a + from_a, b + from_b, product > 0 || k > 0);
            }
          }
          finish_products<S::N>(sums);
#pragma unroll
          for (int c = 0; c < COLUMNS; ++c) {
#pragma unroll
            for (int j = 0; j < 4; ++j) {
              const float factor = j % 2 ? undo[c / PITCH].y : undo[c / PITCH].x;
              results[c][j] = fmaf(sums[c][j], factor, results[c][j]);
            }
          }
          __syncwarp();
          if (lane == 0) filter_empty[filter.slot].arrive();
        }
        __syncwarp();
        if (lane == 0) window_empty[window.slot].arrive();
      }
      const int lines = tile.first_pixel / tiles_along_line;
      const int first_column = (tile.first_pixel - lines * tiles_along_line) * columns;
      const SlidingOutput<COLUMNS, PITCH, LINE_GROUPS> output{
          p,
          y + tile.output,
          channel,
          lines * S::TILE_LINES + first_group * LINES,
          first_column,
          min(columns, p.out_width - first_column)};
      if (!output.store(results, row_factors)) {
        output.store_strict(x, f, offsets, tile.first_stage * STAGE_K, tile.last_stage * STAGE_K);
      }
    }
  }
#endif
}

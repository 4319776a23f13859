// How a thread multiplies what lies in shared memory, and writes its outputs.
#pragma once
#include "loaders.cuh"
#include "schedule.cuh"

// Outputs of a thread that are stored together: fewer for Blackwell too.
constexpr int STORES_AT_ONCE = __CUDA_ARCH__ < 1000 ? 16 : 4;

// Where one pixel's output values lie, or those of four neighbours in one image that start at an aligned address.
class OutputColumn {
 public:
  __device__ OutputColumn() {}
  __device__ OutputColumn(const Problem& p, float* y, int pixel)
      : channels_(pixel < p.pixels() ? p.out_channels : 0), channel_values_(p.pixels_per_image()) {
    const int image = p.by_image.quotient(pixel);
    y_ = y + static_cast<long long>(image) * (p.out_channels - 1) * channel_values_ + pixel;
  }
  template <class Value>
  __device__ void store(int channel, Value value) const {
    if (channel < channels_) *at<Value>(channel) = value;
  }
  // What another block has stored here, zero outside Y. Read from the L2, since the L1 cache is not coherent.
  template <class Value>
  __device__ Value load(int channel) const {
    return channel < channels_ ? __ldcg(at<Value>(channel)) : Value{};
  }

 private:
  template <class Value>
  __device__ Value* at(int channel) const {
    return reinterpret_cast<Value*>(y_ + static_cast<long long>(channel) * channel_values_);
  }

  int channels_, channel_values_;
  float* y_;
};
__device__ inline float4 operator+(float4 a, float4 b) { return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w); }

// MICRO_M x MICRO_N outputs of one thread, in registers. They are taken in groups of four neighbours, one 16-byte
// read of shared memory each.
//
// Shared memory serves 16-byte reads half a warp at a time, in one pass if the 16 lanes ask for no more than 128 bytes
// and lanes t and t ^ 1, or t and t ^ 2, agree. So bit 0 of the lane moves along M (the window's reads agree), bits 1
// to 3 along N (the filter's reads agree, the window's are 128 contiguous bytes), and bit 4 along M again.
//
// High micro-tiles have all lanes along N instead: that takes more passes, but a warp then stores 512 contiguous bytes of a
// channel at a time, which matters where the time goes into storing (seen on an H100: stores alone of 128 bytes in each of
// 64 channels reach 2.0 TB/s, of 512 bytes 2.5).
template <int TILE_M, int TILE_N, int TILE_K, int MICRO_M, int MICRO_N, int FILTER_PAD = 0, int WINDOW_PAD = VECTOR>
class MicroKernel {
 public:
  static constexpr int LANES_N = MICRO_M >= 4 * MICRO_N ? 32 : 8, LANES_M = 32 / LANES_N;
  static_assert(MICRO_M % VECTOR == 0 && MICRO_N % VECTOR == 0, "shared memory is read 16 bytes at a time");
  static_assert(TILE_M % (MICRO_M * LANES_M) == 0 && TILE_N % (MICRO_N * LANES_N) == 0,
                "a warp computes 4 x 8 or 1 x 32 micro-tiles, and whole warps fill the block's tile");
  using Tiles = Stage<TILE_M, TILE_N, TILE_K, FILTER_PAD, WINDOW_PAD>;
  using OutputTile = Tile<TILE_M, TILE_N>;
  static constexpr int THREADS = TILE_M / MICRO_M * (TILE_N / MICRO_N);

  // The thread's m-th output channel and n-th pixel, counted in the block's tile.
  __device__ static int row(int m) {
    return (threadIdx.x / 32 / WARPS_N * LANES_M + lane_m()) * VECTOR + m / VECTOR * STEP_M + m % VECTOR;
  }
  __device__ static int column(int n) {
    return (threadIdx.x / 32 % WARPS_N * LANES_N + lane_n()) * VECTOR + n / VECTOR * STEP_N + n % VECTOR;
  }

  // Where in a stage this thread's first values of the filter and of the window lie.
  __device__ static int filter_offset() { return row(0) * sizeof(float); }
  __device__ static int window_offset() { return Tiles::WINDOW_OFFSET + column(0) * sizeof(float); }

  // What the thread multiplies for one value of the reduction.
  struct Operands {
    float a[MICRO_M], b[MICRO_N];  // its channels of the filter, its pixels of the window
  };
  // Those of value k of a stage; `filter` and `window` are its address plus the offsets above.
  __device__ static void read(Operands& operands, SharedAddress filter, SharedAddress window, int k) {
#pragma unroll
    for (int n = 0; n < MICRO_N; n += VECTOR) {
      read_shared(operands.b + n, window + k * WINDOW_STEP + n / VECTOR * STEP_N * sizeof(float));
    }
#pragma unroll
    for (int m = 0; m < MICRO_M; m += VECTOR) {
      read_shared(operands.a + m, filter + k * FILTER_STEP + m / VECTOR * STEP_M * sizeof(float));
    }
  }

  // The compiler keeps this order, one row of accumulators after the other. It matters: registers lie in two banks by
  // parity, and neighbouring instructions that accumulate into the same bank conflict (H100: with half of them in
  // conflict, a sixth of the speed is lost).
  __device__ void multiply(const Operands& operands) {
#pragma unroll
    for (int m = 0; m < MICRO_M; ++m) {
#pragma unroll
      for (int n = 0; n < MICRO_N; ++n) sum_[m][n] = fmaf(operands.a[m], operands.b[n], sum_[m][n]);
    }
  }

  // Writes the thread's sums to the block's tile in shared memory, at `to`.
  __device__ void put(SharedAddress to) const {
#pragma unroll
    for (int part = 0; part < PARTS; ++part) put_part(part, to + part * STEP_M * TILE_N * sizeof(float));
  }

  // The same of one part (see below) alone, the channels of which `to` has.
  __device__ void put_part(int part, SharedAddress to) const {
#pragma unroll
    for (int m = 0; m < VECTOR; ++m) {
#pragma unroll
      for (int n = 0; n < MICRO_N; n += VECTOR) {
        const float* sum = sum_[part * VECTOR + m] + n;
        write_shared(to + (row(m) * TILE_N + column(n)) * sizeof(float), make_float4(sum[0], sum[1], sum[2], sum[3]));
      }
    }
  }

  // Writes the tile's outputs, or adds them to what Y holds, in PARTS of four of the thread's channels. `scratch` is
  // shared memory that is free, SCRATCH floats for each thread.
  static constexpr int SCRATCH = VECTOR * MICRO_N, PARTS = MICRO_M / VECTOR, SHARE_SEMAPHORE = PARTS;
  __device__ void store(const Problem& p, float* y, const OutputTile& tile, const Semaphores<PARTS>& semaphores, float* scratch) const {
    // Four pixels share an image and an aligned address when an image's pixels are a multiple of four.
    if (p.pixels_per_image() % VECTOR == 0) {
      semaphores.add() ? store_vectors<true>(p, y, tile, semaphores) : store_vectors<false>(p, y, tile, semaphores);
    } else {
      scratch += threadIdx.x / 32 * 32 * SCRATCH;
      semaphores.add() ? store_rows<true>(p, y, tile, semaphores, scratch) : store_rows<false>(p, y, tile, semaphores, scratch);
    }
    // Most blocks have a tile alone or are its first: they need not wait between their stores.
    if (!semaphores.add()) semaphores.begin();
  }

  // Writes the outputs of the thread's m-th channel, four neighbouring pixels. `first` is where those of its first one go.
  // The tile has `channels`, all or none but at the EDGE.
  template <bool EDGE>
  __device__ void store_channel(int m, int channels, float* first, int channel_values) const {
    static_assert(MICRO_N == VECTOR, "a channel's outputs are one vector");
    const long long offset = static_cast<long long>(m / VECTOR * STEP_M + m % VECTOR) * channel_values;
    const float4 four = make_float4(sum_[m][0], sum_[m][1], sum_[m][2], sum_[m][3]);
    if (EDGE ? row(m) < channels : channels != 0) *reinterpret_cast<float4*>(first + offset) = four;
  }

 private:
  static constexpr int FILTER_STEP = Tiles::FILTER_ROW * sizeof(float), WINDOW_STEP = Tiles::WINDOW_ROW * sizeof(float);
  // A power of two, since it divides the outputs that a warp stores together.
  static constexpr int FEW = MICRO_M * MICRO_N >= 128 ? 16 : MICRO_M * MICRO_N >= 64 ? 8 : 4;
  static constexpr int AT_ONCE = FEW < STORES_AT_ONCE ? FEW : STORES_AT_ONCE;
  // Channels that store_vectors takes at a time, and outputs that store_rows does.
  static constexpr int CHANNELS = AT_ONCE / VECTOR;
  static constexpr int OUTPUTS = __CUDA_ARCH__ < 1000 ? AT_ONCE * MICRO_N / VECTOR : AT_ONCE;
  static_assert(VECTOR % CHANNELS == 0, "store_vectors takes a part's channels in whole groups");
  static_assert(VECTOR * LANES_M * MICRO_N * LANES_N / 32 % OUTPUTS == 0, "store_rows takes a part's outputs in whole groups");

  __device__ static int lane_m() { return LANES_M == 1 ? 0 : threadIdx.x % 32 / 16 * 2 + threadIdx.x % 2; }
  __device__ static int lane_n() { return LANES_M == 1 ? threadIdx.x % 32 : threadIdx.x % 32 / 2 % LANES_N; }

  static constexpr int WARPS_N = TILE_N / MICRO_N / LANES_N;
  static constexpr int STEP_M = TILE_M * VECTOR / MICRO_M, STEP_N = TILE_N * VECTOR / MICRO_N;  // group to group

  // Both take several of the thread's outputs at a time, so that the reads of ADD wait for memory together.
  template <bool ADD>
  __device__ void store_vectors(const Problem& p, float* y, const OutputTile& tile, const Semaphores<PARTS>& semaphores) const {
    constexpr int GROUPS = MICRO_N / VECTOR;
    OutputColumn output[GROUPS];
#pragma unroll
    for (int g = 0; g < GROUPS; ++g) output[g] = OutputColumn(p, y, tile.first_pixel + column(g * VECTOR));
#pragma unroll
    for (int first = 0; first < MICRO_M; first += CHANNELS) {
      if (ADD && first % VECTOR == 0) semaphores.wait(first / VECTOR);
      float4 old[CHANNELS][GROUPS] = {};
      if (ADD) {
#pragma unroll
        for (int i = 0; i < CHANNELS * GROUPS; ++i) {
          old[i / GROUPS][i % GROUPS] = output[i % GROUPS].template load<float4>(tile.first_channel + row(first + i / GROUPS));
        }
      }
#pragma unroll
      for (int i = 0; i < CHANNELS * GROUPS; ++i) {
        const float* sum = sum_[first + i / GROUPS] + i % GROUPS * VECTOR;
        const float4 four = make_float4(sum[0], sum[1], sum[2], sum[3]);
        output[i % GROUPS].store(tile.first_channel + row(first + i / GROUPS),
                                 ADD ? old[i / GROUPS][i % GROUPS] + four : four);
      }
      if (ADD && (first + CHANNELS) % VECTOR == 0) semaphores.pass(first / VECTOR);
    }
  }
  // Through shared memory, so that a warp writes 32 neighbouring pixels at a time: of four neighbours in a thread it
  // would write each with a store of its own, which touch every sector of memory four times.
  template <bool ADD>
  __device__ void store_rows(const Problem& p, float* y, const OutputTile& tile, const Semaphores<PARTS>& semaphores,
                             float* scratch) const {
    constexpr int COLUMNS = MICRO_N * LANES_N / 32, ROWS = VECTOR * LANES_M, GROUPS = MICRO_N / VECTOR;
    const int lane = threadIdx.x % 32;
    OutputColumn output[COLUMNS];
#pragma unroll
    for (int c = 0; c < COLUMNS; ++c) {
      // The warp's columns are GROUPS runs of VECTOR * LANES_N, STEP_N apart.
      const int at = c * 32 + lane, run = VECTOR * LANES_N;
      const int warp_column = threadIdx.x / 32 % WARPS_N * run;
      output[c] = OutputColumn(p, y, tile.first_pixel + warp_column + at / run * STEP_N + at % run);
    }
    const int warp_row = threadIdx.x / 32 / WARPS_N * LANES_M * VECTOR;
#pragma unroll
    for (int first = 0; first < MICRO_M; first += VECTOR) {
      __syncwarp();
#pragma unroll
      for (int i = 0; i < VECTOR * GROUPS; ++i) {
        const float* sum = sum_[first + i / GROUPS] + i % GROUPS * VECTOR;
        float* to = scratch + ((lane_m() * VECTOR + i / GROUPS) * GROUPS + i % GROUPS) * VECTOR * LANES_N + lane_n() * VECTOR;
        *reinterpret_cast<float4*>(to) = make_float4(sum[0], sum[1], sum[2], sum[3]);
      }
      __syncwarp();
      const int first_channel = tile.first_channel + warp_row + first / VECTOR * STEP_M;
      if (ADD) semaphores.wait(first / VECTOR);
#pragma unroll
      for (int batch = 0; batch < ROWS * COLUMNS; batch += OUTPUTS) {
        float old[OUTPUTS] = {};
        if (ADD) {
#pragma unroll
          for (int i = 0; i < OUTPUTS; ++i) {
            old[i] = output[(batch + i) % COLUMNS].template load<float>(first_channel + (batch + i) / COLUMNS);
          }
        }
#pragma unroll
        for (int i = 0; i < OUTPUTS; ++i) {
          const int at = batch + i;
          const float sum = scratch[at * 32 + lane];
          output[at % COLUMNS].store(first_channel + at / COLUMNS, ADD ? old[i] + sum : sum);
        }
      }
      if (ADD) semaphores.pass(first / VECTOR);
    }
  }

  float sum_[MICRO_M][MICRO_N] = {};
};

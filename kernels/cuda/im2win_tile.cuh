// The parts of the tiled im2win convolution that its variants share: which tile a block computes, how its threads
// bring tiles into shared memory, multiply them and write the output. A variant is a main loop over these parts.
//
// The convolution is an implicit matrix product, M = out_channels, N = pixels, K = in_channels * kernel_h * kernel_w.
#pragma once
#include "convolution.cuh"

constexpr int VECTOR = 4;  // floats in a 16-byte access

// Blocks are numbered with the output channels running fastest: blocks that read the same pixels of the window
// tensor run together and find them in the L2 cache.
struct BlockTile {
  int first_channel, first_pixel;
  __device__ BlockTile(const Problem& p, int tile_m, int tile_n) {
    const int tiles_m = (p.out_channels + tile_m - 1) / tile_m;
    first_channel = static_cast<int>(blockIdx.x) % tiles_m * tile_m;
    first_pixel = static_cast<int>(blockIdx.x) / tiles_m * tile_n;
  }
};

// Reads one pixel's column of the K x N window matrix, which is never formed: k selects a channel and a place in
// the contiguous run of the pixel's window.
class WindowColumn {
 public:
  __device__ WindowColumn(const Problem& p, const float* window, int pixel)
      : by_window_(p.window()),
        channel_values_(p.out_height * p.window_row()),
        reduction_(pixel < p.pixels() ? p.reduction() : 0) {
    const Pixel at(p, pixel);
    run_ = window + static_cast<long long>(at.image) * p.in_channels * channel_values_ + at.row * p.window_row() +
           at.column * p.stride * p.kernel_h;
  }
  // Zero beyond K and for pixels beyond the last.
  __device__ float load(int k) const {
    if (k >= reduction_) return 0.0f;
    const int channel = by_window_.quotient(k);
    return __ldg(run_ + channel * (channel_values_ - static_cast<int>(by_window_.divisor)) + k);
  }

 private:
  FastDivision by_window_;
  int channel_values_, reduction_;
  const float* run_;
};

// Brings TILE_K x TILE_N values of the window matrix into shared memory: each thread keeps to one pixel and to
// neighbouring k, which are neighbours in the window tensor too.
template <int TILE_N, int TILE_K, int THREADS>
class WindowLoader {
 public:
  static_assert(THREADS % TILE_N == 0, "each thread keeps to one pixel of the window tile");
  static_assert(TILE_K * TILE_N % THREADS == 0, "all threads read equally many values of the window tile");
  static constexpr int LOADS = TILE_K * TILE_N / THREADS;

  __device__ WindowLoader(const Problem& p, const float* window, int first_pixel)
      : pixel_(threadIdx.x % TILE_N),
        first_k_(threadIdx.x / TILE_N * LOADS),
        column_(p, window, first_pixel + pixel_) {}
  // Device memory to registers, from k on.
  __device__ void fetch(int k) {
#pragma unroll
    for (int i = 0; i < LOADS; ++i) values_[i] = column_.load(k + first_k_ + i);
  }
  // Registers to shared memory.
  __device__ void stage(float (&tile)[TILE_K][TILE_N]) const {
#pragma unroll
    for (int i = 0; i < LOADS; ++i) tile[first_k_ + i][pixel_] = values_[i];
  }

 private:
  int pixel_, first_k_;
  WindowColumn column_;
  float values_[LOADS];
};

// Brings TILE_K x TILE_M values of the reordered filter F'[k][padded_channels] into shared memory, 16 bytes at a
// time. The filter is padded with zeros to whole tiles: no bounds to check.
template <int TILE_M, int TILE_K, int THREADS>
class FilterLoader {
 public:
  static constexpr int VECTORS = TILE_K * TILE_M / VECTOR;
  static constexpr int LOADS = (VECTORS + THREADS - 1) / THREADS;

  __device__ FilterLoader(const float* filter, int padded_channels, int first_channel)
      : source_(filter + first_channel), padded_channels_(padded_channels) {}
  __device__ void fetch(int k) {
#pragma unroll
    for (int i = 0; i < LOADS; ++i) {
      if (!in_tile(i)) continue;
      const float* row = source_ + static_cast<long long>(k + vector(i) / ROW) * padded_channels_;
      values_[i] = __ldg(reinterpret_cast<const float4*>(row) + vector(i) % ROW);
    }
  }
  __device__ void stage(float (&tile)[TILE_K][TILE_M]) const {
#pragma unroll
    for (int i = 0; i < LOADS; ++i) {
      if (in_tile(i)) reinterpret_cast<float4*>(&tile[0][0])[vector(i)] = values_[i];
    }
  }

 private:
  static constexpr int ROW = TILE_M / VECTOR;  // vectors in a row of the tile
  __device__ static int vector(int i) { return threadIdx.x + i * THREADS; }
  __device__ static bool in_tile(int i) { return VECTORS % THREADS == 0 || vector(i) < VECTORS; }

  const float* source_;
  int padded_channels_;
  float4 values_[LOADS];
};

// Writes one pixel's output values, one channel after the other.
class OutputColumn {
 public:
  __device__ OutputColumn(const Problem& p, float* y, int pixel)
      : channels_(pixel < p.pixels() ? p.out_channels : 0), channel_values_(p.pixels_per_image()) {
    const int image = pixel / p.pixels_per_image();
    y_ = y + static_cast<long long>(image) * p.out_channels * channel_values_ + pixel % p.pixels_per_image();
  }
  __device__ void store(int channel, float value) const {
    if (channel < channels_) y_[static_cast<long long>(channel) * channel_values_] = value;
  }
  // Four neighbouring pixels of one channel; they must lie in one image and start at a multiple of four values.
  __device__ void store(int channel, float4 values) const {
    if (channel < channels_) {
      *reinterpret_cast<float4*>(y_ + static_cast<long long>(channel) * channel_values_) = values;
    }
  }

 private:
  int channels_, channel_values_;
  float* y_;
};

// MICRO_M x MICRO_N outputs of one thread, in registers. They are taken in groups of four neighbours, one 16-byte
// read of shared memory each.
//
// Shared memory serves 16-byte reads half a warp at a time, in one pass if the 16 lanes ask for no more than 128 bytes
// and lanes t and t ^ 1, or t and t ^ 2, agree. So bit 0 of the lane moves along M (the window's reads agree), bits 1
// to 3 along N (the filter's reads agree, the window's are 128 contiguous bytes), and bit 4 along M again.
template <int TILE_M, int TILE_N, int TILE_K, int MICRO_M, int MICRO_N>
class MicroKernel {
 public:
  static constexpr int LANES_N = 8, LANES_M = 32 / LANES_N;
  static_assert(MICRO_M % VECTOR == 0 && MICRO_N % VECTOR == 0, "shared memory is read 16 bytes at a time");
  static_assert(TILE_M % (MICRO_M * LANES_M) == 0 && TILE_N % (MICRO_N * LANES_N) == 0,
                "a warp computes 4 x 8 micro-tiles, and whole warps fill the block's tile");

  __device__ void multiply(const float (&filter)[TILE_K][TILE_M], const float (&window)[TILE_K][TILE_N]) {
#pragma unroll
    for (int k = 0; k < TILE_K; ++k) {
      float a[MICRO_M], b[MICRO_N];
#pragma unroll
      for (int m = 0; m < MICRO_M; m += VECTOR) read(a + m, &filter[k][row(m)]);
#pragma unroll
      for (int n = 0; n < MICRO_N; n += VECTOR) read(b + n, &window[k][column(n)]);
#pragma unroll
      for (int m = 0; m < MICRO_M; ++m) {
#pragma unroll
        for (int n = 0; n < MICRO_N; ++n) sum_[m][n] = fmaf(a[m], b[n], sum_[m][n]);
      }
    }
  }

  __device__ void store(const Problem& p, float* y, const BlockTile& tile) const {
    // Four pixels share an image and an aligned address when an image's pixels are a multiple of four.
    const bool vectorized = p.pixels_per_image() % VECTOR == 0;
#pragma unroll
    for (int n = 0; n < MICRO_N; ++n) {
      if (vectorized && n % VECTOR != 0) continue;
      const OutputColumn output(p, y, tile.first_pixel + column(n));
#pragma unroll
      for (int m = 0; m < MICRO_M; ++m) {
        const int channel = tile.first_channel + row(m);
        if (vectorized) {
          const int g = n / VECTOR * VECTOR;
          output.store(channel, make_float4(sum_[m][g], sum_[m][g + 1], sum_[m][g + 2], sum_[m][g + 3]));
        } else {
          output.store(channel, sum_[m][n]);
        }
      }
    }
  }

 private:
  static constexpr int WARPS_N = TILE_N / MICRO_N / LANES_N;
  static constexpr int STEP_M = TILE_M * VECTOR / MICRO_M, STEP_N = TILE_N * VECTOR / MICRO_N;  // group to group

  __device__ static void read(float* registers, const float* shared) {
    *reinterpret_cast<float4*>(registers) = *reinterpret_cast<const float4*>(shared);
  }
  // Place of the thread's m-th output channel and n-th pixel in the block's tile.
  __device__ static int row(int m) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    return (warp / WARPS_N * LANES_M + lane / 16 * 2 + lane % 2) * VECTOR + m / VECTOR * STEP_M + m % VECTOR;
  }
  __device__ static int column(int n) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    return (warp % WARPS_N * LANES_N + lane / 2 % LANES_N) * VECTOR + n / VECTOR * STEP_N + n % VECTOR;
  }

  float sum_[MICRO_M][MICRO_N] = {};
};

// The parts of the tiled im2win convolution that its variants share: which tile a block computes, how its threads
// bring tiles into shared memory, multiply them and write the output. A variant is a main loop over these parts.
//
// The convolution is an implicit matrix product, M = out_channels, N = pixels, K = in_channels * kernel_h * kernel_w.
#pragma once
#include "convolution.cuh"

constexpr int VECTOR = 4;  // floats in a 16-byte access

// Blocks that share a multiprocessor, so that one multiplies while the other waits at its barrier. Two blocks of 256
// threads leave 128 registers to a thread, a few less than the compiler needs without spilling for Blackwell.
constexpr int BLOCKS_PER_MULTIPROCESSOR = __CUDA_ARCH__ < 1000 ? 2 : 1;

// Blocks are numbered with the output channels running fastest: blocks that read the same pixels of the window
// tensor run together and find them in the L2 cache.
template <int TILE_M, int TILE_N>
struct BlockTile {
  int first_channel, first_pixel;
  __device__ explicit BlockTile(const Problem& p) {
    // A volatile read: a tile made again after the main loop is computed again, where keeping it through the loop
    // would take registers from the micro-kernel.
    int block;
    asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(block));
    const int tiles_m = (p.out_channels + TILE_M - 1) / TILE_M;
    first_channel = block % tiles_m * TILE_M;
    first_pixel = block / tiles_m * TILE_N;
  }
};

// Copies BYTES (4 or 16, aligned) from device to shared memory without passing through registers, in the background;
// if not `valid` it writes zeros and reads nothing. PTX ISA, section cp.async (sm_80 and later).
template <int BYTES>
__device__ inline void copy_async(float* shared, const float* global, bool valid = true) {
  static_assert(BYTES == 4 || BYTES == 16, "a copy is one float or one vector");
  const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(global), "n"(BYTES),
               "r"(valid ? BYTES : 0)
               : "memory");
}
// Waits for all of this thread's copies; a barrier then makes them visible to the block.
__device__ inline void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// Brings TILE_K x TILE_N values of the window matrix into shared memory. The K x N matrix itself is never formed: k
// selects a channel and a place in the contiguous run of the pixel's window. Each thread keeps to one pixel and to
// neighbouring k, which are neighbours in the window tensor too.
template <int TILE_N, int TILE_K, int THREADS>
class WindowLoader {
 public:
  static_assert(THREADS % TILE_N == 0, "each thread keeps to one pixel of the window tile");
  static_assert(TILE_K * TILE_N % THREADS == 0, "all threads copy equally many values of the window tile");
  static constexpr int LOADS = TILE_K * TILE_N / THREADS;

  __device__ WindowLoader(const Problem& p, const float* window, int first_pixel)
      : by_window_(p.window()),
        next_k_(threadIdx.x / TILE_N * LOADS),
        in_bounds_(first_pixel + pixel() < p.pixels()) {
    const Pixel at(p, first_pixel + pixel());
    const int channel_values = p.out_height * p.window_row();
    run_ = window + static_cast<long long>(at.image) * p.in_channels * channel_values + at.row * p.window_row() +
           at.column * p.stride * p.kernel_h;
  }
  // Starts copying the next TILE_K values of the reduction; zeros beyond its end and for pixels beyond the last.
  __device__ void start(const Problem& p, float (&tile)[TILE_K][TILE_N]) {
#pragma unroll
    for (int i = 0; i < LOADS; ++i, ++next_k_) {
      // From the end of a window's run in one channel to its run in the next.
      const int channel_gap = p.out_height * p.window_row() - p.window();
      const float* source = run_ + by_window_.quotient(next_k_) * channel_gap + next_k_;
      copy_async<sizeof(float)>(&tile[threadIdx.x / TILE_N * LOADS + i][pixel()], source, in_bounds_ && next_k_ < p.reduction());
    }
    next_k_ += TILE_K - LOADS;
  }

 private:
  __device__ static int pixel() { return threadIdx.x % TILE_N; }

  FastDivision by_window_;
  int next_k_;
  bool in_bounds_;
  const float* run_;
};

// Brings TILE_K x TILE_M values of the reordered filter F'[k][padded_channels] into shared memory, WIDTH floats at a
// time. The filter is padded with zeros to whole tiles: no bounds to check.
template <int TILE_M, int TILE_K, int THREADS, int WIDTH>
class FilterLoader {
 public:
  static constexpr int ROW = TILE_M / WIDTH;  // copies in a row of the tile
  static constexpr int COPIES = TILE_K * ROW;

  __device__ FilterLoader(const float* filter, int padded_channels, int first_channel)
      : filter_(filter), next_(first_channel), padded_channels_(padded_channels) {}
  __device__ void start(float (&tile)[TILE_K][TILE_M]) {
#pragma unroll
    for (int first = 0; first < COPIES; first += THREADS) {
      const int copy = first + threadIdx.x;
      if (COPIES % THREADS != 0 && copy >= COPIES) break;
      const int row = copy / ROW, column = copy % ROW * WIDTH;
      copy_async<WIDTH * sizeof(float)>(&tile[row][column], filter_ + next_ + row * padded_channels_ + column);
    }
    next_ += TILE_K * padded_channels_;
  }

 private:
  // A kernel's parameter stays in constant memory as long as it is not changed: the pointer costs no registers.
  const float* filter_;
  int next_, padded_channels_;
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

  __device__ void store(const Problem& p, float* y) const {
    const BlockTile<TILE_M, TILE_N> tile(p);
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

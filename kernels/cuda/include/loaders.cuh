// How a block's threads bring tiles of the window matrix and of the filter into shared memory.
#pragma once
#include "convolution.cuh"
#include "shared_memory.cuh"

// A stage of the pipeline: the tiles of TILE_K values of the reduction. The pad of a window row moves neighbouring k
// four banks apart: copies of 8 k x 4 pixels by the lanes of a warp then meet no bank conflict, and rows stay aligned.
// FILTER_PAD does the same for the filter, where it is copied like that.
template <int TILE_M, int TILE_N, int TILE_K, int FILTER_PAD = 0, int WINDOW_PAD = VECTOR>
struct Stage {
  static constexpr int VALUES = TILE_K, WINDOW_ROW = TILE_N + WINDOW_PAD, FILTER_ROW = TILE_M + FILTER_PAD;
  static constexpr int WINDOW_OFFSET = TILE_K * FILTER_ROW * sizeof(float);  // in bytes
  float filter[TILE_K][FILTER_ROW];
  float window[TILE_K][WINDOW_ROW];
};

// Which taps of a pixel's window lie inside X and not in its padding: a bit for each row of the filter, and from bit
// COLUMN_TAPS on one for each of its columns. A value's bits are those of its row and its column.
__device__ inline unsigned taps_inside(const Problem& p, const Pixel& at) {
  unsigned taps = 0;
  for (int u = 0, row = at.first_row(p); u < p.kernel_h; ++u, row += p.dilation_h) {
    if (is_inside(row, p.height)) taps |= 1u << u;
  }
  for (int v = 0, column = at.first_column(p); v < p.kernel_w; ++v, column += p.dilation_w) {
    if (is_inside(column, p.width)) taps |= 1u << (COLUMN_TAPS + v);
  }
  return taps;
}
// How far behind the table of `k_bytes` that of the values' bits begins: the loaders read one step ahead.
template <int TILE_K>
__device__ inline int taps_table(const Problem& p) {
  return ((p.reduction() + TILE_K - 1) / TILE_K + 1) * TILE_K;
}

// Brings TILE_K x TILE_N values of the window matrix into shared memory. The K x N matrix itself is never formed:
// value (k, pixel) lies at pixel + k_bytes in the source tensor, with k_bytes from a table that depends on the
// problem's sizes alone (-1 beyond the reduction's end).
//
// A warp copies 8 neighbouring k of 4 pixels at a time: in the window tensor neighbouring k are contiguous, which
// neighbouring pixels are not. PADDED if the source is X and windows may reach beyond it: zeros are copied instead.
template <int TILE_N, int TILE_K, int ROW, int THREADS, bool PADDED = false>
class WindowLoader {
 public:
  static constexpr int LANES_K = 8, LANES_N = 32 / LANES_K, WARPS = THREADS / 32, WARPS_K = TILE_K / LANES_K;
  static_assert(TILE_K % LANES_K == 0 && WARPS % WARPS_K == 0, "each thread keeps to one k of the window tile");
  static constexpr int PIXELS_AT_ONCE = WARPS / WARPS_K * LANES_N;
  static_assert(TILE_N % PIXELS_AT_ONCE == 0, "all threads copy equally many values of the window tile");
  static constexpr int LOADS = TILE_N / PIXELS_AT_ONCE;

  // `start(pixel)` is where in `source` the window of a Pixel begins.
  template <class Start>
  __device__ WindowLoader(const Problem& p, const float* source, const int* k_bytes, int first_pixel, int step,
                          Start start)
      : next_(k_bytes + step * TILE_K + k()) {
    const float* origin = source + start(Pixel(p, first_pixel));
    origin_ = reinterpret_cast<const char*>(origin);
#pragma unroll
    for (int i = 0; i < LOADS; ++i) {
      // Pixels beyond the last read the last one's values: what is computed of them is not stored.
      const Pixel at(p, min(first_pixel + first_column() + i * PIXELS_AT_ONCE, p.pixels() - 1));
      pixel_bytes_[i] = static_cast<unsigned>((source + start(at) - origin) * sizeof(float));
      if (PADDED) taps_[i] = taps_inside(p, at);
    }
    k_bytes_ = __ldg(next_);
    if (PADDED) {
      next_taps_ = next_ + taps_table<TILE_K>(p);
      k_taps_ = __ldg(next_taps_);
    }
  }
  // Where in a stage's window tile this thread's first copy goes.
  __device__ static int offset() { return (k() * ROW + first_column()) * sizeof(float); }
  // Starts copying the next TILE_K values of the reduction; `to` is the tile's address plus `offset`.
  __device__ void start(SharedAddress to) {
    const char* from = optimization_barrier(origin_ + k_bytes_);
#pragma unroll
    for (int i = 0; i < LOADS; ++i) {
      const SharedAddress place = to + i * PIXELS_AT_ONCE * sizeof(float);
      if (PADDED) {  // a window may begin before that of the tile's first pixel
        copy_async_unless(place, from + static_cast<int>(pixel_bytes_[i]), k_taps_ & ~taps_[i]);
      } else {
        copy_async_unless_negative(place, from + pixel_bytes_[i], k_bytes_);
      }
    }
    next_ += TILE_K;
    k_bytes_ = __ldg(next_);
    if (PADDED) k_taps_ = __ldg(next_taps_ += TILE_K);
  }
  // The two halves of `start` without asynchronous copies: into registers, and from there to shared memory.
  __device__ void fetch() {
    const char* from = optimization_barrier(origin_ + k_bytes_);
#pragma unroll
    for (int i = 0; i < LOADS; ++i) {
      fetched_[i] = k_bytes_ < 0 ? 0.0f : __ldg(reinterpret_cast<const float*>(from + pixel_bytes_[i]));
    }
    next_ += TILE_K;
    k_bytes_ = __ldg(next_);
  }
  __device__ void put(SharedAddress to) const {
#pragma unroll
    for (int i = 0; i < LOADS; ++i) write_shared(to + i * PIXELS_AT_ONCE * sizeof(float), fetched_[i]);
  }

 private:
  __device__ static int k() { return threadIdx.x / 32 % WARPS_K * LANES_K + threadIdx.x % LANES_K; }
  __device__ static int first_column() {
    return threadIdx.x / 32 / WARPS_K * LANES_N + threadIdx.x % 32 / LANES_K;
  }

  const char* origin_;
  const int *next_, *next_taps_;
  int k_bytes_;
  unsigned k_taps_, pixel_bytes_[LOADS], taps_[LOADS];
  float fetched_[LOADS];
};

// Where a pixel's window begins: in the window tensor, and in X.
struct WindowStart {
  const Problem& p;
  __device__ long long operator()(const Pixel& at) const {
    return (static_cast<long long>(at.image) * p.in_channels * p.out_height + at.row) * p.window_row() +
           at.column * p.stride_w * p.kernel_h;
  }
};
struct InputStart {
  const Problem& p;
  __device__ long long operator()(const Pixel& at) const {
    return (static_cast<long long>(at.image) * p.in_channels * p.height + at.first_row(p)) * p.width +
           at.first_column(p);
  }
};

// As WindowLoader, but a warp copies 32 neighbouring pixels of one k: in X itself those are contiguous (stride 1).
template <int TILE_N, int TILE_K, int ROW, int THREADS, bool PADDED = false>
class PixelLoader {
 public:
  static_assert(THREADS % TILE_N == 0, "each thread keeps to one pixel of the window tile");
  static constexpr int LOADS = TILE_K * TILE_N / THREADS;
  static_assert(LOADS % VECTOR == 0, "the table is read 16 bytes at a time");

  template <class Start>
  __device__ PixelLoader(const Problem& p, const float* source, const int* k_bytes, int first_pixel, int step,
                         Start start)
      : next_(k_bytes + step * TILE_K + first_k()) {
    const Pixel at(p, min(first_pixel + pixel(), p.pixels() - 1));
    pixel_ = reinterpret_cast<const char*>(source + start(at));
    if (PADDED) {
      taps_ = taps_inside(p, at);
      next_taps_ = next_ + taps_table<TILE_K>(p);
    }
    read_table();
  }
  __device__ static int offset() { return (first_k() * ROW + pixel()) * sizeof(float); }
  __device__ void start(SharedAddress to) {
#pragma unroll
    for (int i = 0; i < LOADS; ++i) {
      const char* from = pixel_ + static_cast<unsigned>(k_bytes_[i]);
      if (PADDED) {
        copy_async_unless(to + i * ROW * sizeof(float), from, k_taps_[i] & ~taps_);
      } else {
        copy_async_unless_negative(to + i * ROW * sizeof(float), from, k_bytes_[i]);
      }
    }
    next_ += TILE_K;
    if (PADDED) next_taps_ += TILE_K;
    read_table();
  }

 private:
  __device__ static int pixel() { return threadIdx.x % TILE_N; }
  __device__ static int first_k() { return threadIdx.x / TILE_N * LOADS; }
  __device__ void read_table() {
#pragma unroll
    for (int i = 0; i < LOADS; i += VECTOR) {
      const int4 four = __ldg(reinterpret_cast<const int4*>(next_ + i));
      k_bytes_[i] = four.x, k_bytes_[i + 1] = four.y, k_bytes_[i + 2] = four.z, k_bytes_[i + 3] = four.w;
      if (!PADDED) continue;
      const int4 taps = __ldg(reinterpret_cast<const int4*>(next_taps_ + i));
      k_taps_[i] = taps.x, k_taps_[i + 1] = taps.y, k_taps_[i + 2] = taps.z, k_taps_[i + 3] = taps.w;
    }
  }

  const char* pixel_;
  const int *next_, *next_taps_;
  int k_bytes_[LOADS];
  unsigned taps_, k_taps_[LOADS];
};

// Brings TILE_K x TILE_M values of the reordered filter F'[k][padded_channels] into shared memory, WIDTH floats at a
// time. The filter is padded with zeros to whole tiles: no bounds to check.
template <int TILE_M, int TILE_K, int THREADS, int WIDTH>
class FilterLoader {
 public:
  static constexpr int ROW = TILE_M / WIDTH;  // copies in a row of the tile
  static constexpr int COPIES = TILE_K * ROW, LOADS = (COPIES + THREADS - 1) / THREADS;

  __device__ FilterLoader(const float* filter, int padded_channels, int first_channel, int step)
      : step_bytes_(TILE_K * padded_channels * sizeof(float)) {
    next_ = reinterpret_cast<const char*>(filter + static_cast<long long>(step) * TILE_K * padded_channels + first_channel);
#pragma unroll
    for (int i = 0; i < LOADS; ++i) {
      const int copy = i * THREADS + threadIdx.x;
      copy_bytes_[i] = (copy / ROW * padded_channels + copy % ROW * WIDTH) * sizeof(float);
    }
  }
  __device__ static int offset() { return threadIdx.x * WIDTH * sizeof(float); }
  __device__ void start(SharedAddress to) {
#pragma unroll
    for (int i = 0; i < LOADS; ++i) {
      if (COPIES % THREADS != 0 && i * THREADS + threadIdx.x >= COPIES) break;
      copy_async<WIDTH * sizeof(float)>(to + i * THREADS * WIDTH * sizeof(float), next_ + copy_bytes_[i]);
    }
    next_ += step_bytes_;
  }
  // As in WindowLoader.
  __device__ void fetch() {
#pragma unroll
    for (int i = 0; i < LOADS; ++i) {
      if (COPIES % THREADS != 0 && i * THREADS + threadIdx.x >= COPIES) break;
      fetched_[i] = __ldg(reinterpret_cast<const float4*>(next_ + copy_bytes_[i]));
    }
    next_ += step_bytes_;
  }
  __device__ void put(SharedAddress to) const {
    static_assert(WIDTH == VECTOR, "only whole vectors are fetched");
#pragma unroll
    for (int i = 0; i < LOADS; ++i) {
      if (COPIES % THREADS != 0 && i * THREADS + threadIdx.x >= COPIES) break;
      write_shared(to + i * THREADS * WIDTH * sizeof(float), fetched_[i]);
    }
  }

 private:
  const char* next_;
  unsigned step_bytes_, copy_bytes_[LOADS];
  float4 fetched_[LOADS];
};

// As FilterLoader, from F itself, where neighbouring k of an output channel are contiguous: a warp copies 8 k of 4 channels
// at a time. More copies, but F need not be reordered first.
template <int TILE_M, int TILE_K, int ROW, int THREADS>
class PlainFilterLoader {
 public:
  static constexpr int LANES_M = 32 / TILE_K, CHANNELS_AT_ONCE = THREADS / 32 * LANES_M;
  static_assert(TILE_K == 8 && TILE_M % CHANNELS_AT_ONCE == 0, "each thread keeps to one k, and all copy equally many");
  static constexpr int LOADS = TILE_M / CHANNELS_AT_ONCE;

  __device__ PlainFilterLoader(const Problem& p, const float* filter, int first_channel, int step)
      : left_(p.reduction() - step * TILE_K - k() - 1) {
    const int reduction = p.reduction();
    next_ = reinterpret_cast<const char*>(filter + static_cast<long long>(first_channel) * reduction + step * TILE_K + k());
#pragma unroll
    for (int i = 0; i < LOADS; ++i) {
      // Channels beyond the last read the last one's values: what is computed of them is not stored.
      const int channel = min(first_row() + i * CHANNELS_AT_ONCE, p.out_channels - 1 - first_channel);
      channel_bytes_[i] = static_cast<unsigned>(channel * sizeof(float)) * reduction;
    }
  }
  __device__ static int offset() { return (k() * ROW + first_row()) * sizeof(float); }
  __device__ void start(SharedAddress to) {
#pragma unroll
    for (int i = 0; i < LOADS; ++i) {
      copy_async_unless_negative(to + i * CHANNELS_AT_ONCE * sizeof(float), next_ + channel_bytes_[i], left_);
    }
    next_ += TILE_K * sizeof(float);
    left_ -= TILE_K;
  }

 private:
  __device__ static int k() { return threadIdx.x % TILE_K; }
  __device__ static int first_row() { return threadIdx.x / 32 * LANES_M + threadIdx.x % 32 / TILE_K; }

  const char* next_;
  int left_;  // how many values of the reduction follow this thread's next one
  unsigned channel_bytes_[LOADS];
};

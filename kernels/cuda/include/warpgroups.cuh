// What the kernels of producing and multiplying warpgroups share.
#pragma once
#include "overlap.cuh"
#include "tensor_core.cuh"
#include "wgmma.cuh"

// Where the ring of buffers stands: the next buffer, and the parity of the round.
template <int STAGES>
struct Ring {
  int stage = 0;
  unsigned parity = 0;
  __device__ void next() {
    if (++stage == STAGES) stage = 0, parity ^= 1;
  }
};

// Descriptor of a tile (see ROW_BYTES) that starts at a multiple of 1024 bytes: rows of 128 bytes along K, swizzled,
// groups of eight rows 1024 bytes apart. Adding bytes / 16 to it moves along the row.
__device__ inline unsigned long long tile_descriptor(unsigned address) {
  constexpr unsigned long long SWIZZLE_128 = 1ull << 62, EIGHT_ROWS = 8ull * ROW_BYTES / 16 << 32, UNUSED = 1ull << 16;
  return SWIZZLE_128 | EIGHT_ROWS | UNUSED | (address & 0x3ffff) >> 4;
}

// Writes the results of a consumer's warp, 16 channels x N columns. A thread has two rows and two of every eight columns;
// they pass through shared memory, so that each instruction writes neighbouring outputs of one channel: writing pairs
// straight from registers took most of the time of short reductions.
//
// COLUMNS says where a column's output lies: is_output(column), output_index(column), its place in Y in the first
// channel, and pixel(column). FUSES: whether there is an epilogue, for which registers may be missing.
template <int N, class COLUMNS, bool FUSES = true>
struct WarpOutput {
  static constexpr int ROWS = 16;
  // Floats from row to row of the buffer: four rows of two neighbours from four lanes meet no bank conflict.
  static constexpr int ROW = EPILOGUE_COLUMNS + EPILOGUE_PAD, BUFFER = ROWS * ROW;

  const Problem& p;
  const Epilogue& epilogue;
  COLUMNS columns;
  float* y;
  int channel, end;  // the warp's first, and the first that is not computed

  // results[j][0..1] are in the thread's first row, [2..3] in its second. `buffer` is the warp's own. Returns whether
  // all that this thread wrote is finite.
  __device__ bool store(const float (&results)[N / 8][4], RowFactors factors, float* buffer) const {
    const int lane = threadIdx.x % 32;
    const long long plane = p.pixels_per_image();
    float* const own = buffer + lane / 4 * ROW + lane % 4 * 2;
    float check = 0.0f;  // NaN as soon as one result is not finite
#pragma unroll
    for (int group = 0; group < N; group += EPILOGUE_COLUMNS) {
      __syncwarp();
#pragma unroll
      for (int j = 0; j < EPILOGUE_COLUMNS / 8 && group + 8 * j < N; ++j) {
        const float* const of = results[group / 8 + j];
        *reinterpret_cast<float2*>(own + 8 * j) = make_float2(fmaf(of[0], factors.first, factors.first_bias),
                                                              fmaf(of[1], factors.first, factors.first_bias));
        *reinterpret_cast<float2*>(own + 8 * j + 8 * ROW) = make_float2(fmaf(of[2], factors.second, factors.second_bias),
                                                                        fmaf(of[3], factors.second, factors.second_bias));
      }
      __syncwarp();
      if (group + lane >= N || !columns.is_output(group + lane)) continue;
      float* to = y + columns.output_index(group + lane) + channel * plane;
      if (!FUSES || !epilogue.has_more()) {
#pragma unroll
        for (int row = 0; row < ROWS; ++row, to += plane) {
          if (channel + row >= end) break;
          const float value = buffer[row * ROW + lane];
          *to = value;
          check = fmaf(value, 0.0f, check);
        }
      } else {
        constexpr int BATCH = 8;  // loads in flight
#pragma unroll 1
        for (int first = 0; first < ROWS; first += BATCH, to += BATCH * plane) {
          float added[BATCH];
#pragma unroll
          for (int row = 0; row < BATCH; ++row) {
            added[row] = channel + first + row < end ? epilogue.residual_at(to - y + row * plane) : 0.0f;
          }
#pragma unroll
          for (int row = 0; row < BATCH; ++row) {
            if (channel + first + row >= end) break;
            const float value = buffer[(first + row) * ROW + lane];
            to[row * plane] = epilogue.after(value, added[row]);
            check = fmaf(value, 0.0f, check);
          }
        }
      }
    }
    return check == 0.0f;
  }

  // The guard: computes again, in strict FP32, what this thread wrote and is not finite, over [first_k, last_k) of the
  // reduction. For all lanes of a warp.
  __device__ void store_strict(const float* x, const float* f, int first_k, int last_k) const {
#pragma unroll 1
    for (int group = 0; group < N; group += EPILOGUE_COLUMNS) {
      const int column = group + threadIdx.x % 32;
      const bool is_output = column < N && columns.is_output(column);
      const long long plane = p.pixels_per_image(), first = columns.output_index(column) + channel * plane;
      unsigned wrong = 0;  // a bit for each row; the loads are in flight together
#pragma unroll
      for (int row = 0; row < ROWS; ++row) {
        if (is_output && channel + row < end && !is_finite(y[first + row * plane])) wrong |= 1u << row;
      }
#pragma unroll 1
      for (unsigned rows = __reduce_or_sync(0xffffffffu, wrong); rows != 0; rows &= rows - 1) {
        const int row = __ffs(rows) - 1;
        const bool is_wrong = wrong >> row & 1;
        const long long index = first + row * plane;
        const float sum = strict_sums(p, x, f, is_wrong, columns.pixel(column), channel + row, first_k,
                                      min(last_k, p.reduction()));
        if (is_wrong) y[index] = epilogue(sum, channel + row, index);
      }
    }
  }
};

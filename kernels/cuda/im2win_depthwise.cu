// Depthwise convolution: each channel by itself, so that every value of X is worth KERNEL^2 multiply-adds and no more, and
// what counts is how fast X and Y pass through. Neighbouring windows share their values in registers, down and across.
#include "include/planes.cuh"

// A block computes `planes` neighbouring planes of Y, or `tile.rows` rows of one. Both are one run of Y, and what they need
// of X is one run too. A thread computes ROWS x COLUMNS outputs: it reads each row of X that they need once, and keeps the
// filter in registers. Neighbouring threads lie COLUMNS apart: an odd number, so that at stride 1 their reads meet few bank
// conflicts. Y goes through shared memory, from where it is stored 16 bytes at a time whatever its width.
//
// Grid: x covers the planes of Y and the `bands` of each. `strips` x `across` threads share a plane's tile.
template <int KERNEL, int STRIDE, int ROWS, int COLUMNS>
__global__ __launch_bounds__(DEPTHWISE_THREADS, DEPTHWISE_BLOCKS) void im2win_depthwise(
    const float* __restrict__ x, const float* __restrict__ f, float* __restrict__ y, int planes, int bands, int strips,
    int across, PLANES_PARAMETERS, PROBLEM_PARAMETERS) {
  constexpr int WINDOW = KERNEL * KERNEL, VALUES = (COLUMNS - 1) * STRIDE + KERNEL;
  extern __shared__ unsigned char dynamic[];
  const Problem p = PROBLEM_ARGUMENTS;
  const PlaneTile tile = PLANES_ARGUMENTS;
  // The filters, then the tile of X; the outputs take the tile's place.
  float* const weights = reinterpret_cast<float*>(dynamic);
  float* const cells = weights + (planes * WINDOW + VECTOR - 1) / VECTOR * VECTOR;

  const int band = blockIdx.x % bands, first = blockIdx.x / bands * planes;
  const int here = min(planes, p.batch * p.out_channels - first);
  const int multiplier = p.out_channels / p.in_channels, first_input = first / multiplier;
  const TileCorner corner(p, band * tile.rows, 0);
  const int inputs = (first + here - 1) / multiplier - first_input + 1;
  load_planes(p, x, shared_address(cells), tile, corner,
              [=](int plane) -> long long { return plane < inputs ? first_input + plane : -1; });
  for (int i = threadIdx.x; i < here * WINDOW; i += blockDim.x) {
    const int channel = (first + i / WINDOW) % p.out_channels;
    copy_async<sizeof(float)>(shared_address(weights + i), f + channel * WINDOW + i % WINDOW);
  }
  end_copies();

  const int group = threadIdx.x % across, strip = threadIdx.x / across % strips, plane = threadIdx.x / (across * strips);
  const bool active = plane < here;
  float sums[ROWS][COLUMNS] = {};
  wait_for_copies<0>();
  __syncthreads();
  if (active) {
    float filter[WINDOW];
#pragma unroll
    for (int i = 0; i < WINDOW; ++i) filter[i] = weights[plane * WINDOW + i];
    const float* line = cells + ((first + plane) / multiplier - first_input) * tile.plane() +
                        strip * (ROWS * STRIDE) * tile.pitch() + corner.early + group * (COLUMNS * STRIDE);
#pragma unroll
    for (int i = 0; i < (ROWS - 1) * STRIDE + KERNEL; ++i) {
      float values[VALUES];
#pragma unroll
      for (int j = 0; j < VALUES; ++j) values[j] = line[j];
      line += tile.pitch();
#pragma unroll
      for (int row = 0; row < ROWS; ++row) {
        const int u = i - row * STRIDE;
        if (u < 0 || u >= KERNEL) continue;
#pragma unroll
        for (int v = 0; v < KERNEL; ++v) {
#pragma unroll
          for (int column = 0; column < COLUMNS; ++column) {
            sums[row][column] = fmaf(values[column * STRIDE + v], filter[u * KERNEL + v], sums[row][column]);
          }
        }
      }
    }
  }
  __syncthreads();

  // In shared memory a value of Y lies as far behind a 16-byte boundary as in device memory.
  const int rows = min(tile.rows, p.out_height - band * tile.rows), outputs = here * rows * p.out_width;
  float* const target = y + static_cast<long long>(first) * p.pixels_per_image() + band * tile.rows * p.out_width;
  const int behind = reinterpret_cast<unsigned long long>(target) / sizeof(float) % VECTOR;
  float* const staged = cells + behind;
  if (active) {
    float* to = staged + (plane * rows + strip * ROWS) * p.out_width + group * COLUMNS;
#pragma unroll
    for (int row = 0; row < ROWS; ++row) {
#pragma unroll
      for (int column = 0; column < COLUMNS; ++column) {
        if (strip * ROWS + row < rows && group * COLUMNS + column < p.out_width) to[column] = sums[row][column];
      }
      to += p.out_width;
    }
  }
  __syncthreads();
  for (int i = threadIdx.x * VECTOR - behind; i < outputs; i += blockDim.x * VECTOR) {
    if (i >= 0 && i + VECTOR <= outputs) {
      *reinterpret_cast<float4*>(target + i) = *reinterpret_cast<const float4*>(staged + i);
    } else {
#pragma unroll
      for (int j = 0; j < VECTOR; ++j) {
        if (i + j >= 0 && i + j < outputs) target[i + j] = staged[i + j];
      }
    }
  }
}

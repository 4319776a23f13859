// Rows of several planes of X in shared memory, with the zeros of the padding: what the kernels for grouped convolutions
// compute from. A plane is one channel of one image.
#pragma once
#include "convolution.cuh"
#include "shared_memory.cuh"

// Kernel arguments of kernels/tiles/planes.py, in this order.
#define PLANES_PARAMETERS                                                                                            \
  int tile_rows, int tile_columns, int tile_planes, int tile_cells, int plane_rows, int tile_pitch, unsigned pitch_multiplier, \
      unsigned pitch_shift
#define PLANES_ARGUMENTS \
  {tile_rows, tile_columns, tile_planes, tile_cells, plane_rows, {tile_pitch, pitch_multiplier, pitch_shift}}

// Cell i of a plane is column i % pitch of row i / pitch. Rows lie so close that the zeros to the right of one are those to
// the left of the next, and likewise planes, if the tile holds them from top to bottom.
struct PlaneTile {
  int rows, columns, planes;  // output rows and columns that a tile serves, and the planes that it holds
  int cells, plane_rows;      // floats to fill, and rows from a plane to the next
  FastDivision by_pitch;

  __device__ int pitch() const { return by_pitch.divisor; }
  // Floats from one plane to the next.
  __device__ int plane() const { return plane_rows * by_pitch.divisor; }
};

// Where in X, padding included, the tile begins whose first output is (row, column). If whole vectors can be copied, it
// begins at one, up to three columns early: the first window then begins at cell `early`.
struct TileCorner {
  int row, column, early;
  __device__ TileCorner(const Problem& p, int output_row, int output_column) {
    const int first = output_column * p.stride_w - p.pad_left;
    row = output_row * p.stride_h - p.pad_top;
    column = p.width % VECTOR == 0 ? first & -VECTOR : first;
    early = first - column;
  }
};

template <int WIDTH, class PlaneOf>
__device__ void load_cells(const Problem& p, const float* __restrict__ x, SharedAddress to, const PlaneTile& tile,
                           const TileCorner& corner, PlaneOf plane_of) {
  // A thread takes the same cell of several planes: where it lies is worked out once. Small planes are loaded side by side.
  const int threads = blockDim.x, copies = tile.plane() / WIDTH, together = max(1, threads / copies);
  const int first = together > 1 ? threadIdx.x / copies : 0, step = together > 1 ? copies : threads;
  if (first >= together) return;
  for (int i = threadIdx.x - first * copies; i < copies; i += step) {
    const int line = tile.by_pitch.quotient(i * WIDTH);
    const int row = corner.row + line, column = corner.column + i * WIDTH - line * tile.pitch();
    const float* const from = x + row * p.width + column;
    const bool inside = is_inside(row, p.height) && is_inside(column, p.width);
    // What lies behind the last plane is the zeros below its last row, those above the first row of a plane.
    int cell = i * WIDTH + first * tile.plane();
    for (int plane = first; cell < tile.cells; plane += together, cell += together * tile.plane()) {
      const long long number = plane_of(plane);
      const SharedAddress at = to + cell * sizeof(float);
      if (inside && number >= 0) {
        copy_async<WIDTH * sizeof(float)>(at, from + number * (p.height * p.width));
      } else if constexpr (WIDTH == VECTOR) {
        write_shared(at, make_float4(0.0f, 0.0f, 0.0f, 0.0f));
      } else {
        write_shared(at, 0.0f);
      }
    }
  }
}

// All threads of the block start copies into a tile, and write its zeros; the caller waits for both. `plane_of(i)` is the
// number in X of the tile's plane i, in 64 bits, or negative if there is none.
template <class PlaneOf>
__device__ void load_planes(const Problem& p, const float* __restrict__ x, SharedAddress to, const PlaneTile& tile,
                            const TileCorner& corner, PlaneOf plane_of) {
  if (p.width % VECTOR == 0 && reinterpret_cast<unsigned long long>(x) % (VECTOR * sizeof(float)) == 0) {
    load_cells<VECTOR>(p, x, to, tile, corner, plane_of);
  } else {
    load_cells<1>(p, x, to, tile, corner, plane_of);
  }
}

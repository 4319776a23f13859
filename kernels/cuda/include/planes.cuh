// Rows of several planes of X in shared memory, with the zeros of the padding: what the kernels for grouped convolutions
// compute from. A plane is one channel of one image.
#pragma once
#include "convolution.cuh"
#include "shared_memory.cuh"

// Kernel arguments of kernels/tiles/planes.py, in this order.
#define PLANES_PARAMETERS                                                                                      \
  int tile_rows, int tile_columns, int tile_cells, int tile_pitch, unsigned pitch_multiplier, unsigned pitch_shift, \
      int plane_rows, unsigned plane_multiplier, unsigned plane_shift
#define PLANES_ARGUMENTS                                                             \
  {tile_rows, tile_columns, tile_cells, {tile_pitch, pitch_multiplier, pitch_shift}, \
   {plane_rows, plane_multiplier, plane_shift}}

// Cell i of a tile is column i % pitch of row i / pitch; each plane has plane_rows rows. Rows lie so close that the zeros to
// the right of one are those to the left of the next, and likewise planes, if the tile holds them from top to bottom.
struct PlaneTile {
  int rows, columns, cells;  // output rows and columns that a tile serves, and floats of shared memory to fill
  FastDivision by_pitch, by_plane;

  __device__ int pitch() const { return by_pitch.divisor; }
  // Floats from one plane to the next.
  __device__ int plane() const { return by_plane.divisor * by_pitch.divisor; }
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
                           const TileCorner& corner, int planes, PlaneOf plane_of) {
  for (int i = threadIdx.x * WIDTH; i < tile.cells; i += blockDim.x * WIDTH) {
    const int line = tile.by_pitch.quotient(i), plane = tile.by_plane.quotient(line);
    const int row = corner.row + line - plane * tile.by_plane.divisor, column = corner.column + i - line * tile.pitch();
    const SharedAddress cell = to + i * sizeof(float);
    if (is_inside(row, p.height) && is_inside(column, p.width) && plane < planes) {
      copy_async<WIDTH * sizeof(float)>(cell, x + plane_of(plane) * (p.height * p.width) + (row * p.width + column));
    } else if constexpr (WIDTH == VECTOR) {
      write_shared(cell, make_float4(0.0f, 0.0f, 0.0f, 0.0f));
    } else {
      write_shared(cell, 0.0f);
    }
  }
}

// All threads of the block start copies into a tile of `planes` planes, and write its zeros; the caller waits for both.
// `plane_of(i)` is the number of the tile's plane i in X, in 64 bits.
template <class PlaneOf>
__device__ void load_planes(const Problem& p, const float* __restrict__ x, SharedAddress to, const PlaneTile& tile,
                            const TileCorner& corner, int planes, PlaneOf plane_of) {
  if (p.width % VECTOR == 0 && reinterpret_cast<unsigned long long>(x) % (VECTOR * sizeof(float)) == 0) {
    load_cells<VECTOR>(p, x, to, tile, corner, planes, plane_of);
  } else {
    load_cells<1>(p, x, to, tile, corner, planes, plane_of);
  }
}

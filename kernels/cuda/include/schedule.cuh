// Which part of the output a block computes, and how the blocks share the work.
#pragma once
#include "convolution.cuh"
#include "shared_memory.cuh"

// The part of the output that a block computes at one time. Tiles are numbered with the output channels running fastest:
// neighbouring tiles read the same pixels, and find them in the L2 cache.
template <int TILE_M, int TILE_N>
struct Tile {
  int first_channel, first_pixel;
  __device__ Tile(const Problem& p, int number) {
    const int tiles_m = (p.out_channels + TILE_M - 1) / TILE_M;
    first_channel = number % tiles_m * TILE_M;
    first_pixel = number / tiles_m * TILE_N;
  }
  __device__ static int count(const Problem& p) {
    return (p.out_channels + TILE_M - 1) / TILE_M * ((p.pixels() + TILE_N - 1) / TILE_N);
  }
};

// Steps first .. last - 1 of the reduction of one tile.
struct Steps {
  int tile, first, last;
  // How many values of the reduction the last step has, if not as many as the others; else 0.
  __device__ int tail(int reduction, int values_per_step) const {
    const int values = reduction - (last - 1) * values_per_step;
    return values < values_per_step ? values : 0;
  }
};

// A block's share of the work is a range of steps, TILE_K of the reduction of one tile each; the steps of one tile
// follow those of the one before ("stream-K", Osama et al., PPoPP 2023). So all blocks do the same number of steps,
// whatever the number of tiles; with steps_per_block = steps of a tile, each block computes one tile. A segment is a
// block's steps in one tile.
//
// Blocks that share a tile add into Y one after the other (Semaphores): the fix-up of stream-K. The block with the tile's
// last steps comes first, since it began with them, while the block with the first steps ends with them. The order is fixed,
// so results repeat bit for bit. A block waits only for blocks of lower blockIdx, which were started before it.
class Segment : public Steps {
 public:
  // `position` is the segment's first step, counted over all tiles.
  __device__ Segment(int position, int steps_per_tile, int steps_per_block, int tiles) {
    tile = position / steps_per_tile;
    first = position - tile * steps_per_tile;
    last = min(steps_per_tile, first + end(steps_per_tile, steps_per_block, tiles) - position);
    const int last_block = ((tile + 1) * steps_per_tile - 1) / steps_per_block;
    order_ = last_block - block();
    blocks_ = last_block - tile * steps_per_tile / steps_per_block + 1;
  }
  __device__ static int begin(int steps_per_block) { return block() * steps_per_block; }
  __device__ static int end(int steps_per_tile, int steps_per_block, int tiles) {
    return min((block() + 1) * steps_per_block, tiles * steps_per_tile);
  }

  // How many blocks add to the tile before this one, or ALONE if no other has steps of it.
  static constexpr int ALONE = -1;
  __device__ int order() const { return blocks_ == 1 ? ALONE : order_; }
  // Whether this block is the last one at its tile.
  __device__ bool ends() const { return first == 0; }
  // How many blocks have steps of the tile.
  __device__ int blocks() const { return blocks_; }

 private:
  __device__ static int block() { return gridDim.x - 1 - block_index(); }

  int order_, blocks_;
};

// The ordered semaphores of the stream-K fix-up. A warp stores its outputs of a tile in PARTS parts, and for each part there
// is a number in device memory: how many of the tile's blocks have added theirs. The same warp of the next block waits for
// it. So while one block adds to a part, the next one adds to the part before. That pays if many blocks share the tile: up
// to `share_up_to` blocks use one semaphore for all parts.
template <int PARTS>
class Semaphores {
 public:
  // `semaphores` has PARTS numbers for each tile and each of the block's `warps`, all of them 0.
  __device__ Semaphores(int* semaphores, int warps, const Segment& segment, int share_up_to)
      : semaphores_(semaphores),
        first_((segment.tile * warps + threadIdx.x / 32) * PARTS),
        state_(4 * segment.order() + 2 * (segment.blocks() > share_up_to) + segment.ends()) {}

  // Whether Y holds what other blocks have added so far; otherwise it is overwritten.
  __device__ bool add() const { return order() > 0; }
  // Waits until this warp may add to a part.
  __device__ void wait(int part) const {
    if (!add() || (!apart() && part > 0)) return;
    if (threadIdx.x % 32 == 0) {
      while (load_acquire(semaphores_ + first_ + part) != order()) {
      }
    }
    __syncwarp();
  }
  // Releases a part to the next block, once this warp has written it; the last block resets the semaphore to 0.
  __device__ void pass(int part) const {
    if (order() == Segment::ALONE || (!apart() && part < PARTS - 1)) return;
    __syncwarp();
    const int semaphore = apart() ? first_ + part : first_;
    if (threadIdx.x % 32 == 0) store_release(semaphores_ + semaphore, ends() ? 0 : order() + 1);
  }
  // The same for all parts, once this warp, whose block is the tile's first, has written them.
  __device__ void begin() const {
    if (order() == Segment::ALONE) return;
    __syncwarp();
    if (threadIdx.x % 32 < (apart() ? PARTS : 1)) store_release(semaphores_ + first_ + threadIdx.x % 32, 1);
  }

 private:
  __device__ int order() const { return state_ >> 2; }
  __device__ bool apart() const { return state_ & 2; }
  __device__ bool ends() const { return state_ & 1; }

  int* semaphores_;
  int first_, state_;  // two registers: the outputs take almost all others
};

// The window tensor of im2win_tensor_core_sliding: what its producers, or write_windows, make of X.
#pragma once
#include "position_descriptor.cuh"
#include "positions.cuh"

// What fills the planes of a K block and phase for a unit, which is a group of positions: a lane of a warp takes one of them.
class SlidingUnit {
 public:
  template <bool GENERAL>
  __device__ void load_values(const float* __restrict__ x, const int* __restrict__ offsets, const Problem& p, int k_blocks,
                              const Place& place, int k_block, int phase, int group) {
    unsigned inside = 0, start;
    if (GENERAL) {
      const Pixel at = place.pixel(p);
      const int moved = phase * p.dilation_w;
      start = find_window<GENERAL>(p, at, group) + moved * sizeof(float);
      if (is_inside(at.first_column(p) + moved, p.width)) {
        const int* const rows = offsets + k_blocks * K_BLOCK + k_block * (p.kernel_h + p.kernel_w);
        inside = values_inside_rows(p, at.first_row(p), rows);
      }
    } else {
      start = place.find_window(p, phase);
    }
    gather<GENERAL>(values_, x, start, offsets + k_block * K_BLOCK, inside);
  }

  // What undoes a unit's scale, negative if bits are lost. `number` is anything that tells units and K blocks apart.
  struct Factor {
    float factor;
    bool is_cut, has_lost;
    __device__ float value(int k_block, int number) const {
      const float longer = make_up_for_cuts<33>(factor, is_cut, k_block, number);
      return has_lost ? -longer : longer;
    }
  };

  // Calls `store` with each chunk and its parts. A unit has one scale, so that its positions can be shared by windows and
  // sums undo it with one factor.
  template <class Store>
  __device__ Factor split(int exponent_limit, const Store& store) const {
    Ranks ranks(values_);
    ranks.largest = __reduce_max_sync(0xffffffffu, ranks.largest);
    const KBlockScale scale(ranks.magnitude(), exponent_limit);
    const bool has_lost = __any_sync(0xffffffffu, ranks.lose_bits(scale.scale));
    unsigned rest = 0;
#pragma unroll
    for (int chunk = 0; chunk < CHUNKS; ++chunk) {
      const SplitChunk<2> split(values_ + chunk * CHUNK, scale.scale);
      store(chunk, split.parts);
      rest |= split.rest();
    }
    return {scale.factor, static_cast<bool>(__any_sync(0xffffffffu, rest != 0)), has_lost};
  }

 private:
  float values_[K_BLOCK];
};

// The im2win convolution on Hopper's tensor cores with error compensation: FP32 values as two or three FP16 values, the
// products of all parts that matter, FP32 sums outside the tensor core. See docs/tensor_cores.md.
//
// The window matrix is gathered straight from X; the window tensor is never formed. A block has two consumer
// warpgroups, which multiply, and PRODUCERS producer warpgroups, which gather, scale and split the pixels' windows into
// a ring of STAGES buffers and have the filter's tiles copied beside them. Blocks stay for several tiles, so that the
// producers gather the next one while the consumers write a result.
#include "include/warpgroups.cuh"

// A block computes 64 * WARPGROUPS_M output channels x PIXELS pixels at a time, each consumer 64 x N of them.
template <int WARPGROUPS_M, int N, int PRODUCERS, int STAGES, int PARTS>
struct Shape {
  static_assert(WARPGROUPS_M == 1 || WARPGROUPS_M == CONSUMER_WARPGROUPS, "the consumers lie beside each other");
  static constexpr int TILE_M = 64 * WARPGROUPS_M, PIXELS = N * (CONSUMER_WARPGROUPS / WARPGROUPS_M);
  static constexpr int THREADS = 128 * (CONSUMER_WARPGROUPS + PRODUCERS);
  static constexpr int FILTER_BYTES = (PARTS - 1) * WARPGROUPS_M * FILTER_TILE_BYTES;
  static constexpr int WINDOW_TILE_BYTES = PIXELS * ROW_BYTES, WINDOW_BYTES = (PARTS - 1) * WINDOW_TILE_BYTES;
  static constexpr int STAGE_BYTES = FILTER_BYTES + WINDOW_BYTES;
  static_assert(PARTS == 2 || WARPGROUPS_M == 1, "only one filter tile's parts lie behind each other");
  static_assert(N % 16 == 0, "factors are dealt in groups of 16");
  static_assert(STAGE_BYTES % TILE_ALIGNMENT == 0, "swizzled tiles are aligned");
  // The windows of 32 pixels in one K block are a warp's unit of work.
  static constexpr int UNITS = (PIXELS + 31) / 32, PRODUCER_WARPS = 4 * PRODUCERS;
  static_assert(PRODUCER_WARPS <= UNITS * STAGES, "a warp would lose track of the rounds of the ring");
  // A block starts with what its 64 Ki registers give each thread, in eights; the consumers take over what the
  // producers give back. Each consumer holds N / 2 sums and as many results.
  static constexpr int REGISTERS = REGISTER_FILE / THREADS / 8 * 8 * (CONSUMER_WARPGROUPS + PRODUCERS);  // a thread of each warpgroup
  static constexpr int PRODUCER_REGISTERS = PRODUCERS > 1 ? 64 : REGISTERS - CONSUMER_WARPGROUPS * (N + 24) / 8 * 8;
  static constexpr int CONSUMER_REGISTERS = (REGISTERS - PRODUCERS * PRODUCER_REGISTERS) / CONSUMER_WARPGROUPS / 8 * 8;
};

// The columns of a consumer's results, for WarpOutput.
struct Pixels {
  const TensorCorePlan& plan;
  int first;
  __device__ bool is_output(int column) const { return first + column < plan.problem.pixels(); }
  __device__ long long output_index(int column) const { return ::output_index(plan, first + column); }
  __device__ Pixel pixel(int column) const { return Pixel(plan.problem, first + column); }
};

// Adds a K block's sums to the results of one m16n8 piece: two columns, each with its factor.
template <int PARTS>
__device__ inline void promote(float (&results)[4], const float (&sums)[4], const float (&exact)[4], float first,
                               float second) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    results[i] = fmaf(sums[i], i % 2 ? second : first, results[i]);
    if (PARTS == 3) results[i] = fmaf(exact[i], i % 2 ? second : first, results[i]);
  }
}

// `filter_tiles` and `filter_factors` are split_filter's. `offsets[k]` is the distance in X from a window's first value
// to its k-th, in bytes, for `k_blocks` whole K blocks; those beyond K repeat the last one. GENERAL, for padding,
// dilation and groups: the bits of `values_inside` follow, for each K block. `y` takes `splits` partial results, each of Y's shape. Grid: at most as many blocks as there are multiprocessors. Dynamic shared memory: see
// kernels/tiles/tensor_core.py.
template <int WARPGROUPS_M, int N, int PRODUCERS, int STAGES, int PARTS, bool GENERAL>
__global__ __launch_bounds__(128 * (CONSUMER_WARPGROUPS + PRODUCERS), 1) void im2win_tensor_core_wgmma(
    const float* __restrict__ x, const float* __restrict__ f, const unsigned char* __restrict__ filter_tiles,
    const float* __restrict__ filter_factors, const int* __restrict__ offsets, float* __restrict__ y,
    TENSOR_CORE_PARAMETERS) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  using S = Shape<WARPGROUPS_M, N, PRODUCERS, STAGES, PARTS>;
  using Output = WarpOutput<N, Pixels>;
  extern __shared__ unsigned char dynamic[];
  unsigned char* const buffers = dynamic + (TILE_ALIGNMENT - shared_address(dynamic) % TILE_ALIGNMENT) % TILE_ALIGNMENT;
  float* const outputs = reinterpret_cast<float*>(buffers + STAGES * S::STAGE_BYTES);
  float* const factors = outputs + 4 * CONSUMER_WARPGROUPS * Output::BUFFER;  // [STAGES][PIXELS], dealt
  // [STAGES][UNITS], a bit for each pixel: whether one of its values lost bits.
  unsigned* const losses = reinterpret_cast<unsigned*>(factors + STAGES * S::PIXELS);
  float* const column_sums = reinterpret_cast<float*>(losses + (STAGES * S::UNITS + 1) / 2 * 2);  // [consumer][2][N]
  Barrier* const full = reinterpret_cast<Barrier*>(column_sums + CONSUMER_WARPGROUPS * 2 * N);
  Barrier* const empty = full + STAGES;

  const TensorCorePlan plan = TENSOR_CORE_ARGUMENTS;
  const Problem& p = plan.problem;
  const int tiles = TensorCoreTile::count(plan);
  const int warpgroup = threadIdx.x / 128, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  Ring<STAGES> ring;
  if (threadIdx.x == 0) {
    for (int i = 0; i < STAGES; ++i) {
      full[i].initialize(32 * S::UNITS + 1);  // the lanes of the units of windows, and the copy of the filter
      empty[i].initialize(4 * CONSUMER_WARPGROUPS);  // the consumers' warps
    }
    fence_barriers();
  }
  __syncthreads();
  // For the split filter. Every warp that gathers may be the one that has it copied.
  wait_for_prerequisite();

  if (warpgroup >= CONSUMER_WARPGROUPS) {
    reduce_registers<S::PRODUCER_REGISTERS>();
    int unit = warp - 4 * CONSUMER_WARPGROUPS;  // units go round the warps; counted from this K block's first
    for (int i = blockIdx.x; i < tiles; i += gridDim.x) {
      const TensorCoreTile tile = TensorCoreTile::find<GENERAL>(plan, i, S::TILE_M, S::PIXELS);
      for (int k_block = tile.first_k_block;; unit += S::PRODUCER_WARPS) {
        for (; unit >= S::UNITS && k_block < tile.last_k_block; unit -= S::UNITS, ring.next()) ++k_block;
        if (k_block == tile.last_k_block) break;
        const int row = unit * 32 + lane;
        const Pixel at = find_pixel(p, tile.first_pixel + row);
        unsigned inside = 0;
        if (GENERAL) {
          inside = values_inside(p, at, offsets + plan.k_blocks * K_BLOCK + k_block * (p.kernel_h + p.kernel_w));
        }
        float values[K_BLOCK];
        gather<GENERAL>(values, x, find_window<GENERAL>(p, at, tile.group), offsets + k_block * K_BLOCK, inside);
        unsigned char* const buffer = buffers + ring.stage * S::STAGE_BYTES;
        // The loads are in flight while this waits for a free stage.
        empty[ring.stage].wait(ring.parity ^ 1);
        if (unit == 0 && lane == 0) {
          full[ring.stage].arrive_and_expect(S::FILTER_BYTES);
          const long long from = filter_tile_offset<S::TILE_M, PARTS>(p, tile.filter_row, k_block);
          full[ring.stage].copy(buffer, filter_tiles + from, S::FILTER_BYTES);
        }
        const Ranks ranks(values);
        const KBlockScale scale(ranks.magnitude(), exponent_limit);
        const unsigned lost = __ballot_sync(0xffffffffu, ranks.lose_bits(scale.scale));
        if (lane == 0) losses[ring.stage * S::UNITS + unit] = lost;
        if (S::PIXELS % 32 == 0 || row < S::PIXELS) {
          const unsigned first_chunk = shared_address(buffer + S::FILTER_BYTES) + chunk_offset(row, 0);
          unsigned rest = 0;
#pragma unroll
          for (int chunk = 0; chunk < CHUNKS; ++chunk) {
            const SplitChunk<PARTS> split(values + chunk * CHUNK, scale.scale);
            rest |= split.rest();
#pragma unroll
            for (int part = 0; part < SplitChunk<PARTS>::STORED; ++part) {
              store_chunk(first_chunk + part / 2 * S::WINDOW_TILE_BYTES, part % 2 * CHUNKS + chunk, split.parts[part]);
            }
          }
          const bool is_cut = PARTS == 2 && rest != 0;  // the sums of three parts' largest products are exact
          factors[ring.stage * S::PIXELS + deal(row)] =
              make_up_for_cuts<34>(scale.factor, is_cut, k_block, row);
        }
        fence_shared_writes();
        full[ring.stage].arrive();  // every lane for itself, since each wrote a factor that threads read
      }
    }
  } else {
    raise_registers<S::CONSUMER_REGISTERS>();
    const int first_row = WARPGROUPS_M == 1 ? 0 : warpgroup * 64, first_column = WARPGROUPS_M == 1 ? warpgroup * N : 0;
    const auto output_of = [&](const TensorCoreTile& tile) {
      const int channel = tile.first_channel + first_row + warp % 4 * Output::ROWS;
      const int end = end_of_group<GENERAL>(p, tile.first_channel);
      return Output{p, plan.epilogue, {plan, tile.first_pixel + first_column}, y + tile.output, channel, end};
    };
    constexpr int OWN = (N + 127) / 128;
    Suspects suspects;
    float sums[N / 8][4] = {}, exact[N / 8][4] = {};  // `exact` is there for three parts only
    for (int i = blockIdx.x; i < tiles; i += gridDim.x) {
      const TensorCoreTile tile = TensorCoreTile::find<GENERAL>(plan, i, S::TILE_M, S::PIXELS);
      float results[N / 8][4] = {};
      // Each thread of a consumer has a column, or two: the sum of its factors, negative if one of its values lost bits.
      float factor_sums[OWN] = {};
      bool has_lost[OWN] = {};
      full[ring.stage].wait(ring.parity);
      for (int k_block = tile.first_k_block; k_block < tile.last_k_block; ++k_block) {
        const int stage = ring.stage;
        const unsigned buffer = shared_address(buffers + stage * S::STAGE_BYTES);
        const unsigned long long a = tile_descriptor(buffer + first_row * ROW_BYTES);
        const unsigned long long b = tile_descriptor(buffer + S::FILTER_BYTES + first_column * ROW_BYTES);
        start_products();
#pragma unroll
        for (int product = 0; product < PART_PRODUCTS<PARTS>; ++product) {
          const PartProduct of = part_product<PARTS>(product);
          const bool last = PARTS == 3 && product == PART_PRODUCTS<PARTS> - 1;
#pragma unroll
          for (int k = 0; k < K_BLOCK; k += 16) {
            // Descriptors count in units of 16 bytes.
            const int from_a = (of.filter / 2 * FILTER_TILE_BYTES + of.filter % 2 * K_BLOCK * 2 + k * 2) / 16;
            const int from_b = (of.window / 2 * S::WINDOW_TILE_BYTES + of.window % 2 * K_BLOCK * 2 + k * 2) / 16;
            if (last) {
              multiply_tiles<N>(exact, a + from_a, b + from_b, k > 0);
            } else {
              multiply_tiles<N>(sums, a + from_a, b + from_b, product > 0 || k > 0);
            }
          }
        }
        commit_products();
        // A look at a barrier takes a hundred cycles: the next one is looked at meanwhile.
        ring.next();
        if (k_block + 1 < tile.last_k_block) full[ring.stage].wait(ring.parity);
        finish_products<N>(sums);
        if (PARTS == 3) finish_products<N>(exact);
        const float4* const undo = reinterpret_cast<const float4*>(
                                       factors + stage * S::PIXELS + first_column) + lane % 4;
#pragma unroll
        for (int j = 0; j < N / 8; j += 2) {
          const float4 factor = undo[j * 2];
          promote<PARTS>(results[j], sums[j], exact[j], factor.x, factor.y);
          promote<PARTS>(results[j + 1], sums[j + 1], exact[j + 1], factor.z, factor.w);
        }
#pragma unroll
        for (int i = 0; i < OWN; ++i) {
          const int row = first_column + min(i * 128 + static_cast<int>(threadIdx.x % 128), N - 1);
          factor_sums[i] += factors[stage * S::PIXELS + deal(row)];
          has_lost[i] |= losses[stage * S::UNITS + row / 32] >> row % 32 & 1;
        }
        __syncwarp();
        if (lane == 0) empty[stage].arrive();
      }
      const Output output = output_of(tile);
      const RowFactors row_factors(filter_factors, plan.epilogue, output.channel + lane / 4, output.end);
      // Two buffers in turn: another warp of the consumer may still read the last tile's.
      float* const sums_of = column_sums + (warpgroup * 2 + i / gridDim.x % 2) * N;
#pragma unroll
      for (int i = 0; i < OWN; ++i) {
        const int column = i * 128 + threadIdx.x % 128;
        if (column < N) sums_of[column] = has_lost[i] ? -factor_sums[i] : factor_sums[i];
      }
      synchronize_warpgroup(1 + warpgroup);
      ColumnFactors most = {};
      for (int column = lane; column < N; column += 32) {
        most.all = fmaxf(most.all, fabsf(sums_of[column])), most.lost = fmaxf(most.lost, -sums_of[column]);
      }
      if (__any_sync(0xffffffffu, most.lost > 0.0f || row_factors.first_lost || row_factors.second_lost)) {
        const AccuracyLimit limit(p);
        most = {max_of_warp(most.all), max_of_warp(most.lost)};
        const bool may_be = __any_sync(0xffffffffu, may_be_inaccurate(results, limit, most, row_factors));
#pragma unroll
        for (int j = 0; may_be && j < N / 8; ++j) {
          ColumnFactors first = {}, second = {};
          first.add(sums_of[8 * j + lane % 4 * 2]), second.add(sums_of[8 * j + lane % 4 * 2 + 1]);
          check_accuracy(results[j], limit, first, second, row_factors);
        }
      }
      const bool finite = output.store(results, row_factors, outputs + warp * Output::BUFFER);
      suspects.add(i, __any_sync(0xffffffffu, !finite));
    }
    for (int i = blockIdx.x; i < tiles; i += gridDim.x) {
      if (!suspects.has(i)) continue;
      const TensorCoreTile tile = TensorCoreTile::find<GENERAL>(plan, i, S::TILE_M, S::PIXELS);
      output_of(tile).store_strict(x, f, tile.first_k_block * K_BLOCK, tile.last_k_block * K_BLOCK);
    }
  }
#endif
}

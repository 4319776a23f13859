// im2win_fused.cu for a short reduction, as the first layer of a network has (3 x 3 of 3 channels), where more time goes
// into storing than into multiplying.
//
// The filter stays in shared memory, and a block computes one tile after the other: the next tile's window values arrive,
// and the last tile's outputs leave, while one is multiplied. Each step of the reduction stores one channel of them. So
// stores are spread evenly; as bursts at the ends of tiles they queue behind each other (H100, conv7: 440 us with a block
// for each tile, 365 us with persistent blocks, 347 us spread evenly).
#include "include/im2win_tile.cuh"

// Y for up to VALUES values of the reduction; an image's pixels must be a multiple of four, and without EDGE out_channels
// one of TILE_M: comparing every channel takes a third more registers. PADDED as in im2win_fused.cu. `k_bytes` is the table
// of PixelLoader. Dynamic shared memory: see kernels/families/im2win.py.
// Grid: x blocks share the pixels, one tile after the other; y covers out_channels.
template <int TILE_M, int TILE_N, int VALUES, int MICRO_M, int MICRO_N, bool EDGE, bool PADDED>
__global__ __launch_bounds__(TILE_M / MICRO_M * (TILE_N / MICRO_N), 1)
void im2win_fused_resident(const float* __restrict__ x, const float* __restrict__ f, float* y,
                           const int* __restrict__ k_bytes, PROBLEM_PARAMETERS) {
  constexpr int TILE_K = (VALUES + VECTOR - 1) / VECTOR * VECTOR;
  using Micro = MicroKernel<TILE_M, TILE_N, TILE_K, MICRO_M, MICRO_N>;
  using Tiles = typename Micro::Tiles;
  using Window = PixelLoader<TILE_N, TILE_K, Tiles::WINDOW_ROW, Micro::THREADS, PADDED>;
  static_assert(MICRO_N == VECTOR && MICRO_M <= VALUES, "every step stores four outputs of one channel");
  constexpr int WINDOW_BYTES = TILE_K * Tiles::WINDOW_ROW * sizeof(float);
  extern __shared__ unsigned char dynamic[];  // the filter's tile, then two window tiles

  const Problem p = PROBLEM_ARGUMENTS;
  const int first_channel = blockIdx.y * TILE_M, channels = min(TILE_M, p.out_channels - first_channel);
  float* const filter = reinterpret_cast<float*>(dynamic);
  for (int i = threadIdx.x; i < TILE_K * TILE_M; i += Micro::THREADS) {
    const int k = i / TILE_M, channel = i % TILE_M;
    const bool inside = k < p.reduction() && channel < channels;
    filter[i] = inside ? f[(first_channel + channel) * p.reduction() + k] : 0.0f;
  }

  const SharedAddress shared = shared_address(dynamic), filter_from = shared + Micro::filter_offset();
  const SharedAddress window_to = shared + Tiles::WINDOW_OFFSET + Window::offset(), window_from = shared + Micro::window_offset();
  const int tiles = (p.pixels() + TILE_N - 1) / TILE_N;
  int current = 0;
  auto start_copies = [&](int tile, int to) {
    if (tile < tiles) Window(p, x, k_bytes, tile * TILE_N, 0, InputStart{p}).start(window_to + to);
    end_copies();
  };
  Micro last;  // the last tile's outputs, of how many channels, and where those of the thread's first one go
  int last_channels = 0;
  float* last_to = nullptr;
  start_copies(blockIdx.x, 0);
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    wait_for_copies<0>();
    __syncthreads();  // this tile's values have arrived, and the other buffer is free
    start_copies(tile + gridDim.x, WINDOW_BYTES - current);
    Micro micro_kernel;
    typename Micro::Operands operands[2];
    Micro::read(operands[0], filter_from, window_from + current, 0);
#pragma unroll
    for (int k = 0; k < VALUES; ++k) {
      if (k + 1 < VALUES) Micro::read(operands[(k + 1) % 2], filter_from, window_from + current, k + 1);
      micro_kernel.multiply(operands[k % 2]);
      __syncwarp();  // else the compiler moves all stores to the front
      if (k < MICRO_M) last.template store_channel<EDGE>(k, last_channels, last_to, p.pixels_per_image());
    }
    current = WINDOW_BYTES - current;
    last = micro_kernel;
    const int pixel = tile * TILE_N + Micro::column(0), image = p.by_image.quotient(pixel);
    const long long planes = static_cast<long long>(image) * (p.out_channels - 1) + first_channel + Micro::row(0);
    last_to = y + planes * p.pixels_per_image() + pixel;
    last_channels = pixel < p.pixels() ? channels : 0;
  }
#pragma unroll
  for (int m = 0; m < MICRO_M; ++m) last.template store_channel<EDGE>(m, last_channels, last_to, p.pixels_per_image());
}

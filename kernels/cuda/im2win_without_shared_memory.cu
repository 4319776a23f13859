// im2win.cu without shared memory: the micro-kernel reads both operands from device memory, through the caches.
#include "include/im2win_tile.cuh"

// As in im2win.cu; STAGES is not used, since nothing is staged.
TILED_TEMPLATE __global__ TILED_LAUNCH_BOUNDS void im2win_without_shared_memory(TILED_PARAMETERS) {
  using Micro = MicroKernel<TILE_M, TILE_N, TILE_K, MICRO_M, MICRO_N>;
  __shared__ __align__(16) float scratch[Micro::THREADS * Micro::SCRATCH];  // for the stores alone

  const Problem p = PROBLEM_ARGUMENTS;
  convolve<Micro>(p, y, semaphores, steps_per_block, scratch,
                  [&](const Segment& segment, const typename Micro::OutputTile& tile, Micro& micro_kernel) {
    const float* pixels[MICRO_N];
#pragma unroll
    for (int n = 0; n < MICRO_N; ++n) {
      const int pixel = min(tile.first_pixel + Micro::column(n), p.pixels() - 1);
      pixels[n] = source + WindowStart{p}(Pixel(p, pixel));
    }
    const int end = min(segment.last * TILE_K, p.reduction());
    const float* channels = filter + static_cast<long long>(segment.first) * TILE_K * padded_channels + tile.first_channel;
    for (int k = segment.first * TILE_K; k < end; ++k, channels += padded_channels) {
      typename Micro::Operands operands;
      const int offset = __ldg(k_bytes + k) / static_cast<int>(sizeof(float));
#pragma unroll
      for (int n = 0; n < MICRO_N; ++n) operands.b[n] = __ldg(pixels[n] + offset);
#pragma unroll
      for (int m = 0; m < MICRO_M; m += VECTOR) {
        const float4 four = __ldg(reinterpret_cast<const float4*>(channels + Micro::row(m)));
        operands.a[m] = four.x, operands.a[m + 1] = four.y, operands.a[m + 2] = four.z, operands.a[m + 3] = four.w;
      }
      micro_kernel.multiply(operands);
    }
  });
}

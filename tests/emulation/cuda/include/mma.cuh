// Stands in for kernels/cuda/include/mma.cuh. What the lanes of a warp do together goes through Warp; fragments are those of
// the PTX ISA. Sums are rounded, not truncated. Copies in the background are done when their thread waits for them.
#pragma once
#include "half.cuh"
#include "optimization_barrier.cuh"

inline void load_matrices(unsigned (&registers)[4], unsigned address) {
  // Each lane reads the row whose address it gives before any lane goes on.
  emulation::exchange(*emulation::place<uint4>(address), [&](const uint4* rows) {
    const int lane = threadIdx.x % 32;
    for (int matrix = 0; matrix < 4; ++matrix) {
      std::memcpy(&registers[matrix], reinterpret_cast<const unsigned*>(rows + 8 * matrix + lane / 4) + lane % 4,
                  sizeof(unsigned));
    }
  });
}

struct Fragments {
  unsigned a[4], b[2];
};
inline void multiply_matrices(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  emulation::exchange(Fragments{{a[0], a[1], a[2], a[3]}, {b0, b1}}, [&](const Fragments* lanes) {
    const int lane = threadIdx.x % 32;
    for (int i = 0; i < 4; ++i) {
      // Rows lane / 4 and eight further; two neighbouring columns. K lies in four lanes: two values, and eight further.
      const int row = i / 2, column = lane % 4 * 2 + i % 2;
      double sum = sums[i];
      for (int k = 0; k < 4; ++k) {
        const Fragments &of_row = lanes[lane / 4 * 4 + k], &of_column = lanes[column * 4 + k];
        for (int half = 0; half < 2; ++half) {
          const float2 weights = unpack(of_row.a[2 * half + row]), windows = unpack(of_column.b[half]);
          sum += static_cast<double>(weights.x) * windows.x + static_cast<double>(weights.y) * windows.y;
        }
      }
      sums[i] = static_cast<float>(sum);
    }
  });
}

inline void copy_chunk_async(void* shared, const void* global) {
  if (emulation::address(shared) % 16 != 0) emulation::fail("a misaligned address in shared memory");
  if (reinterpret_cast<std::uintptr_t>(global) % 16 != 0) emulation::fail("a misaligned address in device memory");
  emulation::threads[threadIdx.x].copies.back().push_back({shared, global, 16});
}
inline void end_copies() { emulation::threads[threadIdx.x].copies.emplace_back(); }
template <int PENDING>
void wait_for_copies() {
  auto& groups = emulation::threads[threadIdx.x].copies;
  for (; groups.size() > PENDING + 1; groups.pop_front()) {
    for (const emulation::Copy& copy : groups.front()) std::memcpy(copy.to, copy.from, copy.bytes);
  }
}

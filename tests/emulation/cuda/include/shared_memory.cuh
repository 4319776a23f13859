// Stands in for kernels/cuda/include/shared_memory.cuh. Copies in the background are done when their thread waits for them.
#pragma once
#include "cuda.h"
#include "optimization_barrier.cuh"

using SharedAddress = unsigned;

inline SharedAddress shared_address(const void* pointer) { return emulation::address(pointer); }
inline void read_shared(float* registers, SharedAddress from) {
  const float4 values = *emulation::place<float4>(from);
  registers[0] = values.x, registers[1] = values.y, registers[2] = values.z, registers[3] = values.w;
}
inline float read_shared(SharedAddress from) { return *emulation::place<float>(from); }
template <class T>
void write_shared(SharedAddress to, T value) {
  *emulation::place<T>(to) = value;
}
inline void copy_later(void* to, const void* from, std::size_t bytes) {
  if (reinterpret_cast<std::uintptr_t>(from) % bytes != 0) emulation::fail("a misaligned address in device memory");
  emulation::threads[threadIdx.x].copies.back().push_back({to, from, bytes});
}
template <int BYTES>
void copy_async(SharedAddress to, const void* from) {
  using Copied = std::conditional_t<BYTES == 16, float4, float>;
  copy_later(emulation::place<Copied>(to), from, BYTES);
}
inline void copy_async_past_l1(SharedAddress to, const void* from) { copy_async<16>(to, from); }
inline void copy_async_unless_negative(SharedAddress to, const void* from, int skip) {
  static const float zero = 0.0f;
  copy_later(emulation::place<float>(to), skip < 0 ? &zero : from, sizeof(float));
}
inline void copy_async_unless(SharedAddress to, const void* from, unsigned skip) {
  copy_async_unless_negative(to, from, skip ? -1 : 0);
}
inline void end_copies() { emulation::threads[threadIdx.x].copies.emplace_back(); }
template <int PENDING>
void wait_for_copies() {
  auto& groups = emulation::threads[threadIdx.x].copies;
  for (; groups.size() > PENDING + 1; groups.pop_front()) {
    for (const emulation::Copy& copy : groups.front()) std::memcpy(copy.to, copy.from, copy.bytes);
  }
}

inline float load_here(const float* from, bool there = true) { return there ? *from : 0.0f; }
inline int block_index() { return blockIdx.x; }
// Blocks run in order, so that what another one is to store must be there already.
inline int load_acquire(const int* from) {
  static int read, times;
  times = *from == read ? times + 1 : 0, read = *from;
  if (times > 1000000) emulation::fail("a block waits for a later one");
  return read;
}
inline void store_release(int* to, int value) { *to = value; }

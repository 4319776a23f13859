// Shared memory by its 32-bit addresses, copies from device memory to it in the background, and other instructions that
// CUDA C++ has no words for.
#pragma once
#include "optimization_barrier.cuh"

// A place in shared memory as its 32-bit address in bytes: arithmetic on a pointer would take 64 bits.
using SharedAddress = unsigned;
__device__ inline SharedAddress shared_address(const void* pointer) {
  return optimization_barrier(static_cast<int>(__cvta_generic_to_shared(pointer)));
}
__device__ inline void read_shared(float* registers, SharedAddress from) {
  asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(registers[0]), "=f"(registers[1]), "=f"(registers[2]), "=f"(registers[3])
               : "r"(from));
}
__device__ inline float read_shared(SharedAddress from) {
  float value;
  asm volatile("ld.shared.f32 %0, [%1];" : "=f"(value) : "r"(from));
  return value;
}
__device__ inline void write_shared(SharedAddress to, float value) {
  asm volatile("st.shared.f32 [%0], %1;" ::"r"(to), "f"(value) : "memory");
}
__device__ inline void write_shared(SharedAddress to, float4 value) {
  asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(to), "f"(value.x), "f"(value.y), "f"(value.z), "f"(value.w)
               : "memory");
}

// Copies BYTES (4 or 16, aligned) from device to shared memory without passing through registers, in the background;
// the other ones write zeros and read nothing if `skip` is negative or not 0. PTX ISA, section cp.async (sm_80 and later).
template <int BYTES>
__device__ inline void copy_async(SharedAddress to, const void* from) {
  static_assert(BYTES == 4 || BYTES == 16, "a copy is one float or one vector");
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(to), "l"(from), "n"(BYTES) : "memory");
}
// 16 bytes that nobody reads again: they leave the L1 as it is.
__device__ inline void copy_async_past_l1(SharedAddress to, const void* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}
__device__ inline void copy_async_unless_negative(SharedAddress to, const void* from, int skip) {
  asm volatile(
      "{ .reg .pred negative;\n"
      "setp.lt.s32 negative, %2, 0;\n"
      "cp.async.ca.shared.global [%0], [%1], 4, negative; }" ::"r"(to),
      "l"(from), "r"(skip)
      : "memory");
}
__device__ inline void copy_async_unless(SharedAddress to, const void* from, unsigned skip) {
  asm volatile(
      "{ .reg .pred skipped;\n"
      "setp.ne.u32 skipped, %2, 0;\n"
      "cp.async.ca.shared.global [%0], [%1], 4, skipped; }" ::"r"(to),
      "l"(from), "r"(skip)
      : "memory");
}
// Closes a group of copies: those that this thread has started since the last group.
__device__ inline void end_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits for all but the last PENDING groups of this thread's copies; a barrier then makes them visible to the block.
template <int PENDING>
__device__ inline void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

// Loads a value at this place, where the compiler would sink the load to its first use; zero unless `there`. The value must
// not be written while the kernel runs (ld.global.nc).
__device__ inline float load_here(const float* from, bool there = true) {
  float value = 0.0f;
  asm volatile(
      "{ .reg .pred there;\n"
      "setp.ne.s32 there, %2, 0;\n"
      "@there ld.global.nc.f32 %0, [%1]; }"
      : "+f"(value)
      : "l"(from), "r"(static_cast<int>(there)));
  return value;
}

// blockIdx.x, read again each time instead of being kept in a register through the main loop.
__device__ inline int block_index() {
  int block;
  asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(block));
  return block;
}
// What another block stored with `store_release`, and with it all that the block had written before.
__device__ inline int load_acquire(const int* from) {
  int value;
  asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(value) : "l"(from) : "memory");
  return value;
}
__device__ inline void store_release(int* to, int value) {
  asm volatile("st.release.gpu.global.s32 [%0], %1;" ::"l"(to), "r"(value) : "memory");
}

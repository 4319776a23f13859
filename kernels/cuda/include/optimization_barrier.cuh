// What keeps the compiler from moving a computation to where it was not written.
#pragma once

// An optimization barrier: the value is unchanged, but the compiler can no longer derive anything from how it was computed.
// So what depends on it is computed again instead of being kept in registers, or the other way round.
__device__ inline int optimization_barrier(int value) {
  asm volatile("" : "+r"(value));
  return value;
}
__device__ inline const char* optimization_barrier(const char* pointer) {
  asm volatile("" : "+l"(pointer));
  return pointer;
}

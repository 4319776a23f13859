// Blocks that run side by side and read each other's shared memory. PTX ISA, sections barrier.cluster, mapa and
// ld.shared::cluster (sm_90 and later; elsewhere kernels that use them are compiled, and not launched).
#pragma once
#include "shared_memory.cuh"

// This block's number in its cluster.
__device__ inline int cluster_rank() {
  int rank = 0;
#if __CUDA_ARCH__ >= 900
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
#endif
  return rank;
}
// A barrier for all threads of the cluster, after which each sees what the others have written to shared memory.
__device__ inline void sync_cluster() {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "barrier.cluster.arrive.release.aligned;\n"
      "barrier.cluster.wait.acquire.aligned;" ::
          : "memory");
#endif
}
// Where the same place lies in the shared memory of the cluster's block `rank`.
__device__ inline SharedAddress in_block(int rank, SharedAddress place) {
  SharedAddress there = place;
#if __CUDA_ARCH__ >= 900
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(place), "r"(rank));
#endif
  return there;
}
__device__ inline float read_cluster(SharedAddress from) {
  float value = 0.0f;
#if __CUDA_ARCH__ >= 900
  asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(value) : "r"(from) : "memory");
#endif
  return value;
}

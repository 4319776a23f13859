// Ampere's instructions for matrix products as functions: matrices from shared memory to the registers of a warp, their
// products, and copies to shared memory in the background. PTX ISA, sections ldmatrix, mma and cp.async (sm_80 and later).
#pragma once
#include "half.cuh"
#include "optimization_barrier.cuh"

// Four 8 x 8 matrices of FP16 values from shared memory; each lane gives the address of one row of one of them.
__device__ inline void load_matrices(unsigned (&registers)[4], unsigned address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
               : "r"(address)
               : "memory");
}
// sums += a * b: 16 rows, 8 columns, 16 of K.
__device__ inline void multiply_matrices(float (&sums)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
               "{%0, %1, %2, %3};"
               : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Copies 16 bytes in the background.
__device__ inline void copy_chunk_async(void* shared, const void* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(shared)), "l"(global) : "memory");
}
// Closes a group of copies: those that this thread has started since the last group.
__device__ inline void end_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits for all but the last PENDING groups of this thread's copies; a barrier then makes them visible to the block.
template <int PENDING>
__device__ inline void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

// Programmatic dependent launch: a kernel starts before the one before it on the stream has ended
// (KernelLibrary.launch(overlap=True) in kernels/launch.py). Its blocks fill multiprocessors as the last blocks of the kernel
// before leave them, which hides the launch and the tail. PTX ISA, section griddepcontrol (sm_90 and later).
#pragma once

// Allows the dependent kernel to start once every block of this one has called this or ended. Without effect if the next
// kernel was not launched as a dependent.
__device__ inline void launch_dependents() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Waits until the kernel before this one has ended and its writes are visible. Before that, nothing that it writes may be
// read, and nothing may be written to device memory that it may still use. Returns at once if this kernel was not launched
// as a dependent.
__device__ inline void wait_for_prerequisite() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// A kernel that starts before the one before it on the stream has ended: KernelLibrary.launch(overlap=True) in
// kernels/launch.py. Its blocks take the multiprocessors as the last ones of the kernel before leave them, instead of
// waiting until all have ended and a launch has gone by. PTX ISA, section griddepcontrol (sm_90 and later).
#pragma once

// Lets the next kernel start as soon as all blocks of this one have been started; each block says so, at its beginning.
// Of no effect where the next kernel was not launched to overlap.
__device__ inline void begin_next() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Waits until the kernel before this one has ended and all that it wrote can be read. Nothing of that may be read before,
// and nothing may be written to device memory: the kernel before may still use it. Where this kernel was not launched to
// overlap, all that is so already.
__device__ inline void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

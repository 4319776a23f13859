// Memory that is asked for before it is read.
#pragma once

// Asks for the line of the L2 that `from` lies in. PTX ISA, section prefetch.
__device__ inline void prefetch(const void* from) { asm volatile("prefetch.global.L2 [%0];" ::"l"(from)); }

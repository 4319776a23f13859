// CUDA C++ on the CPU, as far as the kernels use it: the threads of a block, or of the blocks of a cluster, are contexts
// that run in turn, each until it must wait; blocks and clusters run one after the other. What needs PTX has a stand-in in
// the other files of this folder, named as the one it replaces.
#pragma once
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#define __device__
#define __global__
#define __shared__ static
#define __restrict__
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __launch_bounds__(...)
#define __CUDA_ARCH__ 900
#define __CUDA_ARCH_FEAT_SM90_ALL
#define dynamic emulation::dynamic_memory  // the kernels' name for their dynamic shared memory

using std::max;
using std::min;

struct Index {
  unsigned x, y;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

inline Index threadIdx, blockIdx, blockDim, gridDim;

namespace emulation {
constexpr int MOST_BLOCKS = 8, SHARED_BYTES = 228 * 1024;  // of a cluster, and of a block
alignas(1024) inline unsigned char shared_memory[MOST_BLOCKS][SHARED_BYTES];
inline unsigned char* dynamic_memory = shared_memory[0];  // of the block that runs

[[noreturn]] inline void fail(const char* message) {
  std::fprintf(stderr, "emulation: %s (thread %u of block %u)\n", message, threadIdx.x, blockIdx.x);
  std::abort();
}

struct Copy {
  void* to;
  const void* from;
  std::size_t bytes;
};
struct Thread {
  ucontext_t context;  // where it begins
  jmp_buf waiting;     // where it goes on
  bool begun = false;
  std::unique_ptr<char[]> stack;
  std::deque<std::vector<Copy>> copies;  // in the background: groups, the last of them still open
  int exchanges = 0;
  bool done = false;
};
inline Thread* threads;  // of the block that runs
inline jmp_buf scheduler;
inline int waits_over;  // of this turn of all threads
inline void (*body)();  // what a thread does in this launch

// Runs a thread until it waits or ends. Unlike swapcontext, a jump asks the operating system nothing.
[[gnu::noinline]] inline void run(Thread& thread) {
  if (_setjmp(scheduler) != 0) return;
  if (thread.begun) _longjmp(thread.waiting, 1);
  thread.begun = true;
  setcontext(&thread.context);
}
[[gnu::noinline]] inline void pause() {
  if (_setjmp(threads[threadIdx.x].waiting) == 0) _longjmp(scheduler, 1);
}

// Lets the other threads run until `over()`.
template <class Condition>
void wait_until(Condition over) {
  while (!over()) pause();
  ++waits_over;
}

// Waits until all of `expected` threads have come here.
struct Meeting {
  int expected, arrived = 0, number = 0;
  void leave() {
    if (arrived == --expected && expected > 0) arrived = 0, ++number;
  }
  void arrive() {
    if (++arrived == expected) arrived = 0, ++number;
  }
  void meet() {
    const int this_one = number;
    arrive();
    wait_until([&] { return number != this_one; });
  }
};
struct Warp {
  Meeting meeting{32};
  // What lanes tell each other, in two buffers in turn: a lane may be at the next exchange while another reads this one.
  alignas(16) unsigned char exchanged[2][32 * 32];
};
struct Block {
  Index index;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  Meeting meeting;
};
inline std::vector<Block> blocks(MOST_BLOCKS);  // those of a cluster
inline int rank;                                // in its cluster, of the block that runs
inline Meeting cluster;

// Each lane of a warp gives a value, waits for the others and then sees all of theirs.
template <class T, class See>
void exchange(const T& own, See see) {
  static_assert(sizeof(T) <= 32, "room for a value of each lane");
  Warp& warp = blocks[rank].warps[threadIdx.x / 32];
  T* const lanes = reinterpret_cast<T*>(warp.exchanged[threads[threadIdx.x].exchanges++ % 2]);
  lanes[threadIdx.x % 32] = own;
  warp.meeting.meet();
  see(lanes);
}

// Shared memory has 32-bit addresses, here distances from the dynamic part.
inline unsigned address(const void* pointer) {
  return static_cast<unsigned>(static_cast<const unsigned char*>(pointer) - dynamic_memory);
}
template <class T>
T* place(unsigned address) {
  if (address % alignof(T) != 0) fail("a misaligned address in shared memory");
  return reinterpret_cast<T*>(dynamic_memory + static_cast<int>(address));
}

// A thread's life: launch after launch, since to begin one asks the operating system.
[[noreturn]] inline void live() {
  for (;;) {
    body();
    threads[threadIdx.x].done = true, ++waits_over;
    blocks[rank].meeting.leave();
    pause();
  }
}

template <class... Parameters, std::size_t... I>
void call(void (*kernel)(Parameters...), const std::int64_t* arguments, std::index_sequence<I...>) {
  const auto convert = []<class T>(std::int64_t value, std::type_identity<T>) {
    if constexpr (std::is_pointer_v<T>) {
      return reinterpret_cast<T>(value);
    } else {
      return static_cast<T>(value);
    }
  };
  kernel(convert(arguments[I], std::type_identity<Parameters>())...);
}

// Runs a kernel; `arguments` are pointers and integers. Shared memory is full of NaNs at first; the blocks of a cluster have
// dynamic shared memory only.
template <class... Parameters>
void launch(void (*kernel)(Parameters...), unsigned grid_x, unsigned grid_y, int block_size, int cluster_size,
            const std::int64_t* arguments) {
  static void (*of_this_launch)(Parameters...);
  static const std::int64_t* with;
  constexpr std::size_t STACK = 1 << 17;
  of_this_launch = kernel, with = arguments;
  body = [] { call(of_this_launch, with, std::index_sequence_for<Parameters...>()); };
  gridDim = {grid_x, grid_y}, blockDim = {static_cast<unsigned>(block_size), 1};
  for (unsigned first = 0; first < grid_x * grid_y; first += cluster_size) {
    cluster = {cluster_size * block_size};
    for (int i = 0; i < cluster_size; ++i) {
      std::memset(shared_memory[i], 0xff, SHARED_BYTES);
      Block& block = blocks[i];
      block.index = {(first + i) % grid_x, (first + i) / grid_x};
      block.threads.resize(block_size);
      block.warps.assign((block_size + 31) / 32, Warp());
      block.meeting = {block_size};
      for (Thread& thread : block.threads) {
        thread.copies.assign(1, {}), thread.exchanges = 0, thread.done = false;
        if (thread.stack) continue;
        thread.stack.reset(new char[STACK]);
        getcontext(&thread.context);
        thread.context.uc_stack.ss_sp = thread.stack.get(), thread.context.uc_stack.ss_size = STACK;
        makecontext(&thread.context, live, 0);
      }
    }
    for (bool running = true; running;) {
      waits_over = 0, running = false;
      for (rank = 0; rank < cluster_size; ++rank) {
        blockIdx = blocks[rank].index, threads = blocks[rank].threads.data(), dynamic_memory = shared_memory[rank];
        for (int thread = 0; thread < block_size; ++thread) {
          if (threads[thread].done) continue;
          running = true, threadIdx = {static_cast<unsigned>(thread), 0};
          run(threads[thread]);
        }
      }
      if (running && waits_over == 0) fail("all threads wait for each other");
    }
  }
}
}  // namespace emulation

inline void __syncthreads() { emulation::blocks[emulation::rank].meeting.meet(); }
inline void __syncwarp() { emulation::blocks[emulation::rank].warps[threadIdx.x / 32].meeting.meet(); }
template <class T>
T __shfl_sync(unsigned, T value, int lane) {
  emulation::exchange(value, [&](const T* lanes) { value = lanes[lane]; });
  return value;
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes) {
  return __shfl_sync(mask, value, threadIdx.x % 32 ^ lanes);
}
inline unsigned __ballot_sync(unsigned, bool value) {
  unsigned ballot = 0;
  emulation::exchange(value, [&](const bool* lanes) {
    for (int lane = 0; lane < 32; ++lane) ballot |= static_cast<unsigned>(lanes[lane]) << lane;
  });
  return ballot;
}
inline bool __any_sync(unsigned mask, bool value) { return __ballot_sync(mask, value) != 0; }
inline unsigned __vimax3_u32(unsigned a, unsigned b, unsigned c) { return max(max(a, b), c); }
inline unsigned __vimin3_u32(unsigned a, unsigned b, unsigned c) { return min(min(a, b), c); }
inline unsigned __reduce_or_sync(unsigned lanes, unsigned value) {
  for (int mask = 1; mask < 32; mask *= 2) value |= __shfl_xor_sync(lanes, value, mask);
  return value;
}
inline int __ffs(unsigned bits) { return __builtin_ffs(static_cast<int>(bits)); }
template <class T>
T __ldg(const T* from) {
  if (reinterpret_cast<std::uintptr_t>(from) % alignof(T) != 0) emulation::fail("a misaligned address in device memory");
  return *from;
}
template <class T>
T __ldcg(const T* from) {
  return __ldg(from);
}
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(std::uint64_t{a} * b >> 32); }
inline int __float_as_int(float value) {
  int bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}
inline float __int_as_float(int bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}
inline unsigned __reduce_max_sync(unsigned lanes, unsigned value) {
  for (int mask = 1; mask < 32; mask *= 2) {
    const int of_other = __float_as_int(__shfl_xor_sync(lanes, __int_as_float(static_cast<int>(value)), mask));
    value = max(value, static_cast<unsigned>(of_other));
  }
  return value;
}

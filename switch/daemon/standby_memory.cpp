// SPDX-License-Identifier: MIT
#include "switch/daemon/standby_memory.h"

#include <link.h>
#include <sys/mman.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <memory>
#include <vector>

#include "switch/frame/frame_pool.h"

namespace lanyard {
namespace {

// Twice what one call of recvmmsg(2) takes: that of the first client, and its partner's.
constexpr std::size_t kFrames = 128;
constexpr std::size_t kPage = 4096;

void touch_frames(FramePool& pool) {
  std::vector<FrameRef> touched;
  touched.reserve(kFrames);
  for (std::size_t i = 0; i < kFrames; ++i) {
    touched.push_back(pool.make());
    touched.back()->segments[0].data[0] = 0;
  }
}

// What the state of a switch with some dozens of ports takes, below the size from which the C
// library asks the kernel for each block.
void touch_heap() {
  constexpr std::size_t kBlock = std::size_t{64} << 10;
  std::array<std::unique_ptr<char[]>, 8> blocks;
  for (auto& block : blocks) {
    block = std::make_unique_for_overwrite<char[]>(kBlock);
    std::memset(block.get(), 1, kBlock);
  }
  // The C library keeps one so small for the thread when it is freed. It is above the others, so
  // these do not go back to the kernel.
  const auto lid = std::make_unique<char[]>(kPage / 4);
}

// Code and constants of the program. The kernel has them, but each first use would ask for them. Of
// its libraries little is used: what is mapped has to be unmapped at the end of the process, and
// after a crash a successor waits for that. What lies between two constants is read, too.
[[gnu::no_sanitize_address]] int map_program(dl_phdr_info* object, std::size_t, void*) {
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const auto& segment = object->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    const std::size_t start = (object->dlpi_addr + segment.p_vaddr) / kPage * kPage;
    const std::size_t end = object->dlpi_addr + segment.p_vaddr + segment.p_memsz;
    ::madvise(reinterpret_cast<void*>(start), end - start, MADV_POPULATE_READ);
    // The kernel's tables know it then. Those that a host keeps for its virtual machines may not.
    for (std::size_t at = start; at < end; at += kPage) {
      (void)*reinterpret_cast<const volatile char*>(at);
    }
  }
  return 1;  // the first object is the program
}

}  // namespace

void prepare_standby_memory(FramePool& pool) {
  touch_frames(pool);
  touch_heap();
  ::dl_iterate_phdr(&map_program, nullptr);
}

}  // namespace lanyard

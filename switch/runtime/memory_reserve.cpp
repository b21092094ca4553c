// SPDX-License-Identifier: MIT
#include "switch/runtime/memory_reserve.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace lanyard {
namespace {

constexpr Duration kLookPeriod = std::chrono::seconds(1);

// Where a function without arguments finds it.
std::atomic<void*> put_by{nullptr};

// operator new tries again when this returns.
void give_back() {
  void* const block = put_by.exchange(nullptr);
  if (block == nullptr) throw std::bad_alloc();
  std::free(block);
}

}  // namespace

MemoryReserve::MemoryReserve(EventLoop& loop, Log& log) : loop_(loop), log_(log) {
  put_by = std::malloc(kBytes);
  std::set_new_handler(&give_back);
  timer_ = loop_.every(kLookPeriod, [this] { look(); });
}

MemoryReserve::~MemoryReserve() {
  std::set_new_handler(nullptr);
  std::free(put_by.exchange(nullptr));
}

void MemoryReserve::look() {
  if (put_by != nullptr && given_up_ == loop_.given_up()) return;
  const std::uint64_t given_up = loop_.given_up() - given_up_;
  log_.error(
      "out of memory: {} tasks were given up, the reserve of {} KiB was used; "
      "clients that come now may be refused",
      given_up, kBytes / 1024);
  given_up_ += given_up;
  if (put_by == nullptr) put_by = std::malloc(kBytes);
}

}  // namespace lanyard

// SPDX-License-Identifier: MIT
#include "switch/runtime/memory_reserve.h"

#include <gtest/gtest.h>

#include <limits>
#include <new>

#include "tests/support/fake_log.h"

namespace lanyard {
namespace {

using testing::FakeLog;

// More than any machine has.
void ask_for_too_much() {
  constexpr std::size_t kTooMuch = std::numeric_limits<std::ptrdiff_t>::max() / 2;
  ::operator delete(::operator new(kTooMuch));
}

class MemoryReserveTest : public ::testing::Test {
 protected:
#ifdef LANYARD_SANITIZED
  void SetUp() override {
    GTEST_SKIP() << "a sanitizer ends the program instead";
  }
#endif

  std::unique_ptr<EventLoop> loop = EventLoop::create().take();
  FakeLog log;
};

TEST_F(MemoryReserveTest, SaysNothingWhileThereIsMemory) {
  MemoryReserve reserve(*loop, log);
  reserve.look();
  EXPECT_TRUE(log.lines.empty());
}

TEST_F(MemoryReserveTest, SaysWhatWasGivenUpOnce) {
  MemoryReserve reserve(*loop, log);
  EXPECT_FALSE(loop->run([] { ask_for_too_much(); }));
  EXPECT_FALSE(loop->run([] { ask_for_too_much(); })) << "without a reserve, too";
  reserve.look();
  ASSERT_EQ(log.lines.size(), 1U);
  EXPECT_TRUE(log.contains("out of memory: 2 tasks")) << log.text();
  reserve.look();
  EXPECT_EQ(log.lines.size(), 1U) << "it has been put by again";
}

TEST_F(MemoryReserveTest, LeavesTheProgramAsItWas) {
  { const MemoryReserve reserve(*loop, log); }
  EXPECT_EQ(std::get_new_handler(), nullptr);
  EXPECT_THROW(ask_for_too_much(), std::bad_alloc);
}

}  // namespace
}  // namespace lanyard

// SPDX-License-Identifier: MIT
#include "switch/bridge/frame_queue.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <deque>

#include "tests/support/memory_endpoint.h"

namespace lanyard {
namespace {

using testing::frame;
using testing::frame_of;
using testing::gathered;
using testing::WireFrame;

class FrameQueueTest : public ::testing::Test {
 protected:
  bool push(const WireFrame& wire) {
    return queue_.push(Outgoing::untagged(frame_of(pool_, wire)));
  }
  // How many frames of this size fit.
  std::size_t fill(std::size_t size) {
    std::size_t count = 0;
    while (push(frame().size(size))) ++count;
    return count;
  }
  std::vector<WireFrame> peek() {
    EgressBatch batch;
    queue_.peek(pool_, batch);
    std::vector<WireFrame> frames;
    for (const Outgoing& out : batch) frames.push_back(gathered(out));
    return frames;
  }

  FramePool pool_;
  FrameQueue queue_{4096};
};

TEST_F(FrameQueueTest, IsFirstInFirstOut) {
  EXPECT_TRUE(queue_.empty());
  for (const char* const text : {"one", "two", "three"}) EXPECT_TRUE(push(frame().payload(text)));
  EXPECT_EQ(queue_.frames(), 3U);
  EXPECT_EQ(peek(), (std::vector<WireFrame>{frame().payload("one"), frame().payload("two"),
                                            frame().payload("three")}));
  queue_.pop(2);
  EXPECT_EQ(peek(), (std::vector<WireFrame>{frame().payload("three")}));
  queue_.pop(1);
  EXPECT_TRUE(queue_.empty());
  EXPECT_TRUE(peek().empty());
}

TEST_F(FrameQueueTest, KeepsTagPriorityAndDebts) {
  FrameRef owing = frame_of(pool_, frame().payload("debt"));
  owing->vlan = 0xabc;
  owing->priority = 0xb000;
  owing->offload.needs_checksum = true;
  owing->offload.checksum_start = 34;
  const Offload debts = owing->offload;
  ASSERT_TRUE(queue_.push(Outgoing::with_tag(std::move(owing))));
  EgressBatch batch;
  queue_.peek(pool_, batch);
  ASSERT_EQ(batch.size(), 1U);
  EXPECT_EQ(gathered(batch[0]).bytes, frame().tag(0xabc, 5, true).payload("debt").wire().bytes);
  EXPECT_EQ(batch[0].frame->offload, debts);
}

TEST_F(FrameQueueTest, PutsSegmentsTogether) {
  WireFrame wire = frame().size(100);
  FrameRef ref = pool_.make();
  ref->segments[0] = {wire.bytes.data(), 40};
  ref->segments[1] = {wire.bytes.data() + 40, 60};
  ref->segment_count = 2;
  ref->size = 100;
  ASSERT_TRUE(queue_.push(Outgoing::untagged(std::move(ref))));
  EXPECT_EQ(peek(), std::vector<WireFrame>{wire});
}

TEST_F(FrameQueueTest, TakesNoMoreThanItsBound) {
  for (const std::size_t size : {14U, 60U, 61U, 1000U, 1514U, 4000U}) {
    FrameQueue fresh(4096);
    std::size_t frames = 0;
    while (fresh.push(Outgoing::untagged(frame_of(pool_, frame().size(size))))) ++frames;
    EXPECT_EQ(fresh.frames(), frames);
    EXPECT_LE(frames * size, 4096U) << size;
    EXPECT_GT((frames + 1) * (size + 40), 4096U) << size << ": and little less, with its notes";
  }
}

TEST_F(FrameQueueTest, RefusesWhatCanNeverFit) {
  EXPECT_FALSE(push(frame().size(4096)));
  EXPECT_TRUE(queue_.empty());
  EXPECT_TRUE(push(frame().size(60)));
}

TEST_F(FrameQueueTest, OfNothingTakesNothing) {
  FrameQueue none(0);
  EXPECT_FALSE(none.push(Outgoing::untagged(frame_of(pool_, frame()))));
  EXPECT_TRUE(none.empty());
}

TEST_F(FrameQueueTest, LosesTheNewestWhenFull) {
  const std::size_t fitting = fill(500);
  EXPECT_FALSE(push(frame().payload("too late").size(500)));
  EXPECT_EQ(queue_.frames(), fitting);
  EXPECT_EQ(peek().front(), frame().size(500).wire());
}

TEST_F(FrameQueueTest, UsesTheRoomAtTheStartOfTheRing) {
  const std::size_t fitting = fill(500);
  ASSERT_GE(fitting, 5U);
  queue_.pop(2);
  EXPECT_TRUE(push(frame().payload("wrapped").size(500)));
  EXPECT_TRUE(push(frame().payload("again").size(500)));
  EXPECT_EQ(queue_.frames(), fitting);
  const std::vector<WireFrame> frames = peek();
  EXPECT_EQ(frames[fitting - 2], frame().payload("wrapped").size(500).wire());
  EXPECT_EQ(frames[fitting - 1], frame().payload("again").size(500).wire());
}

TEST_F(FrameQueueTest, PopsNoMoreThanThereIs) {
  ASSERT_TRUE(push(frame()));
  queue_.pop(100);
  EXPECT_TRUE(queue_.empty());
  EXPECT_TRUE(push(frame()));
  EXPECT_EQ(peek().size(), 1U);
}

TEST_F(FrameQueueTest, PeeksAtOneBatchAtMost) {
  FrameQueue large;
  for (int i = 0; i < 100; ++i) large.push(Outgoing::untagged(frame_of(pool_, frame())));
  EgressBatch batch;
  large.peek(pool_, batch);
  EXPECT_EQ(batch.size(), 64U);
}

TEST_F(FrameQueueTest, CanBeCleared) {
  fill(500);
  queue_.clear();
  EXPECT_TRUE(queue_.empty());
  EXPECT_TRUE(peek().empty());
  EXPECT_TRUE(push(frame().size(500)));
}

TEST_F(FrameQueueTest, ObeysALowerBoundAtOnce) {
  ASSERT_TRUE(push(frame().size(1000)));
  queue_.set_bytes_max(1200);
  EXPECT_FALSE(push(frame().size(1000)));
  EXPECT_EQ(peek(), std::vector<WireFrame>{frame().size(1000)}) << "what is queued stays";
  queue_.pop(1);
  EXPECT_TRUE(push(frame().size(1000)));
  EXPECT_FALSE(push(frame().size(1000)));
}

TEST_F(FrameQueueTest, ObeysAHigherBoundAtOnce) {
  const std::size_t fitting = fill(500);
  queue_.set_bytes_max(8192);
  EXPECT_GE(fill(500), fitting);
  EXPECT_EQ(peek().size(), queue_.frames());
}

TEST_F(FrameQueueTest, ReleasesItsMemoryWhenItStaysIdle) {
  ASSERT_TRUE(push(frame().payload("a")));
  queue_.release_if_idle();
  EXPECT_EQ(peek().size(), 1U) << "not while frames wait";
  queue_.pop(1);
  queue_.release_if_idle();
  queue_.release_if_idle();
  ASSERT_TRUE(push(frame().payload("b")));
  EXPECT_EQ(peek(), std::vector<WireFrame>{frame().payload("b")});
}

// Against a plain list: the same frames in the same order, and never more than the bound.
RC_GTEST_PROP(FrameQueueModel, BehavesLikeAList, ()) {
  FramePool pool;
  const auto bound = *rc::gen::inRange<std::size_t>(64, 6000);
  FrameQueue queue(bound);
  std::deque<WireFrame> model;
  std::size_t model_bytes = 0;
  const auto steps = *rc::gen::inRange(1, 400);
  for (int step = 0; step < steps; ++step) {
    if (*rc::gen::inRange(0, 3) != 0) {
      const auto size = *rc::gen::inRange<std::size_t>(14, 1600);
      const WireFrame wire = frame().payload(std::to_string(step)).size(size);
      const bool pushed = queue.push(Outgoing::untagged(frame_of(pool, wire)));
      if (pushed) {
        model.push_back(wire);
        model_bytes += wire.bytes.size();
      } else {
        // The refusal has a reason: even with the room that a ring wastes it could not fit.
        RC_ASSERT(model_bytes + (model.size() + 1) * 64 + 2 * size + 1664 > bound);
      }
      RC_ASSERT(model_bytes <= bound);
    } else {
      EgressBatch batch;
      queue.peek(pool, batch);
      RC_ASSERT(batch.size() == std::min<std::size_t>(model.size(), 64));
      for (std::size_t i = 0; i < batch.size(); ++i) RC_ASSERT(gathered(batch[i]) == model[i]);
      batch.clear();
      const auto count = *rc::gen::inRange<std::size_t>(0, 6);
      queue.pop(count);
      for (std::size_t i = 0; i < count && !model.empty(); ++i) {
        model_bytes -= model.front().bytes.size();
        model.pop_front();
      }
    }
    RC_ASSERT(queue.frames() == model.size());
    RC_ASSERT(queue.empty() == model.empty());
  }
}

}  // namespace
}  // namespace lanyard

// SPDX-License-Identifier: MIT
#include "switch/bridge/filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/support/test_switch.h"

namespace lanyard {
namespace {

using testing::balance_error;
using testing::Bytes;
using ::testing::ElementsAre;
using testing::frame;
using testing::frame_of;

using testing::kAlice;

using testing::kBroadcast;
using testing::TestSwitch;
using testing::WireFrame;
using Verdict = Filter::Verdict;

// What a test says becomes of a frame, by its bytes.
class Judge final : public Filter {
 public:
  using Rule = std::function<Verdict(FrameRef&)>;
  explicit Judge(Rule in, Rule out = {}, int priority = 0)
      : in_(std::move(in)), out_(std::move(out)), priority_(priority) {}

  int priority() const override { return priority_; }
  void ingress(PortId, std::span<FrameRef> frames, std::span<Verdict> verdicts) override {
    for (std::size_t i = 0; in_ && i < frames.size(); ++i) {
      verdicts[i] = in_(frames[i]);
      if (verdicts[i] == Verdict::held) held_in.push(std::move(frames[i]));
    }
  }
  void egress(PortId, std::span<Outgoing> frames, std::span<Verdict> verdicts) override {
    for (std::size_t i = 0; out_ && i < frames.size(); ++i) {
      verdicts[i] = out_(frames[i].frame);
      if (verdicts[i] == Verdict::held) held_out.push(std::move(frames[i]));
    }
  }

  FrameBatch held_in;
  EgressBatch held_out;

 private:
  Rule in_;
  Rule out_;
  int priority_;
};

std::uint8_t last_byte(const FrameRef& frame) {
  return frame->segments[0].data[frame->size - 1];
}
WireFrame numbered(char number) {
  return frame().from(kAlice).to(kBroadcast).payload(std::string(50, number));
}
Verdict drop_even(FrameRef& frame) {
  return last_byte(frame) % 2 == 0 ? Verdict::drop : Verdict::pass;
}
Verdict hold_even(FrameRef& frame) {
  return last_byte(frame) % 2 == 0 ? Verdict::held : Verdict::pass;
}

TEST(Filter, DropsOnTheWayInByName) {
  TestSwitch sw(2);
  Judge judge(drop_even);
  sw->filters().add(judge);
  sw.send(1, {numbered('1'), numbered('2'), numbered('3'), numbered('4')});
  EXPECT_THAT(sw.received(2), ElementsAre(numbered('1'), numbered('3')));
  EXPECT_EQ(sw.port(1).counters.drops.of(Drop::filtered), 2U);
  EXPECT_EQ(sw.port(1).counters.received, 4U);
  EXPECT_EQ(balance_error(*sw), "");
  sw->filters().remove(judge);
  sw.send(1, numbered('2'));
  EXPECT_THAT(sw.received(2), ElementsAre(numbered('2')));
}

TEST(Filter, DropsOnTheWayOutByName) {
  TestSwitch sw(3);
  Judge judge({}, drop_even);
  sw->filters().add(judge);
  sw.send(1, {numbered('1'), numbered('2')});
  EXPECT_THAT(sw.received(2), ElementsAre(numbered('1')));
  EXPECT_THAT(sw.received(3), ElementsAre(numbered('1')));
  EXPECT_EQ(sw.port(2).counters.drops.of(Drop::filtered_out), 1U);
  EXPECT_EQ(balance_error(*sw), "");
}

TEST(Filter, AltersAFloodedFrameForOneReceiverOnly) {
  TestSwitch sw(3);
  PortId altered = 2;
  class Alter final : public Filter {
   public:
    explicit Alter(FramePool& pool, PortId port) : pool_(pool), port_(port) {}
    void ingress(PortId, std::span<FrameRef>, std::span<Verdict>) override {}
    void egress(PortId out, std::span<Outgoing> frames, std::span<Verdict>) override {
      if (out != port_) return;
      for (Outgoing& each : frames) {
        unshare(each.frame, pool_);
        each.frame->segments[0].data[each.frame->size - 1] = 'X';
      }
    }

   private:
    FramePool& pool_;
    PortId port_;
  } alter(sw.pool(), altered);
  sw->filters().add(alter);
  sw.send(1, numbered('1'));
  WireFrame changed = numbered('1');
  changed.bytes.back() = 'X';
  EXPECT_THAT(sw.received(2), ElementsAre(changed));
  EXPECT_THAT(sw.received(3), ElementsAre(numbered('1')));
}

TEST(Filter, AHeldFrameComesBackBehindItsFilter) {
  TestSwitch sw(2);
  Judge judge(hold_even);
  Judge behind(
      [](FrameRef& each) { return last_byte(each) == '4' ? Verdict::drop : Verdict::pass; });
  sw->filters().add(judge);
  sw->filters().add(behind);
  sw.send(1, {numbered('1'), numbered('2'), numbered('4')});
  EXPECT_THAT(sw.received(2), ElementsAre(numbered('1')));
  EXPECT_EQ(balance_error(*sw), "") << "while frames are held";
  sw->resume_ingress(1, &judge, judge.held_in);
  sw->flush().clear();
  EXPECT_THAT(sw.received(2), ElementsAre(numbered('2')));
  EXPECT_EQ(sw.port(1).counters.drops.of(Drop::filtered), 1U);
  EXPECT_EQ(balance_error(*sw), "");
}

TEST(Filter, AHeldFrameGoesOutLater) {
  TestSwitch sw(2);
  Judge judge({}, hold_even);
  sw->filters().add(judge);
  sw.send(1, {numbered('1'), numbered('2')});
  EXPECT_THAT(sw.received(2), ElementsAre(numbered('1')));
  EXPECT_EQ(balance_error(*sw), "");
  sw->resume_egress(2, &judge, judge.held_out);
  EXPECT_THAT(sw.received(2), ElementsAre(numbered('2')));
  EXPECT_EQ(balance_error(*sw), "");
}

TEST(Filter, AFrameHeldForAPortThatWasUnpluggedIsCounted) {
  TestSwitch sw(2);
  Judge judge({}, hold_even);
  sw->filters().add(judge);
  sw.send(1, numbered('2'));
  sw.unplug(2);
  sw->resume_egress(2, &judge, judge.held_out);
  EXPECT_EQ(sw.port(2).counters.drops.of(Drop::unplugged), 1U);
  EXPECT_EQ(balance_error(*sw), "");
  sw->resume_egress(77, &judge, judge.held_out);  // and no such port
}

TEST(Filter, HigherPriorityIsNearerToTheWire) {
  TestSwitch sw(2);
  std::string order;
  const auto note = [&](char name) {
    return [&order, name](FrameRef&) {
      order += name;
      return Verdict::pass;
    };
  };
  Judge inner(note('i'), note('I'), 0);
  Judge outer(note('o'), note('O'), 10);
  sw->filters().add(inner);
  sw->filters().add(outer);
  sw.send(1, numbered('1'));
  EXPECT_EQ(order, "oiIO");
}

TEST(Unshare, LeavesASoleOwnersFrameAlone) {
  FramePool pool;
  FrameRef one = frame_of(pool, numbered('1'));
  const Frame* const before = &*one;
  unshare(one, pool);
  EXPECT_EQ(&*one, before);
  FrameRef other = one.share();
  unshare(other, pool);
  EXPECT_NE(&*other, before);
  EXPECT_EQ(other->size, one->size);
  Bytes foreign(60, 7);
  FrameRef borrowed = pool.borrow(foreign.data(), 60);
  unshare(borrowed, pool);
  EXPECT_NE(borrowed->segments[0].data, foreign.data());
}

}  // namespace
}  // namespace lanyard

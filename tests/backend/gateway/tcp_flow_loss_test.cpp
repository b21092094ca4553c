// SPDX-License-Identifier: MIT
//
// Connections of the direct TCP engine over a way that is slow, as on a machine with more to do,
// and loses a run of segments now and then, as a queue that is full does: what is lost costs a few
// round trips or one of the timers, and never more the more was lost.
//
// LANYARD_TCP_CASES says how many random ones (10^5 and more by hand; few in every run).
#include <gtest/gtest.h>

#include <deque>
#include <string>

#include "tests/support/tcp_model_guest.h"

namespace lanyard::testing {
namespace {

constexpr Duration kTick = std::chrono::milliseconds(1);

// Of segments with something new. What is repeated arrives: else each would cost a time-out, and
// that has no bound.
struct Loss {
  unsigned begin = 0;
  unsigned count = 0;
};

struct LossCase : ModelGuestCase {
  unsigned delay = 10;  // ticks, each way
  std::vector<Loss> to_guest;
  std::vector<Loss> from_guest;
};

class SlowWay {
 public:
  SlowWay(unsigned delay, const std::vector<Loss>& losses) : delay_(delay), losses_(losses) {}
  void add(Wire wire, std::uint64_t tick) {
    const std::uint32_t end = wire.sequence + static_cast<std::uint32_t>(wire.payload.size()) +
                              ((wire.flags & (kTcpFin | kTcpSyn)) != 0 ? 1U : 0U);
    if (!end_ || sequence_before(*end_, end)) {
      end_ = end;
      ++number_;
      for (const Loss& loss : losses_) {
        if (number_ > loss.begin && number_ <= loss.begin + loss.count) return;
      }
    }
    under_way_.emplace_back(tick + delay_, std::move(wire));
  }
  std::optional<Wire> arrived(std::uint64_t tick) {
    if (under_way_.empty() || under_way_.front().first > tick) return std::nullopt;
    Wire wire = std::move(under_way_.front().second);
    under_way_.pop_front();
    return wire;
  }

 private:
  unsigned delay_;
  const std::vector<Loss>& losses_;
  unsigned number_ = 0;
  std::optional<std::uint32_t> end_;  // of all that was sent
  std::deque<std::pair<std::uint64_t, Wire>> under_way_;
};

struct Outcome {
  bool complete = false;
  std::uint64_t ticks = 0;
  std::uint64_t longest_pause = 0;  // without a byte either way
  std::size_t repeated_by_guest = 0;
};

Outcome play(const LossCase& one, Random& random) {
  TcpFlow::Opening opening{one.first, one.our_first, 65535, {1460, one.shift, one.selects}, 1460};
  FlowWorld world(opening);
  world.flow->connected();
  world.socket.room = one.up + 1;
  world.host_writes(one.down);
  world.host_closes();
  ModelGuest guest(one, random);
  SlowWay down(one.delay, one.to_guest);
  SlowWay up(one.delay, one.from_guest);
  Outcome outcome;
  std::uint64_t progress = 0;
  std::size_t bytes = 0;
  while (outcome.ticks < 60'000 && !world.flow->ended()) {
    const std::uint64_t tick = outcome.ticks++;
    world.now += kTick;
    world.kept.clear();
    while (auto wire = up.arrived(tick)) world.from_guest(std::move(*wire));
    world.settle();
    for (const Wire& frame : world.link.take()) {
      for (Wire& piece : cut(frame, one.segment_size)) down.add(std::move(piece), tick);
    }
    while (auto wire = down.arrived(tick)) guest.receive(*wire, world.now);
    for (Wire& wire : guest.act(world.now)) up.add(std::move(wire), tick);
    const std::size_t now = world.socket.received.size() + guest.received.size();
    if (now != bytes) progress = tick;
    bytes = now;
    outcome.longest_pause = std::max(outcome.longest_pause, tick - progress);
  }
  outcome.complete = world.flow->state() == TcpFlow::State::closed &&
                     guest.received == bytes_from(0, one.down) &&
                     world.socket.received == bytes_from(0, one.up);
  outcome.repeated_by_guest = guest.repeated;
  return outcome;
}

LossCase plain_case() {
  LossCase one;
  one.shift = 7;
  one.buffer = 1 << 20;
  one.selects = true;
  one.sends_large = false;
  one.reads_slowly = false;
  one.closes_early = true;
  return one;
}

struct Row {
  const char* name;
  bool up;
  bool selects;
  Loss loss;
  std::uint64_t more_ticks;  // than without a loss
};
class TcpFlowLoss : public ::testing::TestWithParam<Row> {};
INSTANTIATE_TEST_SUITE_P(
    Table, TcpFlowLoss,
    ::testing::Values(Row{"UpOne", true, true, {300, 1}, 300},
                      Row{"UpAHundred", true, true, {300, 100}, 300},
                      Row{"UpOneOfAGuestWithoutSelection", true, false, {300, 1}, 300},
                      Row{"DownOne", false, true, {300, 1}, 900},
                      Row{"DownAHundred", false, true, {300, 100}, 900},
                      Row{"DownAHundredToAGuestWithoutSelection", false, false, {300, 100}, 900}),
    [](const auto& row) { return std::string(row.param.name); });

TEST_P(TcpFlowLoss, CostsAFewRoundTrips) {
  const Row& row = GetParam();
  LossCase one = plain_case();
  one.selects = row.selects;
  (row.up ? one.up : one.down) = 2'000'000;
  Random random(1);
  const Outcome without = play(one, random);
  ASSERT_TRUE(without.complete);
  (row.up ? one.from_guest : one.to_guest) = {row.loss};
  const Outcome with = play(one, random);
  EXPECT_TRUE(with.complete);
  EXPECT_LE(with.ticks, without.ticks + row.more_ticks);
  if (row.up) {
    EXPECT_LE(with.repeated_by_guest, row.loss.count + 3);
  }
}

// The guest hears of a hole although every segment to it carries data.
TEST(TcpFlowLoss, IsToldToAGuestThatIsSentTo) {
  LossCase one = plain_case();
  one.up = one.down = 2'000'000;
  one.from_guest = {{300, 20}};
  Random random(1);
  const Outcome outcome = play(one, random);
  EXPECT_TRUE(outcome.complete);
  EXPECT_LT(outcome.longest_pause, 200U);
  EXPECT_LE(outcome.repeated_by_guest, 23U);
}

TEST(TcpFlowLoss, NeverIsAStandstill) {
  Random random;
  const std::uint64_t cases = environment_number("LANYARD_TCP_CASES", 100);
  for (std::uint64_t i = 0; i < cases; ++i) {
    Random own(random.number());
    LossCase one = plain_case();
    one.first = static_cast<std::uint32_t>(own.number());
    one.our_first = static_cast<std::uint32_t>(own.number());
    one.delay = 1 + static_cast<unsigned>(own.below(15));
    one.selects = !own.one_in(4);
    one.sends_large = own.one_in(2);
    one.closes_early = own.one_in(2);
    one.up = own.below(400'000);
    one.down = own.below(400'000);
    unsigned lost = 0;
    for (auto* const losses : {&one.to_guest, &one.from_guest}) {
      while (!own.one_in(3) && losses->size() < 2) {
        losses->push_back(
            {static_cast<unsigned>(own.below(250)), 1 + static_cast<unsigned>(own.below(40))});
        lost += losses->back().count;
      }
    }
    const Outcome outcome = play(one, own);
    const std::string what = "case " + std::to_string(i) + " of " + random.how_to_repeat();
    ASSERT_TRUE(outcome.complete) << what;
    ASSERT_LT(outcome.longest_pause, 2'000U) << what;
    // At worst each is a flight of its own, and a time-out.
    ASSERT_LT(outcome.ticks, 3'000U + 250 * lost) << what;
  }
}

}  // namespace
}  // namespace lanyard::testing

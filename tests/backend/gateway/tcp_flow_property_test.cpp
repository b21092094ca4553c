// SPDX-License-Identifier: MIT
//
// Connections of the direct TCP engine over ways that lose, repeat and delay segments, to guests
// whose windows shrink and grow and sockets that are slow: every byte arrives, once and in order,
// both sides end, and nothing is held afterwards.
//
// LANYARD_TCP_CASES says how many (10^5 and more by hand; few in every run).
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "tests/support/random.h"
#include "tests/support/tcp_model_guest.h"

namespace lanyard::testing {
namespace {

constexpr Duration kTick = std::chrono::milliseconds(1);

struct Way {
  unsigned loss = 0;  // of 100
  unsigned again = 0;
  unsigned late = 0;
};

struct Case : ModelGuestCase {
  Way to_guest;
  Way from_guest;
};

Way any_way(Random& random) {
  if (random.one_in(3)) return {};
  return {static_cast<unsigned>(random.below(12)), static_cast<unsigned>(random.below(10)),
          static_cast<unsigned>(random.below(30))};
}

Case any_case(Random& random) {
  constexpr std::size_t kSizes[] = {0, 1, 100, 1460, 5000, 40000, 200000};
  constexpr std::uint16_t kSegments[] = {48, 536, 1220, 1460, 8960, 16000};
  Case one;
  one.to_guest = any_way(random);
  one.from_guest = any_way(random);
  one.up = random.below(random.of(kSizes) + 1);
  one.down = random.below(random.of(kSizes) + 1);
  one.segment_size = random.of(kSegments);
  one.scales = !random.one_in(4);
  one.shift = one.scales ? static_cast<std::uint8_t>(random.below(8)) : std::uint8_t{0};
  // Less than a unit of the window could not even be offered.
  one.buffer = (std::size_t{1} << one.shift) + random.below(random.one_in(4) ? 3000 : 200000);
  one.shrinks = random.one_in(3);
  one.selects = random.one_in(2);
  one.first = static_cast<std::uint32_t>(random.number());
  one.our_first = static_cast<std::uint32_t>(random.number());
  if (random.one_in(3)) one.first = 0U - static_cast<std::uint32_t>(random.below(100000));
  one.closes_early = random.one_in(2);
  return one;
}

// Segments under way, by the tick in which they arrive.
class Path {
 public:
  Path(const Way& way, Random& random) : way_(way), random_(random) {}
  void add(Wire wire, std::uint64_t tick) {
    if (random_.below(100) < way_.loss) return;
    if (random_.below(100) < way_.again) under_way_.emplace(tick + 1 + random_.below(5), wire);
    const std::uint64_t delay = random_.below(100) < way_.late ? random_.below(6) : 0;
    under_way_.emplace(tick + 1 + delay, std::move(wire));
  }
  std::vector<Wire> arrived(std::uint64_t tick) {
    std::vector<Wire> in;
    const auto end = under_way_.upper_bound(tick);
    for (auto at = under_way_.begin(); at != end; ++at) in.push_back(std::move(at->second));
    under_way_.erase(under_way_.begin(), end);
    return in;
  }
  bool empty() const { return under_way_.empty(); }

 private:
  Way way_;
  Random& random_;
  std::multimap<std::uint64_t, Wire> under_way_;
};

// Empty when all is well.
std::string play(const Case& one, Random& random) {
  TcpFlow::Opening opening{one.first,
                           one.our_first,
                           static_cast<std::uint16_t>(std::min<std::size_t>(one.buffer, 65535)),
                           {one.segment_size, std::nullopt, one.selects},
                           16000};
  if (one.scales) opening.options.window_shift = one.shift;
  FlowWorld world(opening);
  world.flow->connected();
  world.socket.room = random.below(30000);
  ModelGuest guest(one, random);
  Path down(one.to_guest, random);
  Path up(one.from_guest, random);
  // A guest with room for few bytes reads them one segment after the other.
  const std::uint64_t ticks = 600'000 + 200 * (one.down / one.buffer);
  for (std::uint64_t tick = 0; tick < ticks; ++tick) {
    world.now += kTick;
    world.kept.clear();
    for (Wire& wire : up.arrived(tick)) world.from_guest(std::move(wire));
    if (world.socket.written < one.down && random.one_in(3)) {
      world.host_writes(std::min(one.down - world.socket.written, 1 + random.below(70000)));
    }
    const bool may_close = one.closes_early || random.one_in(50);
    if (world.socket.written == one.down && !world.socket.closed && may_close) world.host_closes();
    if (random.one_in(3)) {
      world.socket.room += random.below(50000);
      if (std::exchange(world.socket.full, false)) world.flow->writable();
    }
    world.settle();
    for (const Wire& frame : world.link.take()) {
      for (Wire& piece : cut(frame, world.flow->sender().segment_size())) {
        const auto end = piece.sequence + static_cast<std::uint32_t>(piece.payload.size());
        if (guest.has_offered && !one.shrinks && !piece.payload.empty() &&
            sequence_before(guest.edge_max, end)) {
          return "more was sent than the window allows";
        }
        down.add(std::move(piece), tick);
      }
    }
    for (const Wire& wire : down.arrived(tick)) guest.receive(wire, world.now);
    for (Wire& wire : guest.act(world.now)) up.add(std::move(wire), tick);
    if (world.flow->ended()) break;
  }
  if (guest.received != bytes_from(0, guest.received.size())) return "the guest got other bytes";
  if (world.socket.received != bytes_from(0, world.socket.received.size())) {
    return "the host got other bytes";
  }
  if (world.flow->state() != TcpFlow::State::closed) {
    return "it did not end: state " + std::to_string(static_cast<int>(world.flow->state())) +
           ", host has " + std::to_string(world.socket.received.size()) + ", guest has " +
           std::to_string(guest.received.size());
  }
  if (guest.received.size() != one.down) return "the guest has not everything";
  if (world.socket.received.size() != one.up) return "the host has not everything";
  if (world.socket.ends != 1) return "the host was told of the end not once";
  world.flow.reset();
  if (world.memory.used() != 0 || world.memory.granted() != 0) return "memory is held";
  return {};
}

TEST(TcpFlowProperty, EveryByteArrivesOnceAndBothSidesEnd) {
  Random random;
  const std::uint64_t cases = environment_number("LANYARD_TCP_CASES", 300);
  for (std::uint64_t i = 0; i < cases; ++i) {
    const std::uint64_t seed = random.number();
    Random own(seed);
    const Case one = any_case(own);
    ASSERT_EQ(play(one, own), "") << "case " << i << " of " << random.how_to_repeat() << ": up "
                                  << one.up << ", down " << one.down << ", segment size "
                                  << one.segment_size << ", buffer " << one.buffer;
  }
}

}  // namespace
}  // namespace lanyard::testing

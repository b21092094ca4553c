// SPDX-License-Identifier: MIT
#include "switch/bridge/mac_table.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <map>
#include <set>

#include "tests/support/frame_builder.h"
#include "tests/support/random.h"

namespace lanyard {
namespace {

using testing::kAlice;
using testing::kBob;
using testing::kCarol;
using testing::Random;
using testing::station;
using Learned = MacTable::Learned;

constexpr std::uint64_t kSecret = 0x1234567890abcdef;

// Looks at the whole table; returns who was forgotten.
std::set<std::uint64_t> sweep(MacTable& table, std::uint32_t now_s, std::size_t budget = 1000) {
  std::set<std::uint64_t> gone;
  while (!table.sweep(now_s, budget, [&](const MacEntry& e) { gone.insert(e.mac.number()); })) {
  }
  return gone;
}

// The numbers of the stations that are known on a port.
std::size_t known(const MacTable& table, PortId port, std::uint64_t first, std::uint64_t count) {
  std::size_t found = 0;
  for (std::uint64_t i = first; i < first + count; ++i) found += table.find(station(i), 0) == port;
  return found;
}

TEST(MacTable, KnowsNobodyAtFirst) {
  const MacTable table(kSecret, 100);
  EXPECT_EQ(table.find(kAlice, 0), kPortNone);
  EXPECT_EQ(table.entry(kAlice, 0, 0), std::nullopt);
  EXPECT_EQ(table.size(), 0U);
  EXPECT_EQ(table.size_of(5), 0U);
  EXPECT_EQ(table.entries_max(), 100U);
}

// The first touch of a page is a page fault, and while one network begins others forward.
TEST(MacTable, TouchesNoMemoryBeforeItLearns) {
#ifdef LANYARD_SANITIZED
  GTEST_SKIP() << "a sanitizer touches memory of its own";
#endif
  // As after a network that has gone, whose memory is used again.
  { const MacTable gone(kSecret); }
  rusage before{};
  rusage after{};
  ::getrusage(RUSAGE_SELF, &before);
  const MacTable table(kSecret);
  ::getrusage(RUSAGE_SELF, &after);
  EXPECT_LT(after.ru_minflt - before.ru_minflt, 40) << "its buckets alone are 128 pages";
  EXPECT_EQ(table.find(kAlice, 0), kPortNone);
}

TEST(MacTable, LearnsWhereAStationIs) {
  MacTable table(kSecret, 100);
  EXPECT_EQ(table.learn(kAlice, 0, 3, 10).what, Learned::added);
  EXPECT_EQ(table.find(kAlice, 0), 3);
  EXPECT_EQ(table.learn(kAlice, 0, 3, 11).what, Learned::refreshed);
  EXPECT_EQ(table.size(), 1U);
  EXPECT_EQ(table.size_of(3), 1U);
  const auto entry = table.entry(kAlice, 0, 15);
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(entry->mac, kAlice);
  EXPECT_EQ(entry->vlan, 0);
  EXPECT_EQ(entry->port, 3);
  EXPECT_EQ(entry->age_s, 4U);
}

TEST(MacTable, KnowsAStationPerVlan) {
  MacTable table(kSecret, 100);
  table.learn(kAlice, 0, 1, 10);
  table.learn(kAlice, 1, 2, 10);
  table.learn(kAlice, 4094, 3, 10);
  EXPECT_EQ(table.find(kAlice, 0), 1);
  EXPECT_EQ(table.find(kAlice, 1), 2);
  EXPECT_EQ(table.find(kAlice, 4094), 3);
  EXPECT_EQ(table.find(kAlice, 2), kPortNone);
}

TEST(MacTable, TellsNeighbouringAddressesApart) {
  MacTable table(kSecret, 1000);
  for (std::uint64_t i = 0; i < 1000; ++i) {
    table.learn(station(i), 0, static_cast<PortId>(i % 7), 10);
  }
  for (std::uint64_t i = 0; i < 1000; ++i) EXPECT_EQ(table.find(station(i), 0), i % 7);
}

TEST(MacTable, TakesPortNumbersUpToTheLast) {
  MacTable table(kSecret, 100);
  table.learn(kAlice, 0, 0, 10);
  table.learn(kBob, 0, kPortMax, 10);
  EXPECT_EQ(table.find(kAlice, 0), 0);
  EXPECT_EQ(table.find(kBob, 0), kPortMax);
  table.flush_port(kPortMax);
  EXPECT_EQ(table.find(kBob, 0), kPortNone);
}

TEST(MacTable, MovesAStationOnlyWhenItsOldPortHasNotSeenItForLonger) {
  // Alice was last seen on port 1 at second 100; what happens when she sends from port 2?
  const struct {
    std::uint32_t hold_s;
    std::uint32_t now_s;
    Learned what;
    PortId then_on;
  } rows[] = {
      {3, 100, Learned::held, 1},  {3, 101, Learned::held, 1},   {3, 103, Learned::held, 1},
      {3, 104, Learned::moved, 2}, {0, 100, Learned::held, 1},   {0, 101, Learned::moved, 2},
      {60, 160, Learned::held, 1}, {60, 161, Learned::moved, 2},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(fmt::format("hold {} now {}", row.hold_s, row.now_s));
    MacTable table(kSecret, 100);
    table.settings().hold_s = row.hold_s;
    table.learn(kAlice, 0, 1, 100);
    const MacTable::LearnResult result = table.learn(kAlice, 0, 2, row.now_s);
    EXPECT_EQ(result.what, row.what);
    EXPECT_EQ(result.from, 1);
    EXPECT_EQ(table.find(kAlice, 0), row.then_on);
    EXPECT_EQ(table.size(), 1U);
    EXPECT_EQ(table.size_of(row.then_on), 1U);
  }
}

TEST(MacTable, HoldsAStationAsLongAsItsOwnPortSeesIt) {
  MacTable table(kSecret, 100);
  for (std::uint32_t now = 100; now < 120; ++now) {
    table.learn(kAlice, 0, 1, now);
    EXPECT_EQ(table.learn(kAlice, 0, 2, now).what, Learned::held);
  }
  EXPECT_EQ(table.find(kAlice, 0), 1);
}

TEST(MacTable, DoesNotTakeAHeldFrameForASign) {
  // What is seen on the wrong port does not make the entry younger: the move comes in time.
  MacTable table(kSecret, 100);
  table.learn(kAlice, 0, 1, 100);
  for (std::uint32_t now = 100; now <= 103; ++now) table.learn(kAlice, 0, 2, now);
  EXPECT_EQ(table.learn(kAlice, 0, 2, 104).what, Learned::moved);
}

TEST(MacTable, ForgetsOnlyInTheSweep) {
  MacTable table(kSecret, 100);
  table.learn(kAlice, 0, 1, 100);
  EXPECT_EQ(table.find(kAlice, 0), 1);
  EXPECT_TRUE(sweep(table, 200).empty()) << "100 s are not longer than 100 s";
  EXPECT_EQ(table.find(kAlice, 0), 1);
  EXPECT_EQ(sweep(table, 201), std::set{kAlice.number()});
  EXPECT_EQ(table.find(kAlice, 0), kPortNone);
  EXPECT_EQ(table.size(), 0U);
  EXPECT_EQ(table.size_of(1), 0U);
  EXPECT_TRUE(sweep(table, 300).empty());
}

TEST(MacTable, ForgetsAllUnseenThisSecondWhenExpiryIsZero) {
  MacTable table(kSecret, 100);
  table.settings().expire_s = 0;
  table.learn(kAlice, 0, 1, 100);
  table.learn(kBob, 0, 1, 101);
  EXPECT_EQ(sweep(table, 101), std::set{kAlice.number()});
}

TEST(MacTable, SweepsInSlices) {
  MacTable table(kSecret, 100);
  for (std::uint64_t i = 0; i < 50; ++i) table.learn(station(i), 0, 1, 10);
  std::size_t forgotten = 0;
  const auto count = [&](const MacEntry&) { ++forgotten; };
  for (int slice = 1; slice <= 4; ++slice) {
    EXPECT_FALSE(table.sweep(1000, 10, count));
    EXPECT_EQ(forgotten, static_cast<std::size_t>(slice) * 10);
    EXPECT_EQ(table.size(), 50 - forgotten);
  }
  EXPECT_TRUE(table.sweep(1000, 10, count));
  EXPECT_EQ(forgotten, 50U);
  EXPECT_TRUE(table.sweep(1000, 100, count)) << "and starts over";
  EXPECT_EQ(forgotten, 50U);
}

TEST(MacTable, KeepsWhatIsSeenBetweenSlices) {
  MacTable table(kSecret, 100);
  for (std::uint64_t i = 0; i < 20; ++i) table.learn(station(i), 0, 1, 10);
  EXPECT_FALSE(table.sweep(111, 10, [](const MacEntry&) {}));
  for (std::uint64_t i = 0; i < 20; ++i) table.learn(station(i), 0, 1, 111);
  EXPECT_TRUE(table.sweep(111, 100, [](const MacEntry&) {}));
  EXPECT_EQ(known(table, 1, 0, 20), 20U);
}

TEST(MacTable, FlushesAPortAndNoOther) {
  MacTable table(kSecret, 100);
  table.learn(kAlice, 0, 1, 10);
  table.learn(kAlice, 7, 1, 10);
  table.learn(kBob, 0, 2, 10);
  table.flush_port(1);
  EXPECT_EQ(table.find(kAlice, 0), kPortNone);
  EXPECT_EQ(table.find(kAlice, 7), kPortNone);
  EXPECT_EQ(table.find(kBob, 0), 2);
  EXPECT_EQ(table.size(), 1U);
  EXPECT_EQ(table.size_of(1), 0U);
  EXPECT_EQ(table.entry(kAlice, 0, 10), std::nullopt);
}

TEST(MacTable, LearnsAFlushedStationAnewAtOnce) {
  MacTable table(kSecret, 100);
  table.learn(kAlice, 0, 1, 10);
  table.flush_port(1);
  const MacTable::LearnResult result = table.learn(kAlice, 0, 2, 10);
  EXPECT_EQ(result.what, Learned::added) << "nothing holds it back";
  EXPECT_EQ(result.from, kPortNone);
  EXPECT_EQ(table.find(kAlice, 0), 2);
  table.learn(kBob, 0, 1, 10);
  EXPECT_EQ(table.find(kBob, 0), 1) << "and the flushed port learns again";
  EXPECT_EQ(table.size(), 2U);
}

TEST(MacTable, DoesNotReportFlushedStationsWhenSweeping) {
  MacTable table(kSecret, 100);
  table.learn(kAlice, 0, 1, 10);
  table.learn(kBob, 5, 2, 10);
  table.flush_port(1);
  table.flush_vlan(5);
  EXPECT_TRUE(sweep(table, 1000).empty());
  EXPECT_EQ(table.size(), 0U);
}

TEST(MacTable, FlushesAVlanAndNoOther) {
  MacTable table(kSecret, 100);
  table.learn(kAlice, 5, 1, 10);
  table.learn(kAlice, 6, 1, 10);
  table.flush_vlan(5);
  EXPECT_EQ(table.find(kAlice, 5), kPortNone);
  EXPECT_EQ(table.find(kAlice, 6), 1);
  sweep(table, 10);
  EXPECT_EQ(table.size(), 1U);
  EXPECT_EQ(table.learn(kAlice, 5, 2, 10).what, Learned::added);
  EXPECT_EQ(table.find(kAlice, 5), 2);
}

TEST(MacTable, ClearsEverything) {
  MacTable table(kSecret, 100);
  for (std::uint64_t i = 0; i < 100; ++i) {
    table.learn(station(i), static_cast<VlanId>(i % 3), static_cast<PortId>(i % 5), 10);
  }
  table.clear();
  EXPECT_EQ(table.size(), 0U);
  EXPECT_EQ(table.find(station(1), 1), kPortNone);
  table.learn(kAlice, 0, 1, 10);
  EXPECT_EQ(table.find(kAlice, 0), 1);
}

TEST(MacTable, UsesTheRoomOfFlushedPortsBeforeItEvicts) {
  MacTable table(kSecret, 100);
  for (std::uint64_t i = 0; i < 60; ++i) table.learn(station(i), 0, 1, 10);
  for (std::uint64_t i = 60; i < 100; ++i) table.learn(station(i), 0, 2, 10);
  table.flush_port(1);
  for (std::uint64_t i = 200; i < 260; ++i) {
    EXPECT_FALSE(table.learn(station(i), 0, 3, 10).evicted.has_value());
  }
  EXPECT_EQ(known(table, 2, 60, 40), 40U);
  EXPECT_EQ(known(table, 3, 200, 60), 60U);
  EXPECT_EQ(table.size(), 100U);
  EXPECT_TRUE(table.learn(kAlice, 0, 3, 10).evicted.has_value()) << "now it is full";
}

TEST(MacTable, EvictsFlushedVlansSilently) {
  MacTable table(kSecret, 10);
  for (std::uint64_t i = 0; i < 10; ++i) table.learn(station(i), 5, 1, 10);
  table.flush_vlan(5);
  for (std::uint64_t i = 0; i < 10; ++i) {
    EXPECT_FALSE(table.learn(station(i + 100), 6, 1, 11).evicted.has_value());
  }
  EXPECT_EQ(table.size(), 10U);
}

// Walking 20,000 entries takes far longer than a step that does not depend on their number.
TEST(MacTable, FlushesAPortWithoutWalkingItsEntries) {
  MacTable table(kSecret, 20000);
  auto best = std::chrono::nanoseconds::max();
  for (int attempt = 0; attempt < 5; ++attempt) {
    for (std::uint64_t i = 0; i < 20000; ++i) table.learn(station(i), 0, 1, 10);
    const auto start = std::chrono::steady_clock::now();
    table.flush_port(1);
    best = std::min<std::chrono::nanoseconds>(best, std::chrono::steady_clock::now() - start);
  }
  EXPECT_LT(best, std::chrono::microseconds(20));
}

TEST(MacTable, GivesAMillionInventedAddressesOnlyTheRoomOfTheirPort) {
  MacTable table(kSecret, 131072);
  for (PortId port = 2; port <= 33; ++port) {
    for (std::uint64_t i = 0; i < 100; ++i) {
      table.learn(station(port * 1000U + i), 0, port, 10);
    }
  }
  for (std::uint64_t i = 0; i < 1'000'000; ++i) {
    const auto result = table.learn(station(0x1000000 + i), 0, 1, 10);
    if (result.evicted) {
      ASSERT_EQ(result.evicted->port, 1);
    }
  }
  EXPECT_EQ(table.size(), 131072U);
  EXPECT_EQ(table.size_of(1), 131072U - 3200);
  for (PortId port = 2; port <= 33; ++port) {
    EXPECT_EQ(known(table, port, port * 1000U, 100), 100U) << port;
  }
}

TEST(MacTable, LetsANewcomerInWhenOnePortHasTakenEverything) {
  MacTable table(kSecret, 1000);
  for (std::uint64_t i = 0; i < 5000; ++i) table.learn(station(i), 0, 1, 10);
  const auto result = table.learn(kAlice, 0, 2, 10);
  EXPECT_EQ(result.what, Learned::added);
  ASSERT_TRUE(result.evicted.has_value());
  EXPECT_EQ(result.evicted->port, 1);
  for (std::uint64_t i = 5000; i < 10000; ++i) table.learn(station(i), 0, 1, 10);
  EXPECT_EQ(table.find(kAlice, 0), 2);
}

TEST(MacTable, SharesItsRoomBetweenTwoFlooders) {
  for (const unsigned times : {1U, 10U, 100U}) {
    SCOPED_TRACE(fmt::format("one floods {} times as fast as the other", times));
    MacTable table(kSecret, 1000);
    for (std::uint64_t i = 0; i < 20; ++i) table.learn(station(i), 0, 3, 10);
    std::uint64_t next = 1000;
    for (int round = 0; round < 5000; ++round) {
      for (unsigned i = 0; i < times; ++i) table.learn(station(next++), 0, 1, 10);
      table.learn(station(next++), 0, 2, 10);
    }
    EXPECT_EQ(known(table, 3, 0, 20), 20U) << "a third one loses nothing";
    EXPECT_GE(table.size_of(2), 485U);
    EXPECT_GE(table.size_of(1), 485U);
    EXPECT_EQ(table.size(), 1000U);
  }
}

TEST(MacTable, EvictsTheLongestUnseenOfThePort) {
  MacTable table(kSecret, 4);
  for (std::uint32_t i = 0; i < 4; ++i) table.learn(station(i), 0, 1, 10 + i);
  table.learn(station(0), 0, 1, 20);  // the oldest is seen again
  const auto result = table.learn(station(9), 0, 1, 21);
  ASSERT_TRUE(result.evicted.has_value());
  EXPECT_EQ(result.evicted->mac, station(1));
  EXPECT_EQ(result.evicted->age_s, 10U);
}

// A host behind a port that floods: stations that speak every second stay known.
TEST(MacTable, KeepsStationsThatAreSeenAgainDuringAFloodFromTheirOwnPort) {
  for (const std::uint64_t stations : {1U, 5U, 20U, 50U}) {
    SCOPED_TRACE(fmt::format("{} stations", stations));
    MacTable table(kSecret, 1000);
    std::uint64_t next = 1'000'000;
    for (std::uint32_t now = 10; now < 110; ++now) {
      for (std::uint64_t i = 0; i < stations; ++i) table.learn(station(i), 0, 1, now);
      for (int i = 0; i < 200; ++i) table.learn(station(next++), 0, 1, now);
      EXPECT_EQ(known(table, 1, 0, stations), stations) << "at second " << now;
      if (::testing::Test::HasFailure()) return;
    }
  }
}

TEST(MacTable, OfOneEntryWorks) {
  MacTable table(kSecret, 1);
  table.learn(kAlice, 0, 1, 10);
  const auto result = table.learn(kBob, 0, 2, 10);
  ASSERT_TRUE(result.evicted.has_value());
  EXPECT_EQ(result.evicted->mac, kAlice);
  EXPECT_EQ(table.find(kAlice, 0), kPortNone);
  EXPECT_EQ(table.find(kBob, 0), 2);
}

TEST(MacTable, VisitsEveryEntryOnceInPieces) {
  MacTable table(kSecret, 100);
  for (std::uint64_t i = 0; i < 30; ++i) {
    table.learn(station(i), 0, static_cast<PortId>(1 + i % 2), 10);
  }
  table.flush_port(2);
  std::multiset<std::uint64_t> seen;
  std::size_t at = 0;
  int pieces = 0;
  while (at < table.node_end()) {
    int room = 4;
    at = table.visit_from(at, 12, [&](const MacEntry& entry) {
      EXPECT_EQ(entry.age_s, 2U);
      EXPECT_EQ(entry.port, 1);
      seen.insert(entry.mac.number());
      return --room > 0;
    });
    ++pieces;
  }
  EXPECT_EQ(seen.size(), 15U);
  EXPECT_EQ(std::set<std::uint64_t>(seen.begin(), seen.end()).size(), 15U);
  EXPECT_GE(pieces, 4);
}

TEST(MacTable, HashesWithItsSecret) {
  const MacTable a(1111, 100);
  const MacTable b(2222, 100);
  const MacTable c(1111, 100);
  int equal = 0;
  for (std::uint64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(a.hash(station(i), 0), c.hash(station(i), 0));
    equal += (a.hash(station(i), 0) & 127) == (b.hash(station(i), 0) & 127);
  }
  EXPECT_LT(equal, 20) << "another secret, another order";
}

TEST(MacTable, SpreadsRegularAddressesOverItsBuckets) {
  constexpr std::size_t kBuckets = 1024;
  const MacTable table(kSecret, kBuckets);
  for (const std::uint64_t stride : {1ULL, 256ULL, 65536ULL, 0x1000000ULL}) {
    std::vector<int> buckets(kBuckets);
    for (std::uint64_t i = 0; i < kBuckets; ++i) {
      ++buckets[table.hash(MacAddress::from_number(i * stride), 0) % kBuckets];
    }
    EXPECT_LE(*std::max_element(buckets.begin(), buckets.end()), 12) << stride;
  }
}

// ---- random operations against a map ----

struct Model {
  struct Seen {
    PortId port;
    std::uint32_t seen_s;
  };
  std::map<std::pair<std::uint64_t, VlanId>, Seen> entries;
  std::uint32_t hold_s = 3;
  std::uint32_t expire_s = 100;

  PortId find(MacAddress mac, VlanId vlan) const {
    const auto at = entries.find({mac.number(), vlan});
    return at == entries.end() ? kPortNone : at->second.port;
  }
  Learned learn(MacAddress mac, VlanId vlan, PortId port, std::uint32_t now_s) {
    const auto [at, added] = entries.try_emplace({mac.number(), vlan}, Seen{port, now_s});
    if (added) return Learned::added;
    if (at->second.port != port && now_s - at->second.seen_s <= hold_s) return Learned::held;
    const bool moved = at->second.port != port;
    at->second = {port, now_s};
    return moved ? Learned::moved : Learned::refreshed;
  }
  template <typename Predicate>
  std::size_t forget(Predicate&& predicate) {
    return std::erase_if(entries, predicate);
  }
};

// Runs random steps on a table of `room` entries and on the model; what the table says it evicted
// is taken out of the model, too, and must have been the fault of a port with many.
void compare_with_model(std::size_t room, std::uint64_t stations, int steps) {
  Random random;
  SCOPED_TRACE(random.how_to_repeat());
  MacTable table(random.number(), room);
  Model model;
  std::uint32_t now = 1000;
  for (int step = 0; step < steps; ++step) {
    const MacAddress mac = station(random.below(stations));
    const auto vlan = static_cast<VlanId>(random.below(3));
    const auto port = static_cast<PortId>(random.below(5));
    const std::uint64_t action = random.below(1000);
    if (action < 900) {
      const PortId before = model.find(mac, vlan);
      const MacTable::LearnResult result = table.learn(mac, vlan, port, now);
      if (result.evicted) {
        const MacEntry& gone = *result.evicted;
        ASSERT_EQ(model.find(gone.mac, gone.vlan), gone.port);
        ASSERT_GE(table.size_of(gone.port) + 1, room / 6) << "evicted from a port with few";
        model.entries.erase({gone.mac.number(), gone.vlan});
      }
      const Learned expected = model.learn(mac, vlan, port, now);
      ASSERT_EQ(result.what, expected) << "step " << step;
      const bool elsewhere = expected == Learned::moved || expected == Learned::held;
      ASSERT_EQ(result.from, elsewhere ? before : kPortNone);
    } else if (action < 950) {
      now += static_cast<std::uint32_t>(random.below(4));
    } else if (action < 970) {
      table.flush_port(port);
      model.forget([&](const auto& e) { return e.second.port == port; });
    } else if (action < 980) {
      table.flush_vlan(vlan);
      model.forget([&](const auto& e) { return e.first.second == vlan; });
    } else if (action < 983) {
      now += 60;
    } else if (action < 984) {
      table.clear();
      model.entries.clear();
    } else if (action < 990) {
      const std::size_t budget = 1 + random.below(50);
      std::size_t forgotten = 0;
      const auto count = [&](const MacEntry&) { ++forgotten; };
      while (!table.sweep(now, budget, count)) {
      }
      ASSERT_EQ(forgotten, model.forget([&](const auto& e) {
        return now - e.second.seen_s > model.expire_s;
      }));
    }
    ASSERT_EQ(table.find(mac, vlan), model.find(mac, vlan)) << "step " << step;
    ASSERT_LE(table.size(), room);
    ASSERT_GE(table.size(), model.entries.size());
  }
  std::size_t visited = 0;
  table.visit_from(0, now, [&](const MacEntry& entry) {
    ++visited;
    EXPECT_EQ(model.find(entry.mac, entry.vlan), entry.port);
    return true;
  });
  EXPECT_EQ(visited, model.entries.size());
}

TEST(MacTableModel, BehavesLikeAMapWhenThereIsRoom) {
  compare_with_model(2000, 300, 100'000);
}

TEST(MacTableModel, BehavesLikeAMapWithEvictionsWhenThereIsLittle) {
  compare_with_model(100, 300, 100'000);
}

TEST(MacTableModel, BehavesLikeAMapWithEvictionsWhenThereIsHardlyAny) {
  compare_with_model(7, 50, 50'000);
}

}  // namespace
}  // namespace lanyard

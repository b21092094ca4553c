// SPDX-License-Identifier: MIT
//
// What switch/bridge/endpoint.h promises, held against every kind of endpoint: a row says how two
// ends of a kind are had that can be called directly, and each test is a promise.
#include <gtest/gtest.h>
#include <poll.h>

#include <filesystem>
#include <functional>

#include "backend/stream_endpoint.h"
#include "switch/control/plugin_host.h"
#include "switch/runtime/backend.h"
#include "tests/support/lane_fixture.h"
#include "tests/support/temporary_directory.h"

namespace lanyard {
namespace {

using testing::Bytes;
using testing::frame;
using testing::kAlice;
using testing::kBob;
using testing::LaneFixture;
using testing::SocketPair;
using testing::TemporaryDirectory;
using testing::WireFrame;

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

// Two switches in one loop.
struct World : LaneFixture {
  struct Far {
    explicit Far(LaneFixture& near)
        : bridge({MacAddress::from_number(2), 32, 1, 4096}, pool, events),
          lane(bridge, pool, *near.loop, near.log) {}
    FramePool pool;
    testing::RecordingEvents events;
    Switch bridge;
    Lane lane;
  };

  World() { register_builtin_backends(registry); }

  template <typename Predicate>
  bool until_both(Predicate&& predicate) {
    bool late = false;
    const EventLoop::Timer guard = loop->after(std::chrono::seconds(10), [&late] { late = true; });
    while (!predicate()) {
      if (late) return false;
      loop->run_once(lane.has_work() || far.lane.has_work());
      lane.serve_ready();
      far.lane.serve_ready();
    }
    return true;
  }
  Endpoint* open(Lane& into, const std::string& url) {
    const Result<void> done = registry.open(BackendOptions::parse(url).take(), into);
    EXPECT_TRUE(done.ok()) << done.error().text;
    Switch& bridge_of = &into == &lane ? bridge : far.bridge;
    return until_both([&] { return bridge_of.port(1) != nullptr && bridge_of.port(1)->active(); })
               ? &bridge_of.port(1)->plugs().front()->endpoint()
               : nullptr;
  }

  Far far{*this};
  BackendRegistry registry;
  TemporaryDirectory directory;
  // What a plugin needs.
  DebugHub hub{*loop, log};
  CommandTable commands;
  std::unique_ptr<PluginHost> plugins;
  // Ends that no switch owns.
  std::vector<std::unique_ptr<Endpoint>> owned;
};

// The end that is looked at, and the one that its frames come to; both may be the same.
struct Ends {
  Endpoint* one = nullptr;
  Endpoint* other = nullptr;
};

struct Kind {
  const char* name;
  std::function<Ends(World&)> open;
  bool echoes = false;   // with the addresses exchanged
  bool can_fill = true;  // when nobody reads
};

// `listens`: the end that looks is the one of the socket directory.
Ends vde_pair(World& world, bool listens) {
  Lane& directory = listens ? world.lane : world.far.lane;
  Lane& client = listens ? world.far.lane : world.lane;
  const std::string place = world.directory / "s";
  EXPECT_TRUE(world.registry.open(BackendOptions::parse("vde://" + place).take(), directory).ok());
  Endpoint* const end = world.open(client, "plug://" + place);
  Switch& bridge = listens ? world.bridge : world.far.bridge;
  EXPECT_TRUE(
      world.until_both([&] { return bridge.port(1) != nullptr && bridge.port(1)->active(); }));
  Endpoint* const served = &bridge.port(1)->plugs().front()->endpoint();
  return listens ? Ends{served, end} : Ends{end, served};
}

Ends gateway_pair(World& world) {
  SocketPair pair(SOCK_SEQPACKET);
  Endpoint* const one = world.open(world.lane, fmt::format("gateway://{}", pair.ours.release()));
  Endpoint* const other =
      world.open(world.far.lane, fmt::format("gateway://{}", pair.theirs.release()));
  return {one, other};
}

Ends stream_pair(World& world) {
  SocketPair pair(SOCK_STREAM);
  const auto end = [&](UniqueFd fd, FramePool& pool) {
    UniqueFd output(::dup(fd.get()));
    world.owned.push_back(std::make_unique<StreamEndpoint>(
        std::move(fd), std::move(output), StreamEndpoint::Settings{"a stream"}, *world.loop, pool));
    return world.owned.back().get();
  };
  Endpoint* const one = end(std::move(pair.ours), world.pool);
  return {one, end(std::move(pair.theirs), world.far.pool)};
}

// The plugin of the tests: an echo.
Ends plugin_echo(World& world) {
  world.plugins = std::make_unique<PluginHost>(PluginEnvironment{
      world.bridge, world.lane, world.registry, world.commands, world.hub, world.log});
  const Result<void> added = world.plugins->add(LANYARD_ODD_PLUGINS "/useful.so");
  EXPECT_TRUE(added.ok()) << added.error().text;
  Endpoint* const end = world.open(world.lane, "odd://1");
  return {end, end};
}

const Kind kKinds[] = {
    {"vde", [](World& world) { return vde_pair(world, true); }},
    {"plug", [](World& world) { return vde_pair(world, false); }},
    {"gateway", gateway_pair},
    {"stream", stream_pair},
    {"plugin", plugin_echo, true, false},
};

class EndpointContract : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    ends_ = GetParam().open(world_);
    ASSERT_NE(ends_.one, nullptr) << world_.log.text();
    ASSERT_NE(ends_.other, nullptr) << world_.log.text();
  }
  // What comes within ten seconds, until there are so many.
  std::vector<WireFrame> read(Endpoint& from, std::size_t wanted) {
    std::vector<WireFrame> got;
    while (got.size() < wanted) {
      world_.loop->run_once(true);  // what an end keeps for later it sends from there
      FrameBatch batch;
      const Rx rx = from.receive(batch);
      for (FrameRef& each : batch) {
        EXPECT_TRUE(each.unique());
        Bytes bytes;
        for (std::size_t i = 0; i < each->segment_count; ++i) {
          const Segment& segment = each->segments[i];
          bytes.insert(bytes.end(), segment.data, segment.data + segment.size);
        }
        EXPECT_EQ(bytes.size(), each->size);
        got.push_back(WireFrame{bytes});
      }
      if (rx == Rx::closed || (batch.empty() && !await(from, POLLIN))) break;
    }
    return got;
  }
  static bool await(const Endpoint& endpoint, short events) {
    pollfd ready{endpoint.wait_fd(), events, 0};
    return endpoint.wait_fd() < 0 || ::poll(&ready, 1, 10'000) == 1;
  }
  WireFrame as_it_arrives(const WireFrame& sent) const {
    WireFrame wire = sent;
    if (!GetParam().echoes) return wire;
    std::swap_ranges(wire.bytes.begin(), wire.bytes.begin() + 6, wire.bytes.begin() + 6);
    wire.bytes[6] = 0x02;
    return wire;
  }
  Outgoing outgoing(const WireFrame& wire) {
    return Outgoing::untagged(testing::frame_of(world_.pool, wire));
  }

  World world_;
  Ends ends_;
};

TEST_P(EndpointContract, HasALabelAndTakesWholeFrames) {
  EXPECT_FALSE(ends_.one->label().empty());
  EXPECT_GE(ends_.one->caps().frame_max, 1514U);
}

TEST_P(EndpointContract, WithoutFramesReceiveAddsNoneAndReturns) {
  FrameBatch batch;
  EXPECT_NE(ends_.one->receive(batch), Rx::closed);
  EXPECT_TRUE(batch.empty());
}

TEST_P(EndpointContract, CarriesFramesAsTheyAre) {
  std::vector<WireFrame> expected;
  for (const std::size_t size : {60U, 61U, 590U, 1513U, 1514U}) {
    const WireFrame wire = frame().from(kAlice).to(kBob).size(size);
    const std::array<Outgoing, 1> sent{outgoing(wire)};
    const Transmitted done = ends_.one->transmit(sent);
    EXPECT_EQ(done.consumed, 1U);
    EXPECT_EQ(done.lost, 0U);
    expected.push_back(as_it_arrives(wire));
  }
  EXPECT_EQ(read(*ends_.other, expected.size()), expected);
}

TEST_P(EndpointContract, PutsTheTagIn) {
  const WireFrame plain = frame().from(kAlice).to(kBob).size(60);
  FrameRef tagged = testing::frame_of(world_.pool, plain);
  tagged->vlan = 10;
  tagged->priority = 0x6000;
  const std::array<Outgoing, 1> sent{Outgoing::with_tag(std::move(tagged))};
  EXPECT_EQ(ends_.one->transmit(sent).consumed, 1U);
  WireFrame expected = as_it_arrives(plain);
  const Bytes tag{0x81, 0x00, 0x60, 0x0a};
  expected.bytes.insert(expected.bytes.begin() + 12, tag.begin(), tag.end());
  EXPECT_EQ(read(*ends_.other, 1), std::vector<WireFrame>{expected});
}

TEST_P(EndpointContract, KeepsNoReferenceToWhatItWasGiven) {
  const FrameRef kept = testing::frame_of(world_.pool, frame().from(kAlice).to(kBob).size(60));
  {
    const std::array<Outgoing, 1> sent{Outgoing::untagged(kept.share())};
    EXPECT_EQ(ends_.one->transmit(sent).consumed, 1U);
  }
  EXPECT_TRUE(kept.unique());
  EXPECT_EQ(kept->buffer->refs, 1U);
}

TEST_P(EndpointContract, WaitsForNobodyWhoDoesNotRead) {
  if (!GetParam().can_fill) GTEST_SKIP() << "it takes everything at once";
  const WireFrame wire = frame().from(kAlice).to(kBob).size(1514);
  EgressBatch batch;
  while (batch.room() != 0) batch.push(outgoing(wire));
  std::size_t taken = 0;
  for (int i = 0; i < 100'000; ++i) {
    const Transmitted done = ends_.one->transmit(batch.view());
    ASSERT_LE(done.consumed, batch.size());
    ASSERT_LE(done.lost, done.consumed);
    taken += done.consumed - done.lost;
    if (done.consumed < batch.size() || done.lost != 0) break;  // full, or full and said so
    ASSERT_LT(i, 99'999) << "it never said that it is full";
  }
  EXPECT_EQ(read(*ends_.other, taken).size(), taken) << "what it took arrives";
  EXPECT_TRUE(await(*ends_.one, POLLOUT)) << "there is room again";
  EXPECT_GT(ends_.one->transmit(batch.view()).consumed, 0U);
}

TEST(EndpointDescriptors, EveryKindClosesWhatItOpened) {
  for (const Kind& kind : kKinds) {
    const std::size_t before = open_descriptors();
    {
      World world;
      ASSERT_NE(kind.open(world).one, nullptr) << kind.name;
      world.plugins.reset();
      world.lane.close_all();
      world.far.lane.close_all();
    }
    EXPECT_EQ(open_descriptors(), before) << kind.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, EndpointContract, ::testing::ValuesIn(kKinds),
                         [](const auto& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace lanyard

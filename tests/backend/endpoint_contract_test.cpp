// SPDX-License-Identifier: MIT
//
// What switch/bridge/endpoint.h promises, held against every kind of endpoint: a row says how two
// ends of a kind are had that can be called directly, and each test is a promise.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <deque>
#include <filesystem>
#include <functional>

#include "backend/stream_endpoint.h"
#include "switch/control/plugin_host.h"
#include "switch/runtime/backend.h"
#include "tests/support/lane_fixture.h"
#include "tests/support/net_space.h"
#include "tests/support/ring_end.h"
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

enum class Way : std::uint8_t { both, out, in };  // frames go out of the switch, or into it

struct Kind {
  const char* name;
  std::function<Ends(World&)> open;
  bool echoes = false;   // with the addresses exchanged
  bool can_fill = true;  // when nobody reads
  Way way = Way::both;
  bool of_the_host = false;  // needs a network namespace of its own
};

// Why the kind cannot be had here; empty when it can.
std::string missing(const Kind& kind) {
  return kind.of_the_host ? testing::enter_own_namespace() : std::string();
}

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

// A gateway that only has the frames.
class GatewayEnd final : public Endpoint {
 public:
  GatewayEnd(UniqueFd socket, FramePool& pool) : end_(std::move(socket)), pool_(pool) {}

  std::string label() const override { return "a gateway"; }
  Caps caps() const override {
    Caps caps;
    caps.frame_max = kMaxFrameSize;
    return caps;
  }
  int wait_fd() const override { return end_.fd(); }
  bool has_room_when_readable() const override { return true; }
  Rx receive(FrameBatch& into) override {
    for (WireFrame& message : end_.receive()) waiting_.push_back(std::move(message));
    while (!waiting_.empty() && into.room() != 0) {
      const WireFrame message = std::move(waiting_.front());
      waiting_.pop_front();
      FrameRef frame = pool_.make();
      const auto size = message.bytes.size() - kVirtioHeaderSize;
      std::memcpy(frame->segments[0].data, message.bytes.data() + kVirtioHeaderSize, size);
      frame->set_bytes(frame->segments[0].data, static_cast<std::uint32_t>(size));
      into.push(std::move(frame));
    }
    return waiting_.empty() ? Rx::drained : Rx::more;
  }
  Transmitted transmit(std::span<const Outgoing> frames) override {
    Transmitted done;
    for (const Outgoing& out : frames) {
      WireFrame message{Bytes(kVirtioHeaderSize)};
      std::array<iovec, kGatherMax> parts;
      const std::size_t count = gather(out, parts);
      for (const iovec& part : std::span(parts).first(count)) {
        const auto* const from = static_cast<const std::uint8_t*>(part.iov_base);
        message.bytes.insert(message.bytes.end(), from, from + part.iov_len);
      }
      if (!end_.send(message) && !end_.rings().outgoing().wait_for_room()) break;
      ++done.consumed;
    }
    return done;
  }

 private:
  testing::RingEnd end_;
  FramePool& pool_;
  std::deque<WireFrame> waiting_;
};

Ends gateway_pair(World& world) {
  SocketPair pair(SOCK_SEQPACKET);
  Endpoint* const one = world.open(world.lane, fmt::format("gateway://{}", pair.ours.release()));
  world.owned.push_back(std::make_unique<GatewayEnd>(std::move(pair.theirs), world.far.pool));
  return {one, world.owned.back().get()};
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

// ---- the host's interfaces ----

constexpr const char* kQuiet =
    "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1";

// What the switch writes into a TAP is what the interface receives.
Ends tap_and_its_interface(World& world) {
  testing::must(kQuiet);
  Endpoint* const tap = world.open(world.lane, "tap://contract0");
  testing::must("ip link set contract0 up");
  return {tap, world.open(world.far.lane, "pcap://contract0")};
}

Ends pcap_pair(World& world) {
  testing::must(kQuiet);
  testing::must("ip link add contract1 type veth peer name contract2");
  testing::must("ip link set contract1 up; ip link set contract2 up");
  Endpoint* const one = world.open(world.lane, "pcap://contract1");
  return {one, world.open(world.far.lane, "pcap://contract2")};
}

// ---- files ----

// A file that is being recorded, looked at: the cable is unplugged, and what was written is played.
class Played final : public Endpoint {
 public:
  Played(World& world, std::string file) : world_(world), file_(std::move(file)) {
    ::inotify_add_watch(closed_.get(), file_.c_str(), IN_CLOSE_WRITE);
  }
  std::string label() const override { return file_; }
  Caps caps() const override { return {}; }
  int wait_fd() const override { return end_ != nullptr ? end_->wait_fd() : -1; }
  Rx receive(FrameBatch& into) override {
    if (end_ == nullptr) {
      world_.lane.close_plug(*world_.bridge.port(1)->plugs().front(), UnplugReason::by_operator);
      world_.lane.serve_ready();
      pollfd whole{closed_.get(), POLLIN, 0};
      EXPECT_EQ(::poll(&whole, 1, 10'000), 1) << "the file is not finished";
      end_ = world_.open(world_.far.lane, "replay://" + file_ + "?speed=max");
      if (end_ == nullptr) return Rx::closed;
    }
    return end_->receive(into);
  }
  Transmitted transmit(std::span<const Outgoing> frames) override {
    return {frames.size(), frames.size()};
  }

 private:
  World& world_;
  std::string file_;
  UniqueFd closed_{::inotify_init1(IN_CLOEXEC)};
  Endpoint* end_ = nullptr;
};

Ends recorded(World& world) {
  const std::string file = world.directory / "out.pcap";
  Endpoint* const end = world.open(world.lane, "record://" + file);
  world.owned.push_back(std::make_unique<Played>(world, file));
  return {end, world.owned.back().get()};
}

// A pipe that is written as a capture file.
class Written final : public Endpoint {
 public:
  explicit Written(const std::string& pipe) {
    EXPECT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    fd_.reset(::open(pipe.c_str(), O_RDWR | O_CLOEXEC));  // waits for nobody
    const std::array<std::uint32_t, 6> header{0xa1b2c3d4, 2 | 4 << 16, 0, 0, 65535, 1};
    write(header.data(), sizeof header);
  }
  std::string label() const override { return "a pipe"; }
  Caps caps() const override { return {}; }
  int wait_fd() const override { return fd_.get(); }
  Rx receive(FrameBatch&) override { return Rx::drained; }
  Transmitted transmit(std::span<const Outgoing> frames) override {
    for (const Outgoing& out : frames) {
      const Segment& bytes = out.frame->segments[0];
      const std::array<std::uint32_t, 4> header{0, 0, bytes.size, bytes.size};
      write(header.data(), sizeof header);
      write(bytes.data, bytes.size);
    }
    return {frames.size(), 0};
  }

 private:
  void write(const void* data, std::size_t size) {
    EXPECT_EQ(::write(fd_.get(), data, size), static_cast<ssize_t>(size));
  }

  UniqueFd fd_;
};

Ends replayed(World& world) {
  const std::string pipe = world.directory / "in.pcap";
  world.owned.push_back(std::make_unique<Written>(pipe));
  Endpoint* const end = world.open(world.lane, "replay://" + pipe + "?speed=max");
  return {end, world.owned.back().get()};
}

const Kind kKinds[] = {
    {"vde", [](World& world) { return vde_pair(world, true); }},
    {"plug", [](World& world) { return vde_pair(world, false); }},
    {"gateway", gateway_pair},
    {"stream", stream_pair},
    {"plugin", plugin_echo, true, false},
    {"tap", tap_and_its_interface, false, false, Way::both, true},
    {"pcap", pcap_pair, false, false, Way::both, true},
    {"record", recorded, false, false, Way::out},
    {"replay", replayed, false, false, Way::in},
};

class EndpointContract : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (const std::string why = missing(GetParam()); !why.empty()) GTEST_SKIP() << why;
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

  bool only_in() const { return GetParam().way == Way::in; }
  Endpoint& sender() { return only_in() ? *ends_.other : *ends_.one; }
  Endpoint& receiver() { return only_in() ? *ends_.one : *ends_.other; }

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
    const Transmitted done = sender().transmit(sent);
    EXPECT_EQ(done.consumed, 1U);
    EXPECT_EQ(done.lost, 0U);
    expected.push_back(as_it_arrives(wire));
  }
  EXPECT_EQ(read(receiver(), expected.size()), expected);
}

TEST_P(EndpointContract, PutsTheTagIn) {
  if (only_in()) GTEST_SKIP() << "nothing goes out";
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
  if (!GetParam().can_fill) GTEST_SKIP() << "it never says that it is full";
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
  const short room = ends_.one->has_room_when_readable() ? POLLIN : POLLOUT;
  EXPECT_TRUE(await(*ends_.one, room)) << "there is room again";
  EXPECT_GT(ends_.one->transmit(batch.view()).consumed, 0U);
}

TEST(EndpointDescriptors, EveryKindClosesWhatItOpened) {
  for (const Kind& kind : kKinds) {
    if (const std::string why = missing(kind); !why.empty()) {
      std::printf("%s is left out: %s\n", kind.name, why.c_str());
      continue;
    }
    const std::size_t before = open_descriptors();
    {
      World world;
      ASSERT_NE(kind.open(world).one, nullptr) << kind.name;
      world.plugins.reset();
      world.lane.close_all();
      world.far.lane.close_all();
    }
    // A file's thread closes its own, soon.
    for (int i = 0; i < 5000 && open_descriptors() != before; ++i) ::poll(nullptr, 0, 1);
    EXPECT_EQ(open_descriptors(), before) << kind.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, EndpointContract, ::testing::ValuesIn(kKinds),
                         [](const auto& row) { return std::string(row.param.name); });

}  // namespace
}  // namespace lanyard

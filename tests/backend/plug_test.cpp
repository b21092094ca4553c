// SPDX-License-Identifier: MIT
//
// Cables to another switch: how they are named, what is said on them, and that they come back. The
// other switch is one of ours, in the same loop, so that it can die when a test wants it to.
#include "backend/plug.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <optional>

#include "backend/backoff.h"
#include "backend/cable_ends.h"
#include "backend/plug_handshake.h"
#include "tests/support/lane_fixture.h"
#include "tests/support/temporary_directory.h"

namespace lanyard {
namespace {

using testing::Cable;
using testing::frame;
using testing::kAlice;
using testing::kBob;
using testing::LaneFixture;
using testing::TemporaryDirectory;
using testing::WireFrame;

// ---- names ----

TEST(PlugTarget, APathIsAVdeSwitch) {
  const PlugTarget plain = parse_plug_target("/run/lab").take();
  ASSERT_TRUE(plain.vde.has_value());
  EXPECT_EQ(plain.vde->directory, "/run/lab");
  EXPECT_EQ(plain.vde->port, std::nullopt);
  const PlugTarget url = parse_plug_target("vde://lab[guests/mode=660/group=kvm]").take();
  ASSERT_TRUE(url.vde.has_value());
  EXPECT_EQ(url.vde->directory, "lab");
  EXPECT_EQ(url.vde->port_group, "guests");
  EXPECT_EQ(url.vde->mode, 0660U);
  EXPECT_EQ(url.vde->group, "kvm");
}

TEST(PlugTarget, PortsAreWrittenAsVdeplugWritesThem) {
  EXPECT_EQ(parse_plug_target("/run/lab[5]").take().vde->port, 5U);
  EXPECT_EQ(parse_plug_target("/run/lab[port=0]").take().vde->port, 0U);
  EXPECT_EQ(parse_plug_target("/run/lab[-1]").take().vde->port, std::nullopt);
  EXPECT_EQ(parse_plug_target("/run/lab[]").take().vde->port, std::nullopt);
}

TEST(PlugTarget, EverythingElseIsForTheLibrary) {
  const PlugTarget target = parse_plug_target("vlan://3{vde:///run/lab[2]}").take();
  EXPECT_FALSE(target.vde.has_value());
  EXPECT_EQ(target.vnl, "vlan://3{vde:///run/lab[2]}");
}

TEST(PlugTarget, RefusesWhatCannotBe) {
  for (const std::string text :
       {"", "vde://", "/run/lab]", "[5]", "/run/lab[mode=888]", "/run/lab[colour=red]",
        "/run/lab[port=x]", "/run/lab[99999999999]", "/run/lab[.x]", "/run/lab[group=]"}) {
    EXPECT_EQ(parse_plug_target(text).error().code, EINVAL) << text;
  }
  EXPECT_EQ(parse_plug_target("/" + std::string(90, 'x')).error().code, ENAMETOOLONG);
}

// ---- bytes ----

TEST(PlugHandshake, SaysWhatASwitchReads) {
  VdeRequest request;
  request.port = 5;
  request.data_socket = "/run/lab/.1-1";
  request.description = "lanyard: user=alice pid=1";
  const VdeParse read = parse_vde_request(make_vde_request(request));
  ASSERT_EQ(read.state, VdeParse::State::complete);
  EXPECT_EQ(read.request.version, 3U);
  EXPECT_EQ(read.request.port, 5);
  EXPECT_EQ(read.request.data_socket, request.data_socket);
  EXPECT_EQ(read.request.description, request.description);
  request.version = 1;
  request.port = std::nullopt;
  const VdeParse old = parse_vde_request(make_vde_request(request));
  ASSERT_EQ(old.state, VdeParse::State::complete);
  EXPECT_EQ(old.request.version, 1U);
  EXPECT_EQ(old.request.data_socket, request.data_socket);
}

TEST(PlugHandshake, ReadsTheAnswer) {
  EXPECT_EQ(parse_vde_reply(make_vde_reply("/run/lab/001.7")).take(), "/run/lab/001.7");
  EXPECT_EQ(parse_vde_reply(make_vde_reply("")).error().code, EPROTO);
  std::array<std::uint8_t, kVdeReplySize> other{2};
  EXPECT_EQ(parse_vde_reply(other).error().code, EPROTO);
}

TEST(Backoff, GrowsToFiveSecondsAndAQuarter) {
  Backoff backoff(1);
  Duration expected = Backoff::kFirst;
  for (int i = 0; i < 10; ++i) {
    const Duration delay = backoff.next();
    EXPECT_GE(delay, expected);
    EXPECT_LE(delay, expected * 5 / 4);
    expected = std::min(expected * 2, Backoff::kLongest);
  }
  backoff.reset();
  EXPECT_LE(backoff.next(), Backoff::kFirst * 5 / 4);
}

// ---- the cable ----

class PlugBackendTest : public ::testing::Test, protected LaneFixture {
 protected:
  // The other switch.
  struct Far {
    Far(LaneFixture& near, const std::string& directory, const std::string& keys = "")
        : bridge({MacAddress::from_number(2), 32, 1, 4096}, pool, events),
          lane(bridge, pool, *near.loop, near.log) {
      BackendRegistry registry;
      register_builtin_backends(registry);
      const Result<void> done =
          registry.open(BackendOptions::parse("vde://" + directory + keys).take(), lane);
      EXPECT_TRUE(done.ok()) << done.error().text;
    }
    FramePool pool;
    testing::RecordingEvents events;
    Switch bridge;
    Lane lane;
  };

  PlugBackendTest() { register_builtin_backends(registry_); }

  Result<void> open(const std::string& url) {
    return registry_.open(BackendOptions::parse(url).take(), lane);
  }
  std::string url(const std::string& more = "") const {
    return "plug://" + (directory_ / "far") + more;
  }
  void start_far(const std::string& keys = "") {
    far_.emplace(static_cast<LaneFixture&>(*this), directory_ / "far", keys);
  }

  template <typename Predicate>
  bool until_both(Predicate&& predicate) {
    bool late = false;
    const EventLoop::Timer guard = loop->after(std::chrono::seconds(10), [&late] { late = true; });
    while (!predicate()) {
      if (late) return false;
      loop->run_once(lane.has_work() || (far_ && far_->lane.has_work()));
      lane.serve_ready();
      if (far_) far_->lane.serve_ready();
    }
    return true;
  }
  bool plugged(PortId port = 1) const {
    return bridge.port(port) != nullptr && bridge.port(port)->active();
  }

  TemporaryDirectory directory_;
  BackendRegistry registry_;
  std::optional<Far> far_;
};

TEST_F(PlugBackendTest, CarriesFrames) {
  start_far();
  ASSERT_TRUE(open(url()).ok());
  ASSERT_TRUE(until_both([&] { return plugged(); }));
  EXPECT_EQ(far_->bridge.port(1)->plugs().front()->traits().description.substr(0, 14),
            "lanyard: user=");
  Plug* guest = nullptr;
  const std::shared_ptr<Cable> cable = plug_memory(&guest);
  auto far_cable = std::make_shared<Cable>();
  PlugRequest request;
  request.traits.module = "test";
  const PortId port = far_->lane.reserve(request).take();
  Plug* const far_guest =
      far_->lane
          .plug(port, std::make_unique<testing::MemoryEndpoint>(far_cable, far_->pool),
                std::move(request.traits), nullptr)
          .take();
  const WireFrame there = frame().from(kAlice).to(kBob).size(1514);
  const WireFrame back = frame().from(kBob).to(kAlice).size(60);
  cable->to_switch.push_back(there);
  lane.wake(*guest);
  ASSERT_TRUE(until_both([&] { return far_cable->from_switch.size() == 1; }));
  EXPECT_EQ(far_cable->from_switch[0].bytes, there.bytes);
  far_cable->to_switch.push_back(back);
  far_->lane.wake(*far_guest);
  ASSERT_TRUE(until_both([&] { return cable->from_switch.size() == 1; }));
  EXPECT_EQ(cable->from_switch[0].bytes, back.bytes);
}

TEST_F(PlugBackendTest, LeavesNoNameBehind) {
  start_far();
  ASSERT_TRUE(open(url()).ok());
  ASSERT_TRUE(until_both([&] { return plugged(); }));
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory_ / "far")) {
    names.push_back(entry.path().filename());
  }
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("ctl", ::testing::StartsWith("001.")));
}

TEST_F(PlugBackendTest, ComesBackWhenTheOtherSwitchDoes) {
  start_far();
  ASSERT_TRUE(open(url("?port=7")).ok());
  ASSERT_TRUE(until_both([&] { return plugged(7); }));
  far_.reset();
  ASSERT_TRUE(until_both([&] { return !plugged(7); }));
  start_far();
  ASSERT_TRUE(until_both([&] { return plugged(7); })) << log.text();
  EXPECT_TRUE(log.contains("port 7: plugged into")) << log.text();
}

TEST_F(PlugBackendTest, WaitsForASwitchThatIsNotThereYet) {
  ASSERT_TRUE(open(url("[3]?port=2")).ok());
  EXPECT_TRUE(log.contains("No such file or directory; it will be plugged in")) << log.text();
  start_far();
  ASSERT_TRUE(until_both([&] { return plugged(2); })) << log.text();
  EXPECT_TRUE(far_->bridge.port(3)->active());
}

TEST_F(PlugBackendTest, KeepsItsPortMeanwhile) {
  ASSERT_TRUE(open(url()).ok());
  EXPECT_TRUE(bridge.port(1)->reserved);
  PlugRequest client;
  client.traits.identity.uid = 1000;
  EXPECT_EQ(lane.reserve(client).take(), 2);
  client.port = 1;
  EXPECT_EQ(lane.reserve(client).error().code, EACCES);
  start_far();
  ASSERT_TRUE(until_both([&] { return plugged(); }));
  EXPECT_FALSE(bridge.port(1)->reserved);
}

TEST_F(PlugBackendTest, SaysWhyOnceAndNotAtEachTry) {
  ASSERT_TRUE(open(url()).ok());
  const Time start = loop->now();
  ASSERT_TRUE(until_both([&] { return loop->now() - start > std::chrono::milliseconds(400); }));
  EXPECT_EQ(log.lines.size(), 1U) << log.text();
}

TEST_F(PlugBackendTest, IsUnpluggedForGoodByAnOperator) {
  start_far();
  ASSERT_TRUE(open(url()).ok());
  ASSERT_TRUE(until_both([&] { return plugged(); }));
  lane.close_plug(*bridge.port(1)->plugs().front(), UnplugReason::by_operator);
  ASSERT_TRUE(until_both([&] { return !plugged() && !far_->bridge.port(1)->active(); }));
  EXPECT_FALSE(bridge.port(1)->reserved);
}

TEST_F(PlugBackendTest, ASuccessorOpensItAgain) {
  struct Keeping final : Patchbay {
    explicit Keeping(Lane& to) : lane(to) {}
    Result<PortId> reserve(const PlugRequest& request) override { return lane.reserve(request); }
    Result<Plug*> plug(PortId port, std::unique_ptr<Endpoint> endpoint, Plug::Traits traits,
                       Unplugged unplugged) override {
      return lane.plug(port, std::move(endpoint), std::move(traits), std::move(unplugged));
    }
    void unplug(Plug& plug) override { lane.unplug(plug); }
    void wake(Plug& plug) override { lane.wake(plug); }
    void keep(std::unique_ptr<Service> given) override { service = std::move(given); }
    bool hold(PortId port, bool held) override { return lane.hold(port, held); }
    EventLoop& loop() override { return lane.loop(); }
    FramePool& pool() override { return lane.pool(); }
    Log& log() override { return lane.log(); }
    Lane& lane;
    std::unique_ptr<Service> service;
  };
  Keeping patchbay(lane);
  const BackendOptions options = BackendOptions::parse(url("[5]?port=7&frame_max=9000")).take();
  ASSERT_TRUE(registry_.open(options, patchbay).ok());
  const auto part = patchbay.service->handover(HandoverReason::commit);
  ASSERT_TRUE(part.has_value());
  EXPECT_EQ(part->kind, "plug");
  EXPECT_EQ(part->text("url"), url("[5]?port=7&frame_max=9000&version=3&reconnect=on"));
  EXPECT_TRUE(BackendOptions::parse(part->text("url")).ok());
}

TEST_F(PlugBackendTest, InASuccessorThePortIsHeldNoLongerThanTheCableIsLoose) {
  ASSERT_TRUE(open(url("?port=7")).ok());
  ASSERT_TRUE(bridge.port(7)->reserved);
  const std::vector<HandoverPart> parts = lane.handover(HandoverReason::commit);
  ASSERT_EQ(parts.size(), 1U);
  Switch successor({MacAddress::from_number(3), 32, 1, 4096}, pool, events);
  Lane its_lane(successor, pool, *loop, log);
  ASSERT_TRUE(successor.restore(bridge.state()).ok());
  ASSERT_TRUE(registry_.adopt(parts.front(), its_lane).ok());
  EXPECT_TRUE(successor.port(7)->reserved);
  start_far();
  ASSERT_TRUE(until_both([&] {
    its_lane.serve_ready();
    return successor.port(7)->active();
  })) << log.text();
  EXPECT_FALSE(successor.port(7)->reserved);
  its_lane.close_plug(*successor.port(7)->plugs().front(), UnplugReason::by_operator);
  its_lane.serve_ready();
  PlugRequest client;
  client.port = 7;
  client.traits.identity.uid = 1000;
  EXPECT_TRUE(its_lane.reserve(client).ok());
  its_lane.close_all();
}

TEST_F(PlugBackendTest, WithoutReconnectItEndsAndSaysSo) {
  std::string why;
  const PlugSettings settings =
      read_plug_settings(BackendOptions::parse(url("?reconnect=off")).take()).take();
  ASSERT_TRUE(open_plug(settings, lane, [&](const Error& error) { why = error.text; }).ok());
  EXPECT_THAT(why, ::testing::HasSubstr("No such file or directory"));
  EXPECT_FALSE(bridge.port(1)->reserved);
}

TEST_F(PlugBackendTest, RefusesOptionsThatMeanNothing) {
  for (const std::string keys : {"?port=x", "?frame_max=3", "?version=2", "?version=4",
                                 "?reconnect=maybe", "?colour=red", "?port=99999"}) {
    EXPECT_EQ(open(url(keys)).error().code, EINVAL) << keys;
  }
  EXPECT_EQ(open("plug://").error().code, EINVAL);
  EXPECT_EQ(open(url("?port=33")).error().code, EINVAL);
}

}  // namespace
}  // namespace lanyard

// SPDX-License-Identifier: MIT
#include "switch/runtime/lane.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <cerrno>

#include "tests/support/lane_fixture.h"
#include "tests/support/test_switch.h"

namespace lanyard {
namespace {

using testing::balance_error;
using testing::Cable;
using ::testing::ElementsAre;
using testing::frame;
using ::testing::IsEmpty;
using testing::kAlice;
using testing::kBob;
using testing::LaneFixture;
using testing::MemoryEndpoint;
using testing::receive_frames;
using testing::send_frame;
using testing::SocketEndpoint;
using testing::SocketPair;
using testing::WireFrame;

std::vector<WireFrame> numbered(int count, std::size_t size = 60) {
  std::vector<WireFrame> frames;
  for (int i = 0; i < count; ++i) {
    frames.push_back(frame().payload(std::to_string(i)).size(size));
  }
  return frames;
}

class LaneTest : public ::testing::Test, protected LaneFixture {
 protected:
  // Reads from a client's socket until there are so many.
  std::vector<WireFrame> expect_frames(int fd, std::size_t count) {
    std::vector<WireFrame> frames;
    EXPECT_TRUE(until([&] {
      for (WireFrame& wire : receive_frames(fd)) frames.push_back(std::move(wire));
      return frames.size() >= count;
    })) << frames.size()
        << " of " << count << " came";
    return frames;
  }
};

TEST_F(LaneTest, CarriesFramesBetweenSockets) {
  const UniqueFd alice = plug_socket();
  const UniqueFd bob = plug_socket();
  const UniqueFd carol = plug_socket();
  ASSERT_TRUE(send_frame(alice.get(), frame().from(kAlice).payload("hello")));
  EXPECT_THAT(expect_frames(bob.get(), 1), ElementsAre(frame().payload("hello")));
  EXPECT_THAT(expect_frames(carol.get(), 1), ElementsAre(frame().payload("hello")));
  ASSERT_TRUE(send_frame(bob.get(), frame().from(kBob).to(kAlice).payload("you")));
  EXPECT_THAT(expect_frames(alice.get(), 1),
              ElementsAre(frame().from(kBob).to(kAlice).payload("you")));
  EXPECT_THAT(receive_frames(carol.get()), IsEmpty());
  EXPECT_EQ(balance_error(bridge), "");
}

TEST_F(LaneTest, GivesTheFirstFreePortAndAnIdOfItsOwn) {
  Plug* first = nullptr;
  Plug* second = nullptr;
  plug_memory(&first);
  plug_memory(&second);
  EXPECT_EQ(first->port().id(), 1);
  EXPECT_EQ(second->port().id(), 2);
  EXPECT_GE(first->traits().id, 0);
  EXPECT_NE(first->traits().id, second->traits().id);
}

TEST_F(LaneTest, PassesRefusalsOn) {
  PlugRequest request;
  request.port = 99;
  const Result<PortId> refused = lane.reserve(request);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, EINVAL);
}

TEST_F(LaneTest, RefusesAnEndpointItCannotWatch) {
  auto cable = std::make_shared<Cable>();
  cable->wait.reset(987654);
  const Result<Plug*> plugged = plug(std::make_unique<MemoryEndpoint>(cable, pool));
  cable->wait.release();
  ASSERT_FALSE(plugged.ok());
  EXPECT_EQ(plugged.error().code, EBADF);
  EXPECT_TRUE(cable->destroyed);
  EXPECT_FALSE(bridge.port(1)->active());
}

TEST_F(LaneTest, ServesAnEndpointThatIsWoken) {
  Plug* plug = nullptr;
  const auto from = plug_memory(&plug);
  const auto to = plug_memory();
  from->to_switch.push_back(frame().payload("x"));
  lane.wake(*plug);
  EXPECT_TRUE(until([&] { return !to->from_switch.empty(); }));
  EXPECT_THAT(to->take(), ElementsAre(frame().payload("x")));
}

TEST_F(LaneTest, CallsAgainWhileThereIsMoreAndLetsOthersBetween) {
  Plug* busy_plug = nullptr;
  Plug* quiet_plug = nullptr;
  const auto busy = plug_memory(&busy_plug);
  const auto quiet = plug_memory(&quiet_plug);
  const auto reader = plug_memory();
  for (const WireFrame& wire : numbered(1000)) busy->to_switch.push_back(wire);
  quiet->to_switch.push_back(frame().from(kBob).payload("quiet"));
  lane.wake(*busy_plug);
  lane.wake(*quiet_plug);
  lane.turn();
  EXPECT_EQ(reader->from_switch.size(), FrameBatch::kCapacity + 1)
      << "a batch of the busy one, and the quiet one had its turn";
  EXPECT_EQ(reader->from_switch.back(), frame().from(kBob).payload("quiet"));
  EXPECT_TRUE(until([&] { return reader->from_switch.size() == 1001; }));
}

TEST_F(LaneTest, SendsEverythingBeforeItSleeps) {
  // More than one flush's worth from many ports in one turn.
  std::vector<std::shared_ptr<Cable>> cables;
  std::vector<Plug*> plugs(20);
  for (Plug*& plug : plugs) {
    cables.push_back(plug_memory(&plug));
    for (const WireFrame& wire : numbered(64)) cables.back()->to_switch.push_back(wire);
  }
  for (Plug* plug : plugs) lane.wake(*plug);
  lane.turn();
  EXPECT_FALSE(bridge.has_pending());
  for (const auto& cable : cables) EXPECT_EQ(cable->from_switch.size(), 19U * 64);
}

// ---- slow readers ----

TEST_F(LaneTest, SendsABacklogWhenItsReaderReadsAgain) {
  const UniqueFd alice = plug_socket();
  const UniqueFd bob = plug_socket();
  const UniqueFd carol = plug_socket();
  const std::vector<WireFrame> frames = numbered(600, 1000);
  std::vector<WireFrame> carols;
  for (const WireFrame& wire : frames) {
    EXPECT_TRUE(until([&] { return send_frame(alice.get(), wire); }));
    lane.turn();
    for (WireFrame& copy : receive_frames(carol.get())) carols.push_back(std::move(copy));
  }
  EXPECT_EQ(carols, frames) << "nobody waits for a slow reader";
  EXPECT_TRUE(bridge.port(2)->plugs()[0]->has_backlog());
  EXPECT_EQ(balance_error(bridge), "");
  EXPECT_EQ(expect_frames(bob.get(), frames.size()), frames);
  EXPECT_TRUE(until([&] { return !bridge.port(2)->plugs()[0]->waiting_writable; }));
  EXPECT_FALSE(bridge.port(2)->plugs()[0]->has_backlog());
  EXPECT_EQ(balance_error(bridge), "");
  // And a second time: the reader is waited for again.
  for (const WireFrame& wire : frames) {
    EXPECT_TRUE(until([&] { return send_frame(alice.get(), wire); }));
    lane.turn();
    receive_frames(carol.get());
  }
  EXPECT_TRUE(bridge.port(2)->plugs()[0]->has_backlog());
  EXPECT_EQ(expect_frames(bob.get(), frames.size()), frames);
}

TEST_F(LaneTest, ReceivesFromAReaderThatDoesNotRead) {
  const UniqueFd alice = plug_socket();
  const UniqueFd bob = plug_socket();
  for (const WireFrame& wire : numbered(600, 1000)) {
    EXPECT_TRUE(until([&] { return send_frame(alice.get(), wire); }));
    lane.turn();
  }
  ASSERT_TRUE(bridge.port(2)->plugs()[0]->has_backlog());
  ASSERT_TRUE(send_frame(bob.get(), frame().from(kBob).payload("still here")));
  EXPECT_THAT(expect_frames(alice.get(), 1), ElementsAre(frame().from(kBob).payload("still here")));
}

TEST_F(LaneTest, DoesNotSpinWhileAReaderDoesNotRead) {
  const UniqueFd alice = plug_socket();
  const UniqueFd bob = plug_socket();
  for (const WireFrame& wire : numbered(600, 1000)) {
    EXPECT_TRUE(until([&] { return send_frame(alice.get(), wire); }));
    lane.turn();
  }
  bool due = false;
  const EventLoop::Timer timer = loop->after(std::chrono::milliseconds(20), [&] { due = true; });
  int turns = 0;
  while (!due && turns < 10000) {
    lane.turn();
    ++turns;
  }
  EXPECT_LT(turns, 10);
}

// ---- ends ----

TEST_F(LaneTest, EndsAnEndpointThatReportsItsEnd) {
  Plug* plug = nullptr;
  std::vector<UnplugReason> reasons;
  const auto leaving = plug_memory(&plug, [&](UnplugReason why) { reasons.push_back(why); });
  const auto reader = plug_memory();
  leaving->to_switch.push_back(frame().payload("last words"));
  leaving->closed = true;
  lane.wake(*plug);
  lane.turn();
  EXPECT_THAT(reasons, ElementsAre(UnplugReason::peer_left));
  EXPECT_TRUE(leaving->destroyed);
  EXPECT_FALSE(bridge.port(1)->active());
  EXPECT_THAT(reader->take(), ElementsAre(frame().payload("last words")));
}

TEST_F(LaneTest, TellsTheBackendWhenAnOperatorUnplugs) {
  Plug* plug = nullptr;
  std::vector<UnplugReason> reasons;
  const auto cable = plug_memory(&plug, [&](UnplugReason why) { reasons.push_back(why); });
  lane.close_plug(*plug, UnplugReason::by_operator);
  lane.close_plug(*plug, UnplugReason::by_operator);
  EXPECT_THAT(reasons, ElementsAre(UnplugReason::by_operator)) << "once";
  EXPECT_FALSE(cable->destroyed) << "somebody on the way of a frame may still refer to it";
  const EventLoop::Timer soon = loop->after(Duration{0}, [] {});
  lane.turn();
  EXPECT_TRUE(cable->destroyed);
}

TEST_F(LaneTest, DoesNotTellTheBackendWhatItDidItself) {
  Plug* plug = nullptr;
  int calls = 0;
  const auto cable = plug_memory(&plug, [&](UnplugReason) { ++calls; });
  lane.unplug(*plug);
  lane.unplug(*plug);
  const EventLoop::Timer soon = loop->after(Duration{0}, [] {});
  lane.turn();
  EXPECT_TRUE(cable->destroyed);
  EXPECT_EQ(calls, 0);
}

TEST_F(LaneTest, ShowsNoFrameToAnEndpointThatIsBeingUnplugged) {
  Plug* sender_plug = nullptr;
  Plug* leaving_plug = nullptr;
  const auto sender = plug_memory(&sender_plug);
  const auto leaving = plug_memory(&leaving_plug);
  const auto staying = plug_memory();
  sender->to_switch.push_back(frame());
  leaving->to_switch.push_back(frame().from(kBob));
  lane.wake(*sender_plug);
  lane.wake(*leaving_plug);
  lane.unplug(*leaving_plug);
  lane.turn();
  EXPECT_THAT(leaving->take(), IsEmpty());
  EXPECT_EQ(leaving->to_switch.size(), 1U) << "and takes none of it";
  EXPECT_EQ(staying->from_switch.size(), 1U);
  EXPECT_TRUE(leaving->destroyed);
  EXPECT_EQ(balance_error(bridge), "");
}

TEST_F(LaneTest, MayUnplugInTheMiddleOfATurn) {
  // The second endpoint is unplugged by the callback of the first while both wait to be served.
  Plug* first_plug = nullptr;
  Plug* second_plug = nullptr;
  const auto first = plug_memory(&first_plug, [&](UnplugReason) { lane.unplug(*second_plug); });
  const auto second = plug_memory(&second_plug);
  const auto third = plug_memory();
  first->closed = true;
  second->to_switch.push_back(frame());
  lane.wake(*first_plug);
  lane.wake(*second_plug);
  lane.turn();
  EXPECT_TRUE(first->destroyed);
  EXPECT_TRUE(second->destroyed);
  EXPECT_FALSE(third->destroyed);
  EXPECT_THAT(third->take(), IsEmpty());
}

TEST_F(LaneTest, MayPlugInTheMiddleOfATurn) {
  Plug* first_plug = nullptr;
  std::shared_ptr<Cable> successor;
  const auto first = plug_memory(&first_plug, [&](UnplugReason) { successor = plug_memory(); });
  const auto other = plug_memory();
  first->closed = true;
  lane.wake(*first_plug);
  lane.turn();
  ASSERT_NE(successor, nullptr);
  EXPECT_TRUE(first->destroyed);
  EXPECT_FALSE(successor->destroyed);
}

TEST_F(LaneTest, EndsAReaderWithABacklog) {
  const UniqueFd alice = plug_socket();
  UniqueFd bob = plug_socket();
  for (const WireFrame& wire : numbered(600, 1000)) {
    EXPECT_TRUE(until([&] { return send_frame(alice.get(), wire); }));
    lane.turn();
  }
  lane.close_plug(*bridge.port(2)->plugs()[0], UnplugReason::by_operator);
  EXPECT_TRUE(until([&] { return !bridge.port(2)->active(); }));
  EXPECT_GT(bridge.port(2)->counters.drops.of(Drop::unplugged), 0U);
  EXPECT_EQ(balance_error(bridge), "");
}

TEST_F(LaneTest, CountsFramesForAClientThatHasClosedItsSocket) {
  const UniqueFd alice = plug_socket();
  UniqueFd bob = plug_socket();
  const UniqueFd carol = plug_socket();
  bob.reset();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(send_frame(alice.get(), frame().payload("x")));
    EXPECT_EQ(expect_frames(carol.get(), 1).size(), 1U);
  }
  EXPECT_EQ(bridge.port(2)->counters.drops.of(Drop::receiver_gone), 3U);
  EXPECT_EQ(balance_error(bridge), "");
}

class Companion final : public Service {
 public:
  Companion(std::string name, std::string& order) : name_(std::move(name)), order_(order) {}
  ~Companion() override { order_ += name_; }

 private:
  std::string name_;
  std::string& order_;
};

TEST_F(LaneTest, EndsServicesAndThenPlugs) {
  std::string order;
  bool plug_was_there = false;
  const auto cable = plug_memory();
  class Looks final : public Service {
   public:
    Looks(const Cable& watched, bool& seen) : cable_(watched), seen_(seen) {}
    ~Looks() override { seen_ = !cable_.destroyed; }

   private:
    const Cable& cable_;
    bool& seen_;
  };
  lane.keep(std::make_unique<Looks>(*cable, plug_was_there));
  lane.keep(std::make_unique<Companion>("x", order));
  EXPECT_EQ(order, "");
  lane.close_all();
  EXPECT_EQ(order, "x");
  EXPECT_TRUE(plug_was_there);
  EXPECT_TRUE(cable->destroyed);
  EXPECT_FALSE(bridge.port(1)->active());
}

TEST_F(LaneTest, LetsAServiceUnplugWhileEverythingEnds) {
  class Unplugs final : public Service {
   public:
    Unplugs(Lane& of, Plug& its) : lane_(of), plug_(its) {}
    ~Unplugs() override { lane_.unplug(plug_); }

   private:
    Lane& lane_;
    Plug& plug_;
  };
  Plug* plug = nullptr;
  const auto cable = plug_memory(&plug);
  lane.keep(std::make_unique<Unplugs>(lane, *plug));
  lane.close_all();
  EXPECT_TRUE(cable->destroyed);
}

// ---- time ----

TEST_F(LaneTest, ForgetsStationsInItsSweep) {
  // Learned by a clock that runs two hundred seconds late, so they are old at once.
  bridge.set_time(loop->now() - std::chrono::seconds(200));
  plug_memory();
  for (std::uint64_t i = 0; i < 100; ++i) {
    bridge.macs().learn(testing::station(i), 0, 1, bridge.now_s());
  }
  lane.set_sweep_period(std::chrono::milliseconds(1));
  EXPECT_EQ(lane.sweep_period(), std::chrono::milliseconds(1));
  EXPECT_TRUE(until([&] { return bridge.macs().size() == 0; }));
}

TEST_F(LaneTest, RunsUntilItIsStopped) {
  int expired = 0;
  const EventLoop::Timer timer = loop->after(Duration{0}, [&] {
    ++expired;
    loop->stop();
  });
  lane.run();
  EXPECT_EQ(expired, 1);
}

}  // namespace
}  // namespace lanyard

// SPDX-License-Identifier: MIT
//
// Every frame is accounted for, always: per port, received = forwarded + incoming drops and
// offered = transmitted + queued + outgoing drops. Here receivers are slow, small, lossy, or leave.
#include <gtest/gtest.h>

#include "tests/support/large_packet.h"
#include "tests/support/random.h"
#include "tests/support/test_switch.h"

namespace lanyard {
namespace {

using testing::balance_error;
using testing::Cable;
using testing::environment_number;
using testing::frame;
using testing::kBroadcast;
using testing::LargePacket;
using testing::Random;
using testing::station;
using testing::TestSwitch;
using testing::WireFrame;

constexpr PortId kPorts = 6;

class RandomTraffic {
 public:
  explicit RandomTraffic(Random& random) : random_(random), sw_(kPorts) {
    EXPECT_TRUE(sw_->vlans().create(10).ok());
    EXPECT_TRUE(sw_->set_native_vlan(2, 10).ok());
    EXPECT_TRUE(sw_->vlans().add_tagged(10, 3).ok());
    EXPECT_TRUE(sw_->vlans().add_tagged(10, 4).ok());
    EXPECT_TRUE(sw_->set_native_vlan(5, kVlanNone).ok());
    for (PortId id = 1; id <= kPorts; ++id) sw_.port(id).queue_bytes_max = 20'000;
  }

  void step() {
    const auto id = static_cast<PortId>(1 + random_.below(kPorts));
    switch (random_.below(20)) {
      case 0: sw_.plug(id); break;
      case 1: unplug_one(id); break;
      case 2: change_reader(id); break;
      case 3: resize_queue(id); break;
      case 4: drain(id); break;
      case 5: sw_->set_hub(!sw_->is_hub() && random_.one_in(4)); break;
      case 6: sw_.advance(std::chrono::seconds(random_.below(40))), sw_.sweep(); break;
      default: send(id); break;
    }
    delivered_ += take_all();
  }

  // Besides each port's balance: what ports say they transmitted is what readers got.
  std::string error() {
    std::uint64_t transmitted = 0;
    sw_->for_each_port([&](const Port& port) { transmitted += port.counters.transmitted; });
    if (transmitted != delivered_) {
      return fmt::format("transmitted {}, but {} arrived", transmitted, delivered_);
    }
    return balance_error(*sw_);
  }
  std::uint64_t delivered() const { return delivered_; }
  std::uint64_t dropped() {
    std::uint64_t drops = 0;
    sw_->for_each_port([&](const Port& port) { drops += port.counters.drops.outgoing(); });
    return drops;
  }

 private:
  void send(PortId id) {
    if (!sw_.port(id).active()) return;
    std::vector<WireFrame> frames(1 + random_.below(100));
    for (WireFrame& wire : frames) {
      auto builder = frame().from(station(random_.below(20)));
      builder.to(random_.one_in(3) ? kBroadcast : station(random_.below(20)));
      if (random_.one_in(4)) builder.tag(static_cast<VlanId>(random_.one_in(2) ? 10 : 11));
      builder.size(random_.one_in(20) ? 3000 : random_.below(300));
      if (random_.one_in(30)) builder.cut(random_.below(18));
      wire = random_.one_in(20) ? owing() : builder;
    }
    sw_.send(id, frames);
  }

  // A large packet, or one that only lacks its checksum, or one that lies.
  WireFrame owing() {
    LargePacket packet;
    packet.payload = 1 + random_.below(5000);
    packet.segment_size = static_cast<std::uint16_t>(random_.below(1500));
    packet.ipv6 = random_.one_in(2);
    packet.udp = random_.one_in(2);
    packet.tags = random_.below(2);
    WireFrame wire = packet.wire();
    if (random_.one_in(5)) wire.bytes.pop_back();
    return wire;
  }

  Plug* any_plug(PortId id) {
    return sw_.port(id).active() ? random_.of(sw_.port(id).plugs()).get() : nullptr;
  }
  void unplug_one(PortId id) {
    Plug* const plug = any_plug(id);
    if (plug == nullptr) return;
    delivered_ += sw_.cable(*plug).take().size();
    sw_.unplug(*plug);
  }
  void change_reader(PortId id) {
    Plug* const plug = any_plug(id);
    if (plug == nullptr) return;
    Cable& cable = sw_.cable(*plug);
    cable.room = random_.one_in(2) ? Cable::kUnlimited : random_.below(200);
    cable.frame_max =
        static_cast<std::uint32_t>(random_.one_in(2) ? 1522 : 60 + random_.below(300));
    cable.offloads = random_.one_in(2);
    constexpr Drop kLosses[] = {Drop::none, Drop::none, Drop::none, Drop::receiver_gone,
                                Drop::link_down};
    cable.loses = random_.of(kLosses);
  }
  void resize_queue(PortId id) {
    if (Plug* const plug = any_plug(id)) plug->queue().set_bytes_max(random_.below(40'000));
  }
  void drain(PortId id) {
    Plug* const plug = any_plug(id);
    if (plug != nullptr && plug->drain(sw_.pool()) == Plug::Drained::empty) {
      plug->waiting_writable = false;
    }
    sw_->release_idle_queues();
  }
  std::uint64_t take_all() {
    std::uint64_t count = 0;
    sw_->for_each_port([&](const Port& port) {
      for (const auto& plug : port.plugs()) count += sw_.cable(*plug).take().size();
    });
    return count;
  }

  Random& random_;
  TestSwitch sw_;
  std::uint64_t delivered_ = 0;
};

TEST(Conservation, HoldsWhateverReceiversDo) {
  Random random;
  SCOPED_TRACE(random.how_to_repeat());
  RandomTraffic traffic(random);
  const std::uint64_t steps = environment_number("LANYARD_MODEL_STEPS", 30'000) / 10;
  for (std::uint64_t step = 0; step < steps; ++step) {
    traffic.step();
    ASSERT_EQ(traffic.error(), "") << "after step " << step;
  }
  EXPECT_GT(traffic.delivered(), steps);
  EXPECT_GT(traffic.dropped(), steps / 10) << "a life without drops says nothing";
}

}  // namespace
}  // namespace lanyard

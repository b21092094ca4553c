// SPDX-License-Identifier: MIT
//
// A random life of a switch, held against the model after every step: the same frames must come
// out of the same ports, byte by byte and in order. LANYARD_MODEL_STEPS makes it longer (10^6 takes
// under a minute), LANYARD_SEED repeats a run.
#include <gtest/gtest.h>

#include "tests/support/model_switch.h"
#include "tests/support/random.h"
#include "tests/support/test_switch.h"

namespace lanyard {
namespace {

using testing::environment_number;
using testing::frame;
using testing::FrameBuilder;
using testing::kBroadcast;
using testing::ModelSwitch;
using testing::Random;
using testing::station;
using testing::TestSwitch;
using testing::WireFrame;

constexpr PortId kPorts = 7;  // 0 to 6
constexpr std::uint64_t kStations = 12;

class TwoSwitches {
 public:
  explicit TwoSwitches(Random& random) : random_(random) {
    for (PortId id = 0; id < kPorts; ++id) plug(id);
    // Bytes that no frame has: a stale one would show.
    std::vector<FrameRef> canaries;
    for (int i = 0; i < 256; ++i) {
      canaries.push_back(sw_.pool().make());
      std::memset(canaries.back()->segments[0].data, 0xa5, 4096);
    }
  }

  // One step; how many frames it sent.
  std::size_t step() {
    if (!random_.one_in(4)) return send();
    configure();
    return 0;
  }

  void compare_stations() {
    for (std::uint64_t i = 0; i < kStations; ++i) {
      for (const VlanId vlan : kVlans) {
        const auto at = model_.stations.find({station(i).number(), vlan});
        const PortId expected =
            at == model_.stations.end() ? kPortNone : static_cast<PortId>(at->second.port);
        ASSERT_EQ(sw_->macs().find(station(i), vlan), expected);
      }
    }
  }

 private:
  static constexpr VlanId kVlans[] = {0, 1, 10, 20, 4094};

  VlanId any_vlan() { return random_.of(kVlans); }
  PortId any_port() { return static_cast<PortId>(random_.below(kPorts)); }
  bool exists(PortId id) { return sw_->port(id) != nullptr; }

  MacAddress any_address() {
    switch (random_.below(12)) {
      case 0: return kBroadcast;
      case 1: return MacAddress::from_number(0x0180c2000000 + random_.below(16));
      case 2: return MacAddress();
      default: return station(random_.below(kStations));
    }
  }

  WireFrame any_frame() {
    FrameBuilder builder = frame().from(any_address()).to(any_address());
    constexpr VlanId kTags[] = {0, 1, 10, 20, 4094, 4095, 77};
    for (std::uint64_t tags = random_.below(5); tags >= 2; --tags) {
      builder.tag(random_.of(kTags), static_cast<unsigned>(random_.below(8)), random_.one_in(2));
    }
    constexpr std::uint16_t kTypes[] = {0x0800, 0x0806, 0x86dd, 0x88a8, 0x8100, 0x0027};
    builder.type(random_.of(kTypes));
    builder.payload(std::to_string(random_.below(1000))).size(random_.below(200));
    if (random_.one_in(10)) builder.cut(random_.below(24));
    return builder;
  }

  std::size_t send() {
    const PortId in = any_port();
    if (!exists(in) || !sw_.port(in).active()) return 0;
    std::vector<WireFrame> frames(1 + random_.below(random_.one_in(8) ? 150 : 8));
    for (WireFrame& wire : frames) wire = any_frame();
    std::map<int, std::vector<WireFrame>> expected;
    for (const WireFrame& wire : frames) {
      for (auto& [id, copies] : model_.send(in, wire.bytes)) {
        for (auto& copy : copies) expected[id].push_back({std::move(copy)});
      }
    }
    sw_.send(in, frames);
    for (PortId id = 0; id < kPorts; ++id) {
      if (exists(id)) expect_received(sw_.port(id), expected[id]);
    }
    EXPECT_EQ(testing::balance_error(*sw_), "");
    return frames.size();
  }

  void expect_received(const Port& port, const std::vector<WireFrame>& expected) {
    for (const auto& plug : port.plugs()) {
      EXPECT_EQ(sw_.cable(*plug).take(), expected) << "at port " << port.id();
    }
  }

  void configure() {
    const PortId id = any_port();
    const VlanId vlan = any_vlan();
    switch (random_.below(15)) {
      case 0: EXPECT_EQ(sw_->vlans().create(vlan).ok(), model_.create_vlan(vlan)); break;
      case 1: EXPECT_EQ(sw_->vlans().remove(vlan).ok(), model_.remove_vlan(vlan)); break;
      case 2:
      case 3: EXPECT_EQ(sw_->set_native_vlan(id, vlan).ok(), model_.set_native(id, vlan)); break;
      case 4:
        if (!random_.one_in(3)) break;
        EXPECT_EQ(sw_->set_native_vlan(id, kVlanNone).ok(), model_.set_native(id, kVlanNone));
        break;
      case 5:
      case 6:
        if (!exists(id)) break;
        EXPECT_EQ(sw_->vlans().add_tagged(vlan, id).ok(), model_.add_tagged(vlan, id));
        break;
      case 7:
        if (!exists(id)) break;
        EXPECT_EQ(sw_->remove_from_vlan(vlan, id).ok(), model_.remove_tagged(vlan, id));
        break;
      case 8: set_state(id, vlan); break;
      case 9: plug(id); break;
      case 10: unplug(id); break;
      case 11: EXPECT_EQ(sw_->remove_port(id).ok(), model_.remove_port(id)); break;
      case 12: pass_time(); break;
      case 13: set_guard(id); break;
      default: switch_modes(id); break;
    }
  }

  void set_state(PortId id, VlanId vlan) {
    if (!exists(id)) return;
    // Mostly forwarding, or too little would move.
    const std::uint64_t pick = random_.below(6);
    const auto ours = pick == 0   ? PortState::discarding
                      : pick == 1 ? PortState::learning
                                  : PortState::forwarding;
    const auto models = pick == 0   ? ModelSwitch::State::discarding
                        : pick == 1 ? ModelSwitch::State::learning
                                    : ModelSwitch::State::forwarding;
    sw_->vlans().set_state(vlan, id, ours);
    model_.set_state(vlan, id, models);
  }

  void set_guard(PortId id) {
    if (!exists(id)) return;
    GuardSettings settings;
    settings.isolated = model_.ports[id].isolated = random_.one_in(3);
    model_.ports[id].listens = random_.one_in(4);
    if (model_.ports[id].listens) settings.promiscuous = PromiscuousPolicy::allow_all;
    EXPECT_TRUE(sw_->set_guard(id, settings).ok());
  }

  void plug(PortId id) {
    if (exists(id) && sw_.port(id).plugs().size() >= 3) return;
    sw_.plug(id);
    model_.plug(id);
  }

  void unplug(PortId id) {
    if (!exists(id) || !sw_.port(id).active()) return;
    sw_.unplug(*random_.of(sw_.port(id).plugs()));
    model_.unplug(id);
  }

  void pass_time() {
    const auto seconds = static_cast<int>(random_.one_in(10) ? 60 : random_.below(5));
    sw_.advance(std::chrono::seconds(seconds));
    model_.now += seconds;
    if (random_.one_in(3)) {
      sw_.sweep(1 + random_.below(30));
      model_.sweep();
    }
  }

  void switch_modes(PortId id) {
    if (exists(id) && !random_.one_in(4)) {
      sw_.port(id).pass_tags = !sw_.port(id).pass_tags;
      model_.ports[id].pass_tags = sw_.port(id).pass_tags;
    } else if (sw_->is_hub() || random_.one_in(5)) {
      sw_->set_hub(!sw_->is_hub());
      model_.set_hub(sw_->is_hub());
    }
  }

  Random& random_;
  TestSwitch sw_;
  ModelSwitch model_;
};

TEST(Model, IsFollowedThroughARandomLife) {
  const std::uint64_t steps = environment_number("LANYARD_MODEL_STEPS", 30'000);
  Random random;
  SCOPED_TRACE(random.how_to_repeat());
  RecordProperty("seed", random.how_to_repeat());
  TwoSwitches both(random);
  std::uint64_t frames = 0;
  std::uint64_t done = 0;
  while (done < steps && !HasFailure()) {
    const std::size_t sent = both.step();
    frames += sent;
    done += std::max<std::size_t>(sent, 1);
    if (random.one_in(50)) both.compare_stations();
  }
  both.compare_stations();
  EXPECT_GT(frames, steps / 2) << "a life without frames says nothing";
  if (HasFailure()) std::printf("after %llu steps\n", static_cast<unsigned long long>(done));
}

}  // namespace
}  // namespace lanyard

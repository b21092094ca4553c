// SPDX-License-Identifier: MIT
//
// Frames of any bytes and configuration steps of any kind, in any order, into a switch. What must
// hold is in ingress_world.h.
#include "tests/fuzz/ingress_world.h"

namespace lanyard::fuzz {
namespace {

constexpr std::array<VlanId, 8> kVlans{0, 1, 2, 100, 4094, 4095, 0, 1};
constexpr std::array<std::uint64_t, 8> kMacs{0xffffffffffff, 0x01005e000001, 0,
                                             0x0180c2000000, 0x020000000001, 0x020000000002,
                                             0x020000000003, 0x525400123456};
constexpr std::array<std::uint32_t, 4> kReceivers{kMaxFrameSize, 1522, 9234, 64};

void add_u16(Bytes& bytes, std::uint16_t word) {
  bytes.push_back(static_cast<std::uint8_t>(word >> 8));
  bytes.push_back(static_cast<std::uint8_t>(word));
}

void add_mac(Bytes& bytes, std::uint64_t number) {
  for (int shift = 40; shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<std::uint8_t>(number >> shift));
  }
}

class Steps {
 public:
  explicit Steps(Input input) : input_(input) {}

  void run() {
    for (int steps = 0; steps < 250 && !input_.empty(); ++steps) {
      step();
      world_.check();
    }
    world_.flush();
    world_.check();
    check_state();
  }

 private:
  PortId port() { return static_cast<PortId>(input_.below(IngressWorld::kPorts + 1)); }
  VlanId vlan() { return kVlans[input_.below(kVlans.size())]; }

  void step() {
    switch (input_.below(16)) {
      case 0:
      case 1:
      case 2: built_frame(); break;
      case 3: raw_frame(); break;
      case 4: world_.flush(); break;
      case 5: (void)bridge().vlans().create(vlan()); break;
      case 6: (void)bridge().vlans().remove(vlan()); break;
      case 7: (void)bridge().set_native_vlan(port(), vlan()); break;
      case 8: tagged(); break;
      case 9: modes(); break;
      case 10: plug(); break;
      case 11: world_.close(port(), input_.below(4) != 0); break;
      case 12: receiver(); break;
      case 13: world_.drain(port()); break;
      case 14: ageing(); break;
      case 15: ports(); break;
    }
  }

  void built_frame() {
    const PortId in = port();
    const std::uint8_t what = input_.byte();
    Bytes bytes;
    const std::uint8_t stations = input_.byte();
    add_mac(bytes, kMacs[stations & 7]);
    add_mac(bytes, kMacs[stations >> 3 & 7]);
    for (int tags = what & 3; tags != 0; --tags) {
      add_u16(bytes, (what & 4) != 0 && tags == 1 ? 0x88a8 : 0x8100);
      const std::uint8_t tci = input_.byte();
      add_u16(bytes, static_cast<std::uint16_t>(kVlans[tci & 7] | (tci & 0xf0) << 8));
    }
    const std::size_t payload = input_.word() & ((1U << (stations >> 4 & 15)) - 1);
    // Bytes that tell frames apart, so that those of another frame are noticed.
    const std::uint8_t serial = ++serial_;
    for (std::size_t i = 0; i < payload; ++i) {
      bytes.push_back(static_cast<std::uint8_t>(serial + i * 31));
    }
    send(in, bytes, what);
  }

  void raw_frame() {
    const PortId in = port();
    const std::uint8_t what = input_.byte();
    const auto bytes = input_.bytes(input_.byte());
    send(in, Bytes(bytes.begin(), bytes.end()), what);
  }

  void send(PortId in, const Bytes& bytes, std::uint8_t what) {
    FrameShape shape;
    shape.truncated = (what & 0xf8) == 0xf8;
    shape.segments = 1U + (what >> 3 & 3U);
    shape.copies = (what & 0x80) == 0 ? 1 : bytes.size() < 256 ? 40 : 3;
    // Enough for queues to fill, little enough for many inputs a second.
    budget_ -= std::min(budget_, bytes.size() * shape.copies);
    if (budget_ != 0) world_.frame(in, bytes, shape);
  }

  void tagged() {
    const VlanId which = vlan();
    const PortId member = port();
    if (input_.below(2) == 0) {
      if (bridge().port(member) != nullptr) (void)bridge().vlans().add_tagged(which, member);
    } else {
      (void)bridge().remove_from_vlan(which, member);
    }
  }

  void modes() {
    Port* const which = bridge().port(port());
    switch (input_.below(4)) {
      case 0: bridge().set_hub(!bridge().is_hub()); break;
      case 1:
        if (which != nullptr) which->pass_tags = !which->pass_tags;
        break;
      default:
        if (which != nullptr) {
          bridge().vlans().set_state(vlan(), which->id(), static_cast<PortState>(input_.below(3)));
        }
        break;
    }
  }

  void plug() {
    const PortId id = port();
    world_.plug(id, kReceivers[input_.below(kReceivers.size())]);
  }

  void receiver() {
    testing::Cable* const cable = world_.cable(port());
    const std::uint8_t what = input_.byte();
    if (cable == nullptr) return;
    cable->room = (what & 3) == 0 ? testing::Cable::kUnlimited : std::size_t{what} >> 4;
    cable->loses = what == 0xff ? Drop::receiver_gone : Drop::none;
  }

  void ageing() {
    const std::uint8_t what = input_.byte();
    now_ += std::chrono::seconds(what);
    bridge().set_time(now_);
    if ((what & 1) != 0) bridge().sweep_macs(what);
    if ((what & 2) != 0) bridge().release_idle_queues();
    if (what == 0xf0) bridge().flush_macs_of(port());
    if (what == 0xe0) bridge().macs().flush_vlan(vlan());
  }

  void ports() {
    const PortId id = port();
    Port* const which = bridge().port(id);
    switch (input_.below(3)) {
      case 0: {
        const bool possible = which != nullptr && !which->active();
        require(bridge().remove_port(id).ok() == possible, "a port goes when nobody uses it");
        world_.forget_port(id);
        break;
      }
      case 1: (void)bridge().create_port(id); break;
      case 2:
        if (which == nullptr) break;
        which->queue_bytes_max = input_.word();
        for (const auto& plug : which->plugs()) {
          plug->queue().set_bytes_max(which->queue_bytes_max);
        }
        break;
    }
    world_.settle();
  }

  // A successor starts from the same configuration.
  void check_state() {
    FramePool pool;
    struct NoEvents final : EventSink {
      void on_event(const Event&) override {}
    } events;
    Switch::Settings settings;
    settings.mac_entries_max = 16;
    Switch successor(settings, pool, events);
    const SwitchState state = bridge().state();
    require(successor.restore(state).ok(), "a state can be restored");
    require(successor.state() == state, "a restored state is the same");
  }

  Switch& bridge() { return world_.bridge(); }

  IngressWorld world_;
  Input input_;
  Time now_{0};
  std::uint8_t serial_ = 0;
  std::size_t budget_ = std::size_t{1} << 20;
};

}  // namespace
}  // namespace lanyard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  lanyard::fuzz::Steps(lanyard::fuzz::Input({data, size})).run();
  return 0;
}

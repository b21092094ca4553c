// SPDX-License-Identifier: MIT
//
// A switch whose ports have any guards, changed at any moment, and frames of any bytes. Whatever is
// set: frames are accounted for, isolated guests do not hear each other, what a guard forbids does
// not get out, limits hold, and a successor has the same guards.
#include <array>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "switch/bridge/switch.h"
#include "switch/frame/frame_pool.h"
#include "tests/fuzz/input.h"

namespace lanyard::fuzz {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr PortId kPorts = 4;
constexpr std::array<std::uint64_t, 4> kMacs{0x020000000001, 0x020000000002, 0x0200000000a1,
                                             0xffffffffffff};

struct Mailbox {
  std::deque<Bytes> waiting;
  std::vector<Bytes> got;
};

class Guest final : public Endpoint {
 public:
  Guest(Mailbox& mailbox, FramePool& pool) : mailbox_(mailbox), pool_(pool) {}
  std::string label() const override { return "guest"; }
  Caps caps() const override { return {}; }
  int wait_fd() const override { return -1; }
  Rx receive(FrameBatch& into) override {
    for (; into.room() != 0 && !mailbox_.waiting.empty(); mailbox_.waiting.pop_front()) {
      const Bytes& bytes = mailbox_.waiting.front();
      FrameRef frame = pool_.make();
      std::copy(bytes.begin(), bytes.end(), frame->segments[0].data);
      frame->set_bytes(frame->segments[0].data, static_cast<std::uint32_t>(bytes.size()));
      into.push(std::move(frame));
    }
    return Rx::drained;
  }
  Transmitted transmit(std::span<const Outgoing> frames) override {
    for (const Outgoing& out : frames) {
      const auto head = out.frame->head();
      mailbox_.got.emplace_back(head.begin(), head.end());
    }
    return {frames.size(), 0, Drop::none};
  }

 private:
  Mailbox& mailbox_;
  FramePool& pool_;
};

struct NobodyListens final : EventSink {
  void on_event(const Event& event) override {
    const bool is_guard =
        event.kind == Event::Kind::guard_dropped || event.kind == Event::Kind::guard_shut;
    require(!is_guard || event.why != Drop::none, "a guard says why");
  }
};

class Steps {
 public:
  explicit Steps(Input input) : bridge_(settings(), pool_, events_), input_(input) {
    require(bridge_.guards().set_group({"g", {1000, 500}}).ok(), "a group can be made");
    for (PortId id = 1; id <= kPorts; ++id) plug(id);
  }

  void run() {
    for (int steps = 0; steps < 200 && !input_.empty(); ++steps) {
      step();
      check();
    }
    check_state();
  }

 private:
  static Switch::Settings settings() {
    Switch::Settings settings;
    settings.ports_max = kPorts;
    settings.mac_entries_max = 16;
    return settings;
  }

  PortId port() { return static_cast<PortId>(1 + input_.below(kPorts)); }

  void plug(PortId id) {
    PlugRequest request;
    request.port = id;
    Plug::Traits traits;
    traits.id = id;
    bridge_.plug(*bridge_.port_for(request).value(), std::make_unique<Guest>(mail_[id], pool_),
                 traits);
  }

  void step() {
    switch (input_.below(8)) {
      case 0: guard(); break;
      case 1:
        now_ += std::chrono::milliseconds(input_.word());
        bridge_.set_time(now_);
        break;
      case 2: {
        const PortId id = port();
        while (bridge_.port(id)->active()) bridge_.unplug(*bridge_.port(id)->plugs().front());
        plug(id);
        break;
      }
      case 3: (void)bridge_.set_link(port(), true); break;
      case 4: bind(); break;
      default: frame(); break;
    }
  }

  // A key of the table, with a value that it may or may not take.
  void guard() {
    constexpr std::array<std::string_view, 12> kValues{
        "on",        "off",  "1",    "2", "deny", "allow-vms",
        "allow-all", "shut", "drop", "g", "none", "02:00:00:00:00:01"};
    const PortId id = port();
    GuardSettings settings = Guards::of(*bridge_.port(id));
    const std::string_view key = kGuardKeys[input_.below(kGuardKeys.size())];
    const bool taken = set_guard_field(settings, key, kValues[input_.below(kValues.size())]).ok();
    if (taken && bridge_.set_guard(id, settings).ok()) {
      require(Guards::of(*bridge_.port(id)) == settings || !settings.macs.empty(),
              "what was set is shown");
    }
  }

  void bind() {
    const std::uint8_t what = input_.byte();
    const IpAddress address = Ipv4Address::from_number(0x0a000000 + (what & 7U));
    BindingTable& table = bridge_.guards().bindings();
    if ((what & 0x80) != 0) {
      table.unsay(address);
    } else {
      (void)table.say(address, MacAddress::from_number(kMacs[what >> 4 & 1]), kPortNone);
    }
  }

  void frame() {
    const PortId in = port();
    const std::uint8_t stations = input_.byte();
    Bytes bytes;
    for (const std::uint64_t mac : {kMacs[stations & 3], kMacs[stations >> 2 & 3]}) {
      for (int shift = 40; shift >= 0; shift -= 8) {
        bytes.push_back(static_cast<std::uint8_t>(mac >> shift));
      }
    }
    const auto rest = input_.bytes(input_.byte());
    bytes.insert(bytes.end(), rest.begin(), rest.end());
    for (auto& [id, mailbox] : mail_) mailbox.got.clear();
    const GuardSettings settings = Guards::of(*bridge_.port(in));
    mail_[in].waiting.push_back(bytes);
    FrameBatch batch;
    bridge_.port(in)->plugs().front()->endpoint().receive(batch);
    bridge_.forward(*bridge_.port(in), batch);
    bridge_.flush().clear();
    check_reach(in, settings, bytes);
  }

  void check_reach(PortId in, const GuardSettings& settings, const Bytes& bytes) {
    require(mail_[in].got.empty(), "nobody hears himself");
    const PacketKind kind = inspect_packet(bytes).kind;
    for (const auto& [id, mailbox] : mail_) {
      if (mailbox.got.empty()) continue;
      const GuardSettings theirs = Guards::of(*bridge_.port(id));
      require(!settings.isolated || !theirs.isolated || settings.trusted || theirs.trusted,
              "isolated guests do not hear each other");
      if (settings.trusted) continue;
      require(!settings.ra_guard || kind != PacketKind::router_advertisement, "no rogue router");
      require(!settings.dhcp_guard || kind != PacketKind::dhcp_reply, "no rogue DHCP server");
      require(!settings.dhcpv6_guard || kind != PacketKind::dhcpv6_reply, "nor of DHCPv6");
      require(!settings.ra_guard || kind != PacketKind::hidden, "nothing in disguise");
    }
  }

  void check() const {
    bridge_.for_each_port([&](const Port& port) {
      const PortCounters& c = port.counters;
      require(c.received == c.forwarded + c.drops.incoming(), "what came in is accounted for");
      require(c.offered == c.transmitted + c.drops.outgoing(), "and what was offered");
      if (port.guard == nullptr || !port.guard->settings.sticky) return;
      require(port.guard->stuck.size() <= port.guard->settings.max_macs, "sticky is bounded");
    });
    require(bridge_.guards().bindings().size() <= 8 + kPorts * BindingTable::kPerPort,
            "bindings are bounded");
  }

  void check_state() const {
    FramePool pool;
    NobodyListens events;
    Switch successor(settings(), pool, events);
    const SwitchState state = bridge_.state();
    require(successor.restore(state).ok(), "a state can be restored");
    require(successor.state() == state, "a restored state is the same");
  }

  FramePool pool_;
  NobodyListens events_;
  std::map<PortId, Mailbox> mail_;
  Switch bridge_;
  Input input_;
  Time now_{0};
};

}  // namespace
}  // namespace lanyard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  lanyard::fuzz::Steps(lanyard::fuzz::Input({data, size})).run();
  return 0;
}

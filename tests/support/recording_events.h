// SPDX-License-Identifier: MIT
//
// Writes down what the bridge reports, a line an event.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "switch/bridge/event.h"

namespace lanyard::testing {

class RecordingEvents final : public EventSink {
 public:
  explicit RecordingEvents(bool mac_events = true) : mac_events_(mac_events) {}

  void on_event(const Event& event) override { lines_.push_back(text_of(event)); }
  bool wants_mac_events() const override { return mac_events_; }

  std::vector<std::string> take() { return std::exchange(lines_, {}); }

 private:
  static std::string text_of(const Event& event) {
    using Kind = Event::Kind;
    const std::string station = fmt::format("{} vlan {}", event.mac.text(), event.vlan);
    switch (event.kind) {
      case Kind::mac_learned: return fmt::format("learned {} on {}", station, event.port);
      case Kind::mac_forgotten: return fmt::format("forgotten {} on {}", station, event.port);
      case Kind::mac_moved:
        return fmt::format("moved {} from {} to {}", station, event.port, event.other);
      case Kind::port_added: return fmt::format("port {} added", event.port);
      case Kind::port_emptied: return fmt::format("port {} emptied", event.port);
      case Kind::port_described:
        return fmt::format("port {} endpoint {} is '{}'", event.port, event.endpoint_id,
                           event.text);
      case Kind::endpoint_added:
        return fmt::format("port {} endpoint {} added", event.port, event.endpoint_id);
      case Kind::endpoint_removed:
        return fmt::format("port {} endpoint {} removed", event.port, event.endpoint_id);
      case Kind::tree_heard: return tree(event, "heard");
      case Kind::tree_silent: return tree(event, "silent");
      case Kind::tree_status:
      case Kind::tree_root:
      case Kind::tree_guarded: return tree(event, event.text);
      case Kind::link_changed: return fmt::format("port {} link changed", event.port);
      case Kind::guard_dropped:
      case Kind::guard_shut:
        return fmt::format("port {} {} {} {} from {}", event.port,
                           event.kind == Kind::guard_shut ? "shut:" : "dropped", event.count,
                           kDropTexts[static_cast<std::size_t>(event.why)].name, event.mac.text());
    }
    return "an event of no known kind";
  }

  static std::string tree(const Event& event, std::string_view what) {
    return fmt::format("port {} tree {} {}", event.port, event.vlan, what);
  }

  bool mac_events_;
  std::vector<std::string> lines_;
};

}  // namespace lanyard::testing

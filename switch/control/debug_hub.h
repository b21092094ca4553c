// SPDX-License-Identifier: MIT
//
// Turns what the bridge reports into lines: for the consoles that asked (debug/add), as VDE's
// asynchronous messages `3TTT path text`, and for the log, rate-limited, when a station moves.
// Lane thread only.
#pragma once

#include <bitset>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "switch/base/log.h"
#include "switch/bridge/event.h"
#include "switch/runtime/event_loop.h"

namespace lanyard {

struct DebugCategory {
  std::string_view path;
  unsigned tag;  // printed in octal
  std::string_view help;
};

// In the order in which debug/list shows them.
std::span<const DebugCategory> debug_categories();

constexpr std::size_t kDebugCategories = 11;
using DebugCategories = std::bitset<kDebugCategories>;

// Somebody to whom asynchronous lines are sent.
class DebugListener {
 public:
  virtual ~DebugListener() = default;
  virtual const DebugCategories& wanted() const = 0;
  virtual void notify(std::string_view line) = 0;  // with its newline
};

class DebugHub final : public EventSink {
 public:
  DebugHub(EventLoop& loop, Log& log) : loop_(loop), log_(log) {}

  void on_event(const Event& event) override;
  bool wants_mac_events() const override { return mac_listeners_; }

  void add(DebugListener& listener) { listeners_.push_back(&listener); }
  void remove(DebugListener& listener);
  // To be called when what somebody wants has changed.
  void refresh();

 private:
  void log_move(const Event& event);

  EventLoop& loop_;
  Log& log_;
  std::vector<DebugListener*> listeners_;
  bool mac_listeners_ = false;
  RateLimit moves_{10, std::chrono::seconds(5)};
};

}  // namespace lanyard

// SPDX-License-Identifier: MIT
//
// Turns what the bridge reports into lines: for the consoles that asked (debug/add), as VDE's
// asynchronous messages `3TTT path text`, and for the log, rate-limited, when a station moves.
// Lane thread only.
#pragma once

#include <bitset>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "switch/base/log.h"
#include "switch/base/result.h"
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

// What a session wants, by the number of the category. Those of plugins come and go behind the
// switch's own.
constexpr std::size_t kDebugCategoriesMax = 64;
using DebugCategories = std::bitset<kDebugCategoriesMax>;

// Somebody to whom asynchronous lines are sent.
class DebugListener {
 public:
  virtual ~DebugListener() = default;
  virtual const DebugCategories& wanted() const = 0;
  // The category is no more.
  virtual void forget(std::size_t category) = 0;
  virtual void notify(std::string_view line) = 0;  // with its newline
};

class DebugHub final : public EventSink {
 public:
  DebugHub(EventLoop& loop, Log& log);

  void on_event(const Event& event) override;
  bool wants_mac_events() const override { return mac_listeners_; }

  // The categories there are now; the position is the number. A gap, left by a plugin, has no path.
  const std::vector<DebugCategory>& categories() const { return categories_; }
  // The path and help must live until the category is removed. ENOSPC past kDebugCategoriesMax.
  Result<std::size_t> add_category(const DebugCategory& category);
  void remove_category(std::size_t number);
  bool is_wanted(std::size_t category) const;
  // `3TTT path text` to everybody who wants the category.
  void tell(std::size_t category, std::string_view text);

  // Somebody else who is told everything.
  void add_sink(EventSink& sink) { sinks_.push_back(&sink); }
  void remove_sink(const EventSink& sink) { std::erase(sinks_, &sink); }

  void add(DebugListener& listener) { listeners_.push_back(&listener); }
  void remove(DebugListener& listener);
  // To be called when what somebody wants has changed.
  void refresh();
  // Who else wants to know then.
  std::function<void()> on_refresh;

 private:
  void log_move(const Event& event);
  void log_guard(const Event& event);

  EventLoop& loop_;
  Log& log_;
  std::vector<DebugListener*> listeners_;
  std::vector<DebugCategory> categories_;
  std::vector<EventSink*> sinks_;
  bool mac_listeners_ = false;
  RateLimit violations_{10, std::chrono::seconds(5)};
  RateLimit moves_{10, std::chrono::seconds(5)};
};

}  // namespace lanyard

// SPDX-License-Identifier: MIT
#include "switch/control/debug_hub.h"

#include <algorithm>
#include <array>
#include <optional>

#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr std::array<DebugCategory, 11> kCategories{{
    {"hash/+", 011, "hash: new element"},
    {"hash/-", 012, "hash: discarded element"},
    {"fstp/status", 044, "fstp: status change"},
    {"fstp/root", 045, "fstp: rootswitch/port change"},
    {"fstp/+", 041, "fstp: port becomes active"},
    {"fstp/-", 042, "fstp: port becomes inactive"},
    {"port/+", 021, "new port"},
    {"port/-", 022, "closed port"},
    {"port/descr", 023, "set port description"},
    {"port/ep/+", 031, "new endpoint"},
    {"port/ep/-", 032, "closed endpoint"},
}};

std::size_t category_at(std::string_view path) {
  const auto at = std::find_if(kCategories.begin(), kCategories.end(),
                               [&](const DebugCategory& c) { return c.path == path; });
  return static_cast<std::size_t>(at - kCategories.begin());
}

std::string mac_text(const Event& event) {
  return fmt::format("{} VLAN {:02x}:{:02x} Port {}", event.mac.text(), event.vlan >> 8,
                     event.vlan & 0xff, event.port);
}

std::string tree_text(const Event& event) {
  return fmt::format("Port {:04} VLAN {:02x}:{:02x}", event.port, event.vlan >> 8,
                     event.vlan & 0xff);
}

std::string endpoint_text(const Event& event) {
  return fmt::format("Port {:02} FD {:2}", event.port, event.endpoint_id);
}

struct Line {
  std::size_t category;
  std::string text;
};

std::optional<Line> line_of(const Event& event) {
  using Kind = Event::Kind;
  switch (event.kind) {
    case Kind::mac_learned: return Line{category_at("hash/+"), mac_text(event)};
    case Kind::mac_forgotten: return Line{category_at("hash/-"), mac_text(event)};
    case Kind::port_added: return Line{category_at("port/+"), fmt::format("{:02}", event.port)};
    case Kind::port_emptied: return Line{category_at("port/-"), fmt::format("{:02}", event.port)};
    case Kind::port_described:
      return Line{category_at("port/descr"),
                  fmt::format("{} -> \"{}\"", endpoint_text(event), printable(event.text))};
    case Kind::endpoint_added: return Line{category_at("port/ep/+"), endpoint_text(event)};
    case Kind::endpoint_removed: return Line{category_at("port/ep/-"), endpoint_text(event)};
    case Kind::tree_heard: return Line{category_at("fstp/+"), tree_text(event)};
    case Kind::tree_silent: return Line{category_at("fstp/-"), tree_text(event)};
    case Kind::tree_status:
      return Line{category_at("fstp/status"), fmt::format("{} {}", tree_text(event), event.text)};
    case Kind::tree_root:
      return Line{category_at("fstp/root"), fmt::format("{} -> {}", tree_text(event), event.text)};
    case Kind::tree_guarded:
    case Kind::mac_moved:
    case Kind::link_changed:
    case Kind::guard_dropped:
    case Kind::guard_shut: break;
  }
  return std::nullopt;
}

}  // namespace

std::span<const DebugCategory> debug_categories() {
  return kCategories;
}

DebugHub::DebugHub(EventLoop& loop, Log& log)
    : loop_(loop), log_(log), categories_(kCategories.begin(), kCategories.end()) {}

Result<std::size_t> DebugHub::add_category(const DebugCategory& category) {
  std::size_t number = kCategories.size();
  while (number < categories_.size() && !categories_[number].path.empty()) ++number;
  if (number == kDebugCategoriesMax) {
    return Error{ENOSPC, fmt::format("there are {} debug categories already", number)};
  }
  if (number == categories_.size()) categories_.emplace_back();
  categories_[number] = category;
  return number;
}

void DebugHub::remove_category(std::size_t number) {
  categories_[number] = {};
  for (DebugListener* listener : listeners_) listener->forget(number);
}

bool DebugHub::is_wanted(std::size_t category) const {
  return std::any_of(listeners_.begin(), listeners_.end(), [&](const DebugListener* listener) {
    return listener->wanted().test(category);
  });
}

void DebugHub::tell(std::size_t category, std::string_view text) {
  const DebugCategory& row = categories_[category];
  const std::string line = fmt::format("3{:03o} {} {}\n", row.tag, row.path, text);
  for (DebugListener* listener : listeners_) {
    if (listener->wanted().test(category)) listener->notify(line);
  }
}

void DebugHub::on_event(const Event& event) {
  for (EventSink* sink : sinks_) sink->on_event(event);
  if (event.kind == Event::Kind::mac_moved) return log_move(event);
  if (event.kind == Event::Kind::tree_guarded) {
    return log_.warning("port {}, VLAN {}: {}", event.port, event.vlan, event.text);
  }
  if (event.kind == Event::Kind::guard_dropped || event.kind == Event::Kind::guard_shut) {
    return log_guard(event);
  }
  if (listeners_.empty()) return;
  const std::optional<Line> line = line_of(event);
  if (!line) return;
  tell(line->category, line->text);
}

void DebugHub::log_move(const Event& event) {
  if (!moves_.allow(loop_.now())) return;
  std::string line = fmt::format("MAC {} moved from port {} to port {}", event.mac.text(),
                                 event.port, event.other);
  // Two QEMU guests started without mac= have the same address.
  constexpr std::uint64_t kQemuFirst = 0x525400123456;
  constexpr std::uint64_t kQemuNics = 8;
  const std::uint64_t number = event.mac.number();
  if (number >= kQemuFirst && number < kQemuFirst + kQemuNics) {
    line += " (QEMU's default address: give every guest its own with -device ...,mac=)";
  }
  if (const std::uint64_t held = moves_.take_suppressed(); held != 0) {
    append(line, " (and {} more moves)", held);
  }
  log_.notice("{}", line);
}

void DebugHub::log_guard(const Event& event) {
  const bool shut = event.kind == Event::Kind::guard_shut;
  if (!shut && !violations_.allow(loop_.now())) return;
  log_.notice("port {}{}: {} ({} frames, the last from {})", event.port,
              shut ? ", its cable is pulled" : "",
              kDropTexts[static_cast<std::size_t>(event.why)].sentence, event.count,
              event.mac.text());
}

void DebugHub::remove(DebugListener& listener) {
  std::erase(listeners_, &listener);
  refresh();
}

void DebugHub::refresh() {
  mac_listeners_ = std::any_of(listeners_.begin(), listeners_.end(), [](const auto* listener) {
    return listener->wanted().test(category_at("hash/+")) ||
           listener->wanted().test(category_at("hash/-"));
  });
  mac_listeners_ =
      mac_listeners_ || std::any_of(sinks_.begin(), sinks_.end(),
                                    [](const auto* sink) { return sink->wants_mac_events(); });
  if (on_refresh) on_refresh();
}

}  // namespace lanyard

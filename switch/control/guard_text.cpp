// SPDX-License-Identifier: MIT
#include "switch/control/guard_text.h"

#include "switch/base/text.h"

namespace lanyard {
namespace {

std::string_view origin_text(Binding::Origin origin) {
  switch (origin) {
    case Binding::Origin::operator_said: return "operator";
    case Binding::Origin::dhcp: return "dhcp";
    case Binding::Origin::first_come: break;
  }
  return "first come";
}

}  // namespace

std::string guard_summary(const GuardSettings& settings) {
  std::string text;
  for (const GuardField& field : guard_fields()) {
    const std::string value = field.get(settings);
    if (value == field.get(GuardSettings{})) continue;
    append(text, "{}{}", text.empty() ? "" : " ", field.key);
    if (value != "on") append(text, "={}", value);
  }
  return text.empty() ? "none" : text;
}

Json guard_json(const Port& port) {
  const GuardSettings settings = Guards::of(port);
  Json shown = Json::object();
  for (const GuardField& field : guard_fields()) {
    shown[std::string(field.key)] = field.get(settings);
  }
  if (port.guard != nullptr && settings.sticky) {
    Json kept = Json::array();
    for (const MacAddress& mac : port.guard->stuck) kept.push_back(mac.text());
    shown["sticky_macs"] = std::move(kept);
  }
  return shown;
}

std::uint64_t guard_drops(const Port& port) {
  std::uint64_t sum = port.counters.drops.of(Drop::rate_limit_out);
  for (std::size_t i = static_cast<std::size_t>(Drop::guarded_bpdu);
       i <= static_cast<std::size_t>(Drop::isolated); ++i) {
    sum += port.counters.drops.of(static_cast<Drop>(i));
  }
  return sum;
}

Json binding_json(const Binding& binding, Time now) {
  Json row = {{"address", binding.address.text()},
              {"mac", binding.mac.text()},
              {"origin", origin_text(binding.origin)}};
  row["vlan"] = binding.vlan == Binding::kAnyVlan ? Json("any") : Json(binding.vlan);
  row["port"] = binding.port == kPortNone ? Json("any") : Json(binding.port);
  row["expires_s"] = binding.expires == Binding::kForEver
                         ? Json("never")
                         : Json(whole_seconds(std::max(binding.expires - now, Duration{0})));
  return row;
}

Result<void> change_guard(Switch& bridge, Port& port, std::string_view key,
                          std::string_view value) {
  GuardSettings settings = Guards::of(port);
  if (Result<void> read = set_guard_field(settings, key, value); !read) return read;
  if (Result<void> set = bridge.set_guard(port.id(), settings); !set) return set;
  port.guard_chosen = true;
  return {};
}

}  // namespace lanyard

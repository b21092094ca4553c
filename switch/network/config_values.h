// SPDX-License-Identifier: MIT
//
// Single values of a configuration, to and from JSON, which stands between the value types and both
// TOML and the lines on a gateway's socket: `encode` writes, `decode` reads strictly and reports
// everything it cannot use, with its place in the tree. A struct is a list of fields
// (config_fields.h), so each key is named once, for reading, writing, comparing and the manual.
// Inside of switch/network only. Any thread.
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "switch/base/text.h"
#include "switch/network/json_rpc.h"
#include "switch/network/nearest.h"
#include "switch/network/network_config.h"

namespace lanyard {

// In the order in which people are shown it.
using ConfigJson = OrderedJson;
using ConfigPath = std::vector<std::string>;

// Collects problems where the reader is.
class ConfigReport {
 public:
  struct Item {
    ConfigPath path;
    bool at_key = false;  // the key is wrong, not its value
    std::string text;
  };

  // A step deeper into the tree, for as long as it lives.
  class Step {
   public:
    Step(ConfigReport& report, std::string key) : report_(report) {
      report_.path_.push_back(std::move(key));
    }
    ~Step() { report_.path_.pop_back(); }
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;

   private:
    ConfigReport& report_;
  };

  void add(std::string text) { items_.push_back({path_, false, std::move(text)}); }
  void add_key(std::string text) { items_.push_back({path_, true, std::move(text)}); }
  const std::vector<Item>& items() const { return items_; }
  const ConfigPath& path() const { return path_; }

  // Takes the later complaints over, without those about a part that has one already.
  void take_over(const ConfigReport& later);

 private:
  ConfigPath path_;
  std::vector<Item> items_;
};

// "network.lab.forward[2]: TEXT"
std::string config_message(const ConfigReport::Item& item);

// What stands there: "\"abc\"", "5", "a table".
std::string config_found(const Json& value);

template <typename T>
struct ConfigField {
  std::string_view key;
  bool live = false;  // can change while the network runs
  ConfigJson (*get)(const T&) = nullptr;
  void (*set)(T&, const Json&, ConfigReport&) = nullptr;
  std::string_view help;
};

template <typename T>
concept ConfigStruct = requires(const T* tag) {
  config_fields(tag);
};

ConfigJson encode(bool value);
ConfigJson encode(const std::string& value);
ConfigJson encode(NetworkKind kind);
ConfigJson encode(TcpEngineKind engine);
ConfigJson encode(const MacAddress& mac);
ConfigJson encode(Ipv4Address address);
ConfigJson encode(const Ipv6Address& address);
ConfigJson encode(const IpAddress& address);
ConfigJson encode(const Ipv4Prefix& prefix);
ConfigJson encode(const Ipv6Prefix& prefix);
ConfigJson encode(const Ipv4Range& range);
ConfigJson encode(const ForwardConfig& forward);
ConfigJson encode(const DhcpOptionConfig& option);

void decode(bool& to, const Json& from, ConfigReport& report);
void decode(std::string& to, const Json& from, ConfigReport& report);
void decode(NetworkKind& to, const Json& from, ConfigReport& report);
void decode(TcpEngineKind& to, const Json& from, ConfigReport& report);
void decode(MacAddress& to, const Json& from, ConfigReport& report);
void decode(Ipv4Address& to, const Json& from, ConfigReport& report);
void decode(Ipv6Address& to, const Json& from, ConfigReport& report);
void decode(IpAddress& to, const Json& from, ConfigReport& report);
void decode(Ipv4Prefix& to, const Json& from, ConfigReport& report);
void decode(Ipv6Prefix& to, const Json& from, ConfigReport& report);
void decode(Ipv4Range& to, const Json& from, ConfigReport& report);
void decode(ForwardConfig& to, const Json& from, ConfigReport& report);
void decode(DhcpOptionConfig& to, const Json& from, ConfigReport& report);
void decode(SocketConfig& to, const Json& from, ConfigReport& report);

// A number of seconds, or text like "90s", "15m", "12h", "7d".
void decode_seconds(std::uint32_t& to, const Json& from, ConfigReport& report);

// A whole number within bounds; nullopt was reported.
std::optional<std::uint64_t> decode_number(const Json& from, std::uint64_t max,
                                           ConfigReport& report);

template <std::unsigned_integral T>
requires(!std::same_as<T, bool>) ConfigJson encode(T value) {
  return value;
}

template <std::unsigned_integral T>
requires(!std::same_as<T, bool>) void decode(T& to, const Json& from, ConfigReport& report) {
  if (const auto number = decode_number(from, std::numeric_limits<T>::max(), report)) {
    to = static_cast<T>(*number);
  }
}

// Fields that have no value there: null, and in a file "none".
template <typename T>
bool is_none(const Json& value) {
  return value.is_null() || (value.is_string() && value.get_ref<const std::string&>() == "none");
}

template <ConfigStruct T>
ConfigJson encode(const T& value) {
  ConfigJson object = ConfigJson::object();
  for (const ConfigField<T>& field : config_fields(&value)) {
    object[std::string(field.key)] = field.get(value);
  }
  return object;
}

template <typename T>
ConfigJson encode(const std::optional<T>& value) {
  return value ? encode(*value) : ConfigJson(nullptr);
}

template <typename T>
ConfigJson encode(const std::vector<T>& values) {
  ConfigJson list = ConfigJson::array();
  for (const T& value : values) list.push_back(encode(value));
  return list;
}

// Says which keys of the object are not among those known.
void report_unknown_keys(const Json& object, std::span<const std::string_view> known,
                         ConfigReport& report);

template <ConfigStruct T>
void decode_struct(T& to, const Json& from, ConfigReport& report) {
  if (!from.is_object()) {
    report.add(fmt::format("{} stands where a table is expected", config_found(from)));
    return;
  }
  std::vector<std::string_view> known;
  for (const ConfigField<T>& field : config_fields(&to)) {
    known.push_back(field.key);
    const auto at = from.find(field.key);
    if (at == from.end()) continue;
    const ConfigReport::Step step(report, std::string(field.key));
    field.set(to, *at, report);
  }
  report_unknown_keys(from, known, report);
}

template <ConfigStruct T>
void decode(T& to, const Json& from, ConfigReport& report) {
  decode_struct(to, from, report);
}

template <typename T>
void decode(std::optional<T>& to, const Json& from, ConfigReport& report) {
  to.reset();
  if (is_none<T>(from)) return;
  const std::size_t problems = report.items().size();
  decode(to.emplace(), from, report);
  // What cannot be read is as if it were not there, or it would be complained about twice.
  if (!ConfigStruct<T> && report.items().size() != problems) to.reset();
}

// A single value stands for a list of one.
template <typename T>
void decode(std::vector<T>& to, const Json& from, ConfigReport& report) {
  to.clear();
  if (!from.is_array()) {
    decode(to.emplace_back(), from, report);
    return;
  }
  for (std::size_t i = 0; i < from.size(); ++i) {
    const ConfigReport::Step step(report, std::to_string(i));
    decode(to.emplace_back(), from[i], report);
  }
}

}  // namespace lanyard

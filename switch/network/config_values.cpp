// SPDX-License-Identifier: MIT
#include "switch/network/config_values.h"

#include <algorithm>
#include <charconv>

#include "switch/network/config_fields.h"
#include "switch/network/config_json.h"

namespace lanyard {
namespace {

constexpr std::size_t kShownMax = 60;
constexpr std::array<std::string_view, 4> kKinds{"nat", "host-only", "routed", "internal"};
constexpr std::array<std::string_view, 2> kTcpEngines{"direct", "libslirp"};

// The text of a value that must be one; null was reported.
const std::string* text_of(const Json& from, std::string_view wanted, ConfigReport& report) {
  if (from.is_string()) return &from.get_ref<const std::string&>();
  report.add(fmt::format("{} is no text; write {} in quotes", config_found(from), wanted));
  return nullptr;
}

template <typename T>
void decode_text(T& to, const Json& from, std::string_view wanted, ConfigReport& report) {
  const std::string* text = text_of(from, wanted, report);
  if (text == nullptr) return;
  if (const auto value = T::parse(*text)) {
    to = *value;
  } else {
    report.add(fmt::format("{} is not {}", config_found(from), wanted));
  }
}

// One of the words, whose places are the values of T.
template <typename T, std::size_t N>
void decode_word(T& to, const Json& from, const std::array<std::string_view, N>& words,
                 std::string_view what, ConfigReport& report) {
  const auto at = std::find(words.begin(), words.end(),
                            from.is_string() ? from.get_ref<const std::string&>() : std::string());
  if (at == words.end()) {
    report.add(
        fmt::format("{} is no {}; there are {}", config_found(from), what, fmt::join(words, ", ")));
    return;
  }
  to = static_cast<T>(at - words.begin());
}

std::string hex(const std::vector<std::uint8_t>& bytes) {
  std::string text;
  for (const std::uint8_t byte : bytes) append(text, "{:02x}", byte);
  return text;
}

std::optional<std::vector<std::uint8_t>> parse_hex(std::string_view text) {
  std::vector<std::uint8_t> bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    if (text[i] == ':' && i != 0) ++i;
    std::uint8_t byte = 0;
    const std::string_view digits = text.substr(std::min(i, text.size()), 2);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
    if (digits.size() != 2 || error != std::errc() || end != digits.data() + 2) return std::nullopt;
    bytes.push_back(byte);
  }
  return bytes;
}

}  // namespace

std::string_view kind_text(NetworkKind kind) {
  return kKinds[static_cast<std::size_t>(kind)];
}

std::string_view engine_text(TcpEngineKind engine) {
  return kTcpEngines[static_cast<std::size_t>(engine)];
}

void ConfigReport::take_over(const ConfigReport& later) {
  const std::vector<Item> before = items_;
  for (const Item& item : later.items_) {
    // Element by element of lists, value by value elsewhere.
    const bool known = std::any_of(before.begin(), before.end(), [&](const Item& other) {
      const std::size_t shared = std::min(other.path.size(), item.path.size());
      return !other.at_key && shared > 2 &&
             std::equal(other.path.begin(),
                        other.path.begin() + static_cast<std::ptrdiff_t>(shared),
                        item.path.begin());
    });
    if (!known) items_.push_back(item);
  }
}

std::string config_message(const ConfigReport::Item& item) {
  std::string where;
  for (const std::string& part : item.path) {
    const bool index = !where.empty() && part.find_first_not_of("0123456789") == std::string::npos;
    // People count from one.
    if (index) {
      append(where, "[{}]", std::strtoull(part.c_str(), nullptr, 10) + 1);
    } else {
      append(where, "{}{}", where.empty() ? "" : ".", printable(part));
    }
  }
  return where.empty() ? item.text : where + ": " + item.text;
}

std::string config_found(const Json& value) {
  if (value.is_object()) return "a table";
  if (value.is_array()) return "a list";
  if (value.is_null()) return "nothing";
  if (!value.is_string()) return value.dump();
  std::string text = printable(value.get_ref<const std::string&>());
  if (text.size() > kShownMax) text = text.substr(0, kShownMax) + "...";
  return "\"" + text + "\"";
}

void report_unknown_keys(const Json& object, std::span<const std::string_view> known,
                         ConfigReport& report) {
  for (const auto& item : object.items()) {
    if (std::find(known.begin(), known.end(), item.key()) != known.end()) continue;
    const std::string_view meant = nearest(item.key(), known);
    const ConfigReport::Step step(report, item.key());
    if (!meant.empty()) {
      report.add_key(fmt::format("there is no such key; did you mean \"{}\"?", meant));
    } else {
      report.add_key(
          fmt::format("there is no such key here; there are {}", fmt::join(known, ", ")));
    }
  }
}

ConfigJson encode(bool value) {
  return value;
}
ConfigJson encode(const std::string& value) {
  return value;
}
ConfigJson encode(NetworkKind kind) {
  return std::string(kind_text(kind));
}
ConfigJson encode(TcpEngineKind engine) {
  return std::string(engine_text(engine));
}
ConfigJson encode(const MacAddress& mac) {
  return mac.text();
}
ConfigJson encode(Ipv4Address address) {
  return address.text();
}
ConfigJson encode(const Ipv6Address& address) {
  return address.text();
}
ConfigJson encode(const IpAddress& address) {
  return address.text();
}
ConfigJson encode(const Ipv4Prefix& prefix) {
  return prefix.text();
}
ConfigJson encode(const Ipv6Prefix& prefix) {
  return prefix.text();
}
ConfigJson encode(const Ipv4Range& range) {
  return range.first.text() + "-" + range.last.text();
}
ConfigJson encode(const ForwardConfig& forward) {
  return {{"name", forward.name},
          {"from", forward_from_text(forward)},
          {"to", forward_to_text(forward)}};
}
ConfigJson encode(const DhcpOptionConfig& option) {
  return {{"code", option.code}, {"hex", hex(option.value)}};
}

void decode(bool& to, const Json& from, ConfigReport& report) {
  if (from.is_boolean()) {
    to = from.get<bool>();
  } else {
    report.add(fmt::format("{} is neither true nor false", config_found(from)));
  }
}

void decode(std::string& to, const Json& from, ConfigReport& report) {
  const std::string* text = text_of(from, "it", report);
  if (text == nullptr) return;
  if (text->find('\0') != std::string::npos) {
    report.add("the text holds a zero byte");
  } else {
    to = *text;
  }
}

std::optional<std::uint64_t> decode_number(const Json& from, std::uint64_t max,
                                           ConfigReport& report) {
  const bool right =
      from.is_number_unsigned() || (from.is_number_integer() && from.get<std::int64_t>() >= 0);
  if (right && from.get<std::uint64_t>() <= max) return from.get<std::uint64_t>();
  report.add(fmt::format("{} is no whole number from 0 to {}{}", config_found(from), max,
                         from.is_string() ? "; numbers stand without quotes" : ""));
  return std::nullopt;
}

void decode_seconds(std::uint32_t& to, const Json& from, ConfigReport& report) {
  if (!from.is_string()) {
    decode(to, from, report);
    return;
  }
  const std::string& text = from.get_ref<const std::string&>();
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  const std::uint64_t seconds = unit == "s"   ? 1
                                : unit == "m" ? 60
                                : unit == "h" ? 3600
                                : unit == "d" ? 86400
                                              : 0;
  if (error != std::errc() || seconds == 0 || number * seconds > 0xffffffff) {
    report.add(fmt::format("{} is no time; write seconds, or \"15m\", \"12h\", \"7d\"",
                           config_found(from)));
    return;
  }
  to = static_cast<std::uint32_t>(number * seconds);
}

void decode(NetworkKind& to, const Json& from, ConfigReport& report) {
  decode_word(to, from, kKinds, "kind of network", report);
}

void decode(TcpEngineKind& to, const Json& from, ConfigReport& report) {
  decode_word(to, from, kTcpEngines, "TCP engine", report);
}

void decode(MacAddress& to, const Json& from, ConfigReport& report) {
  decode_text(to, from, "a MAC address like 52:54:00:00:00:01", report);
}
void decode(Ipv4Address& to, const Json& from, ConfigReport& report) {
  decode_text(to, from, "an IPv4 address like 10.0.2.15", report);
}
void decode(Ipv6Address& to, const Json& from, ConfigReport& report) {
  decode_text(to, from, "an IPv6 address like fd00::15", report);
}
void decode(IpAddress& to, const Json& from, ConfigReport& report) {
  decode_text(to, from, "an IPv4 or IPv6 address", report);
}
void decode(Ipv4Prefix& to, const Json& from, ConfigReport& report) {
  decode_text(to, from, "an IPv4 network like 10.0.2.0/24", report);
}
void decode(Ipv6Prefix& to, const Json& from, ConfigReport& report) {
  decode_text(to, from, "an IPv6 network like fd00:1::/64", report);
}

void decode(Ipv4Range& to, const Json& from, ConfigReport& report) {
  const std::string* text = text_of(from, "\"FIRST-LAST\"", report);
  if (text == nullptr) return;
  const std::size_t dash = text->find('-');
  const auto first = Ipv4Address::parse(trim(std::string_view(*text).substr(0, dash)));
  const auto last = dash == std::string::npos
                        ? first
                        : Ipv4Address::parse(trim(std::string_view(*text).substr(dash + 1)));
  if (!first || !last || *last < *first) {
    report.add(
        fmt::format("{} is no range of addresses like 10.0.2.15-10.0.2.99", config_found(from)));
    return;
  }
  to = {*first, *last};
}

void decode(SocketConfig& to, const Json& from, ConfigReport& report) {
  // The path alone is the common case.
  if (from.is_string()) {
    decode(to.path, from, report);
  } else {
    decode_struct(to, from, report);
  }
}

void decode(ForwardConfig& to, const Json& from, ConfigReport& report) {
  if (from.is_string()) {
    auto rule = parse_virtualbox_forward(from.get_ref<const std::string&>());
    if (!rule) return report.add(rule.error().text);
    to = rule.take();
    return;
  }
  if (!from.is_object()) {
    return report.add(fmt::format(
        "{} is no forward; write {{ name = \"ssh\", from = \"2222\", to = \"10.0.2.15:22\" }}",
        config_found(from)));
  }
  std::array<std::string, 3> texts;
  std::vector<std::string_view> known;
  bool complete = true;
  for (const ConfigKeyHelp& key : forward_keys()) {
    const auto at = from.find(key.key);
    if (at == from.end()) {
      report.add(fmt::format("the forward has no \"{}\": {}", key.key, key.help));
      complete = false;
    } else if (const ConfigReport::Step step(report, std::string(key.key)); !at->is_string()) {
      report.add(fmt::format("{} is no text: {}", config_found(*at), key.help));
      complete = false;
    } else {
      texts[known.size()] = at->get<std::string>();
    }
    known.push_back(key.key);
  }
  report_unknown_keys(from, known, report);
  if (!complete) return;
  auto forward = parse_forward(texts[0], texts[1], texts[2]);
  if (!forward) return report.add(forward.error().text);
  to = forward.take();
}

void decode(DhcpOptionConfig& to, const Json& from, ConfigReport& report) {
  if (!from.is_object()) {
    return report.add("a DHCP option is a table: { code = 43, hex = \"0104\" }");
  }
  std::vector<std::string_view> known;
  for (const ConfigKeyHelp& key : dhcp_option_keys()) known.push_back(key.key);
  report_unknown_keys(from, known, report);
  const auto member = [&](const char* key) { return from.contains(key); };
  if (!member("code") || member("hex") + member("text") + member("addresses") != 1) {
    return report.add("a DHCP option has a code, and one of hex, text and addresses");
  }
  if (const ConfigReport::Step step(report, "code"); true) {
    if (const auto code = decode_number(from["code"], 254, report)) {
      to.code = static_cast<std::uint8_t>(*code);
    }
  }
  if (member("text")) {
    const ConfigReport::Step step(report, "text");
    std::string text;
    decode(text, from["text"], report);
    to.value.assign(text.begin(), text.end());
  } else if (member("addresses")) {
    const ConfigReport::Step step(report, "addresses");
    std::vector<Ipv4Address> addresses;
    decode(addresses, from["addresses"], report);
    to.value.clear();
    for (const Ipv4Address address : addresses) {
      const auto octets = address.bytes();
      to.value.insert(to.value.end(), octets.begin(), octets.end());
    }
  } else {
    const ConfigReport::Step step(report, "hex");
    const auto bytes = from["hex"].is_string() ? parse_hex(from["hex"].get<std::string>())
                                               : std::optional<std::vector<std::uint8_t>>();
    if (!bytes) return report.add("these are no bytes in hexadecimal, like \"0104\" or \"01:04\"");
    to.value = *bytes;
  }
}

}  // namespace lanyard

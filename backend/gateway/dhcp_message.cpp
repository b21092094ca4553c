// SPDX-License-Identifier: MIT
#include "backend/gateway/dhcp_message.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "switch/base/text.h"

namespace lanyard {
namespace {

using Bytes = std::vector<std::uint8_t>;
using View = std::span<const std::uint8_t>;

constexpr std::array<std::uint8_t, 4> kMagic{99, 130, 83, 99};
constexpr std::size_t kServerNameAt = 44;
constexpr std::size_t kServerNameSize = 64;
constexpr std::size_t kFileAt = 108;
constexpr std::size_t kFileSize = 128;
constexpr std::size_t kMagicAt = 236;
constexpr std::size_t kOptionPartMax = 255;

// Reads numbers from the front of bytes whose size was checked.
class Reader {
 public:
  explicit Reader(View bytes) : rest_(bytes) {}
  View bytes(std::size_t count) {
    const View taken = rest_.first(std::min(count, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  std::uint32_t number(std::size_t size) {
    std::uint32_t value = 0;
    for (const std::uint8_t byte : bytes(size)) value = value << 8 | byte;
    return value;
  }
  Ipv4Address address() { return Ipv4Address::from_number(number(4)); }

 private:
  View rest_;
};

void add(Bytes& to, View bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

void add_number(Bytes& to, std::uint32_t value, std::size_t size) {
  while (size-- > 0) to.push_back(static_cast<std::uint8_t>(value >> (8 * size)));
}

std::string text_until_nul(View field) {
  const auto end = std::find(field.begin(), field.end(), std::uint8_t{0});
  return {field.begin(), end};
}

Result<void> read_options(View field, std::string_view where, DhcpMessage& message) {
  std::size_t at = 0;
  while (at < field.size()) {
    const std::uint8_t code = field[at++];
    if (code == dhcp_option::pad) continue;
    if (code == dhcp_option::end) return {};
    if (at == field.size()) {
      return Error{EPROTO, fmt::format("option {} at the end of {} has no length", code, where)};
    }
    const std::size_t size = field[at++];
    if (size > field.size() - at) {
      return Error{EPROTO, fmt::format("option {} in {} says it has {} bytes, and {} are there",
                                       code, where, size, field.size() - at)};
    }
    Bytes& value = message.options[code];
    add(value, field.subspan(at, size));
    at += size;
  }
  return {};  // the end mark is missing, and nothing else
}

// The options that somebody here reads as numbers, and how long they are.
constexpr std::array<std::pair<std::uint8_t, std::size_t>, 5> kFixedSizes{{
    {dhcp_option::requested_address, 4},
    {dhcp_option::server_identifier, 4},
    {dhcp_option::lease_time, 4},
    {dhcp_option::message_type, 1},
    {dhcp_option::message_size_max, 2},
}};

Result<void> check_options(DhcpMessage& message) {
  for (const auto& [code, size] : kFixedSizes) {
    const Bytes* const value = message.option(code);
    if (value != nullptr && value->size() != size) {
      return Error{EPROTO,
                   fmt::format("option {} has {} bytes instead of {}", code, value->size(), size)};
    }
  }
  const auto type = message.number(dhcp_option::message_type);
  if (!type) return Error{EPROTO, "no message type (option 53): BOOTP is not served"};
  if (*type < 1 || *type > 8) {
    return Error{EPROTO, fmt::format("message type {} is not one of RFC 2131", *type)};
  }
  message.type = static_cast<DhcpType>(*type);
  message.options.erase(dhcp_option::message_type);
  message.options.erase(dhcp_option::overload);
  return {};
}

Result<void> check_header(View bytes) {
  if (bytes.size() < DhcpMessage::kHeaderSize) {
    return Error{EPROTO, fmt::format("{} bytes are no DHCP message, its header has {}",
                                     bytes.size(), DhcpMessage::kHeaderSize)};
  }
  if (!std::equal(kMagic.begin(), kMagic.end(), bytes.begin() + kMagicAt)) {
    return Error{EPROTO, "no magic number before the options"};
  }
  if (bytes[0] != 1 && bytes[0] != 2) {
    return Error{EPROTO, fmt::format("operation {} is neither request nor reply", bytes[0])};
  }
  if (bytes[1] != 1 || bytes[2] != MacAddress::kSize) {
    return Error{EPROTO, fmt::format("hardware type {} with addresses of {} bytes is not Ethernet",
                                     bytes[1], bytes[2])};
  }
  return {};
}

// A field that options are written into.
struct Region {
  std::size_t room;  // without the end mark
  Bytes bytes;
};

std::size_t wire_size(const DhcpOptionConfig& option) {
  const std::size_t size = option.value.size();
  const std::size_t parts = std::max<std::size_t>(1, (size + kOptionPartMax - 1) / kOptionPartMax);
  return size + 2 * parts;
}

bool write_option(Region& region, const DhcpOptionConfig& option) {
  if (wire_size(option) > region.room - region.bytes.size()) return false;
  View rest = option.value;
  do {
    const View part = rest.first(std::min(rest.size(), kOptionPartMax));
    rest = rest.subspan(part.size());
    region.bytes.push_back(option.code);
    region.bytes.push_back(static_cast<std::uint8_t>(part.size()));
    add(region.bytes, part);
  } while (!rest.empty());
  return true;
}

void write_header(Bytes& to, const DhcpMessage& header) {
  add_number(to, header.is_reply ? 2 : 1, 1);
  add_number(to, 1, 1);
  add_number(to, MacAddress::kSize, 1);
  add_number(to, header.hops, 1);
  add_number(to, header.xid, 4);
  add_number(to, header.secs, 2);
  add_number(to, header.flags, 2);
  for (const Ipv4Address address : {header.ciaddr, header.yiaddr, header.siaddr, header.giaddr}) {
    add_number(to, address.number(), 4);
  }
  add(to, header.chaddr.bytes());
  to.resize(kMagicAt);
  add(to, kMagic);
}

void write_text(Bytes& to, std::size_t at, std::string_view text, std::size_t size) {
  const std::string_view fits = text.substr(0, size - 1);
  std::copy(fits.begin(), fits.end(), to.begin() + static_cast<std::ptrdiff_t>(at));
}

}  // namespace

std::string_view text_of(DhcpType type) {
  constexpr std::array<std::string_view, 9> kNames{
      "", "DISCOVER", "OFFER", "REQUEST", "DECLINE", "ACK", "NAK", "RELEASE", "INFORM"};
  return kNames[static_cast<std::size_t>(type)];
}

const Bytes* DhcpMessage::option(std::uint8_t code) const {
  const auto at = options.find(code);
  return at == options.end() ? nullptr : &at->second;
}

std::optional<std::uint32_t> DhcpMessage::number(std::uint8_t code) const {
  const Bytes* const value = option(code);
  if (value == nullptr || value->empty() || value->size() > 4) return std::nullopt;
  return Reader(*value).number(value->size());
}

std::optional<Ipv4Address> DhcpMessage::address(std::uint8_t code) const {
  const Bytes* const value = option(code);
  if (value == nullptr || value->size() != 4) return std::nullopt;
  return Reader(*value).address();
}

std::string_view DhcpMessage::text(std::uint8_t code) const {
  const Bytes* const value = option(code);
  if (value == nullptr || value->empty()) return {};
  std::string_view all(reinterpret_cast<const char*>(value->data()), value->size());
  while (all.ends_with('\0')) all.remove_suffix(1);
  return all;
}

Result<DhcpMessage> parse_dhcp_message(View bytes) {
  if (auto checked = check_header(bytes); !checked) return checked.error();
  DhcpMessage message;
  Reader header(bytes);
  message.is_reply = header.number(1) == 2;
  header.bytes(2);
  message.hops = static_cast<std::uint8_t>(header.number(1));
  message.xid = header.number(4);
  message.secs = static_cast<std::uint16_t>(header.number(2));
  message.flags = static_cast<std::uint16_t>(header.number(2));
  message.ciaddr = header.address();
  message.yiaddr = header.address();
  message.siaddr = header.address();
  message.giaddr = header.address();
  message.chaddr = MacAddress::from_bytes(header.bytes(MacAddress::kSize).first<6>());

  const View server_name = bytes.subspan(kServerNameAt, kServerNameSize);
  const View file = bytes.subspan(kFileAt, kFileSize);
  auto read = read_options(bytes.subspan(DhcpMessage::kHeaderSize), "the options", message);
  if (!read) return read.error();
  const std::uint32_t overload = message.number(dhcp_option::overload).value_or(0);
  if ((overload & 1) != 0) {
    read = read_options(file, "the file field", message);
    if (!read) return read.error();
  } else {
    message.file = text_until_nul(file);
  }
  if ((overload & 2) != 0) {
    read = read_options(server_name, "the server name field", message);
    if (!read) return read.error();
  } else {
    message.server_name = text_until_nul(server_name);
  }
  if (auto checked = check_options(message); !checked) return checked.error();
  return message;
}

DhcpBytes build_dhcp_message(const DhcpMessage& header, std::span<const DhcpOptionConfig> options,
                             std::size_t size_max) {
  constexpr std::size_t kOverloadSize = 3;
  const std::size_t room = std::max(size_max, DhcpMessage::kSizeMin) - DhcpMessage::kHeaderSize - 1;
  std::size_t needed = 0;
  for (const DhcpOptionConfig& option : options) needed += wire_size(option);
  const bool fits = needed <= room;
  const bool file_free = header.file.empty();
  const bool name_free = header.server_name.empty();
  Region main{fits ? room : room - kOverloadSize, {}};
  Region file{!fits && file_free ? kFileSize - 1 : 0, {}};
  Region name{!fits && name_free ? kServerNameSize - 1 : 0, {}};

  DhcpBytes built;
  for (const DhcpOptionConfig& option : options) {
    if (!write_option(main, option) && !write_option(file, option) && !write_option(name, option)) {
      built.left_out.push_back(option.code);
    }
  }
  const auto overload =
      static_cast<std::uint8_t>((file.bytes.empty() ? 0 : 1) | (name.bytes.empty() ? 0 : 2));
  if (overload != 0) {
    main.room += kOverloadSize;
    write_option(main, {dhcp_option::overload, {overload}});
  }
  write_header(built.bytes, header);
  write_text(built.bytes, kFileAt, header.file, kFileSize);
  write_text(built.bytes, kServerNameAt, header.server_name, kServerNameSize);
  const auto place = [&](Region& region, std::size_t at) {
    if (region.bytes.empty()) return;
    region.bytes.push_back(dhcp_option::end);
    std::copy(region.bytes.begin(), region.bytes.end(),
              built.bytes.begin() + static_cast<std::ptrdiff_t>(at));
  };
  place(file, kFileAt);
  place(name, kServerNameAt);
  add(built.bytes, main.bytes);
  built.bytes.push_back(dhcp_option::end);
  if (built.bytes.size() < DhcpMessage::kSizeMin) built.bytes.resize(DhcpMessage::kSizeMin);
  return built;
}

Bytes dhcp_value(std::string_view text) {
  return {text.begin(), text.end()};
}

Bytes dhcp_value(std::span<const Ipv4Address> addresses) {
  Bytes value;
  for (const Ipv4Address address : addresses) add_number(value, address.number(), 4);
  return value;
}

Bytes dhcp_value(std::uint32_t number) {
  Bytes value;
  add_number(value, number, 4);
  return value;
}

Bytes dhcp_value16(std::uint16_t number) {
  Bytes value;
  add_number(value, number, 2);
  return value;
}

Bytes dns_wire_name(std::string_view name) {
  constexpr std::size_t kNameMax = 255;
  constexpr std::size_t kLabelMax = 63;
  if (name.ends_with('.')) name.remove_suffix(1);
  Bytes wire;
  while (!name.empty()) {
    const std::string_view label = name.substr(0, name.find('.'));
    if (label.empty() || label.size() > kLabelMax) return {};
    wire.push_back(static_cast<std::uint8_t>(label.size()));
    wire.insert(wire.end(), label.begin(), label.end());
    name.remove_prefix(std::min(name.size(), label.size() + 1));
  }
  if (wire.empty()) return {};
  wire.push_back(0);
  return wire.size() <= kNameMax ? wire : Bytes{};
}

Bytes dhcp_search_list(std::span<const std::string> domains) {
  constexpr std::size_t kPointerMax = 0x3fff;
  Bytes value;
  std::map<Bytes, std::size_t> places;  // of every tail written so far
  for (const std::string& domain : domains) {
    const Bytes name = dns_wire_name(domain);
    for (std::size_t at = 0; at < name.size();) {
      const Bytes tail(name.begin() + static_cast<std::ptrdiff_t>(at), name.end());
      const auto known = places.find(tail);
      if (tail.size() > 1 && known != places.end()) {
        add_number(value, static_cast<std::uint32_t>(0xc000U | known->second), 2);
        break;
      }
      if (value.size() <= kPointerMax) places.emplace(tail, value.size());
      const std::size_t label = 1 + std::size_t{name[at]};
      add(value, View(name).subspan(at, label));
      at += label;
    }
  }
  return value;
}

Bytes dhcp_routes(std::span<const DhcpConfig::Route> routes, std::optional<Ipv4Address> router) {
  Bytes value;
  const auto add_route = [&](const Ipv4Prefix& destination, Ipv4Address via) {
    value.push_back(static_cast<std::uint8_t>(destination.length));
    const auto octets = destination.network().bytes();
    add(value, View(octets).first((destination.length + 7) / 8));
    add_number(value, via.number(), 4);
  };
  bool has_default = false;
  for (const DhcpConfig::Route& route : routes) {
    add_route(route.destination, route.via);
    has_default |= route.destination.length == 0;
  }
  if (!routes.empty() && router && !has_default) add_route({Ipv4Address(), 0}, *router);
  return value;
}

}  // namespace lanyard

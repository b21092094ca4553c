// SPDX-License-Identifier: MIT
//
// Forwards as people write them.
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <optional>

#include "switch/base/text.h"
#include "switch/network/config_json.h"

namespace lanyard {
namespace {

constexpr std::uint32_t kForwardPortsMax = 4096;  // each is a socket
constexpr std::size_t kUnixPathMax = 107;
constexpr std::size_t kForwardNameMax = 64;

template <typename... Args>
Error invalid(fmt::format_string<Args...> format, Args&&... args) {
  return {EINVAL, fmt::format(format, std::forward<Args>(args)...)};
}

std::optional<std::uint16_t> port_number(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

bool is_guest_name(std::string_view text) {
  return !text.empty() && text.size() <= 253 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  });
}

// A name with only digits and dots is an address that was mistyped.
bool is_guest(std::string_view text) {
  if (IpAddress::parse(text)) return true;
  return is_guest_name(text) && text.find_first_not_of("0123456789.") != std::string_view::npos;
}

// "HOST:PORTS" in two, at the colon behind the brackets of an IPv6 address; without a colon all of
// it is ports. nullopt: brackets that do not match.
struct HostAndPort {
  std::string_view host;
  std::string_view port;
  bool has_host = false;
  bool bracketed = false;
};
std::optional<HostAndPort> split_host_port(std::string_view text) {
  if (text.starts_with('[')) {
    const std::size_t close = text.find("]:");
    if (close == std::string_view::npos) return std::nullopt;
    return HostAndPort{text.substr(1, close - 1), text.substr(close + 2), true, true};
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return HostAndPort{{}, text, false, false};
  return HostAndPort{text.substr(0, colon), text.substr(colon + 1), true, false};
}

// The host's address; nullopt when it is none.
std::optional<IpAddress> host_address(const HostAndPort& from) {
  if (!from.has_host)
    return IpAddress(Ipv4Address::from_bytes(std::array<std::uint8_t, 4>{127, 0, 0, 1}));
  if (from.bracketed) {
    if (const auto v6 = Ipv6Address::parse(from.host)) return IpAddress(*v6);
    return std::nullopt;
  }
  if (from.host == "*") return IpAddress(Ipv4Address());
  if (const auto v4 = Ipv4Address::parse(from.host)) return IpAddress(*v4);
  return std::nullopt;
}

Result<void> read_ports(ForwardConfig& forward, std::string_view text) {
  const std::size_t dash = text.find('-');
  const auto first = port_number(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : port_number(text.substr(dash + 1));
  if (!first || !last) {
    return invalid("\"{}\" is no port; ports are 1 to 65535, or a range like 8000-8009",
                   printable(text));
  }
  if (*last < *first) return invalid("the range {}-{} runs backwards", *first, *last);
  const std::uint32_t count = std::uint32_t{*last} - *first + 1;
  if (count > kForwardPortsMax) {
    return invalid("the range {}-{} has {} ports; one forward has at most {}", *first, *last, count,
                   kForwardPortsMax);
  }
  forward.host_port = *first;
  forward.ports = static_cast<std::uint16_t>(count);
  return {};
}

Result<void> read_from(ForwardConfig& forward, std::string_view text) {
  const std::string_view whole = text;
  if (text.starts_with("unix:")) {
    forward.unix_path = text.substr(5);
    if (!forward.unix_path.starts_with('/') || forward.unix_path.size() > kUnixPathMax ||
        forward.unix_path.find('\0') != std::string::npos) {
      return invalid("\"{}\" is no absolute path of at most {} bytes behind unix:",
                     printable(forward.unix_path), kUnixPathMax);
    }
    return {};
  }
  if (text.starts_with("udp:")) forward.transport = Transport::udp;
  if (text.starts_with("udp:") || text.starts_with("tcp:")) text.remove_prefix(4);
  const auto parts = split_host_port(text);
  const auto address = parts ? host_address(*parts) : std::nullopt;
  if (!address) {
    return invalid(
        "\"{}\" is not [tcp:|udp:][ADDRESS:]PORT[-PORT] or unix:PATH; an IPv6 address stands in "
        "brackets, as in tcp:[::1]:2222",
        printable(whole));
  }
  forward.host_address = *address;
  return read_ports(forward, parts->port);
}

Result<void> read_to(ForwardConfig& forward, std::string_view text) {
  const auto parts = split_host_port(text);
  const bool right =
      parts && parts->has_host &&
      (parts->bracketed ? Ipv6Address::parse(parts->host).has_value()
                        : parts->host.find(':') == std::string_view::npos && is_guest(parts->host));
  if (!right) {
    return invalid(
        "\"{}\" is not GUEST:PORT; a guest is an IPv4 address, an IPv6 address in brackets or a "
        "name",
        printable(text));
  }
  const auto port = port_number(parts->port);
  if (!port) return invalid("\"{}\" is no port, 1 to 65535", printable(parts->port));
  // As addresses are printed, so that equal ones are equal.
  const auto address = IpAddress::parse(parts->host);
  forward.guest = address ? address->text() : std::string(parts->host);
  forward.guest_port = *port;
  return {};
}

Result<void> check_whole(const ForwardConfig& forward) {
  if (forward.name.empty() || forward.name.size() > kForwardNameMax ||
      printable(forward.name) != forward.name) {
    return invalid("\"{}\" cannot be a forward's name; it has 1 to {} printable characters",
                   printable(forward.name), kForwardNameMax);
  }
  if (std::uint32_t{forward.guest_port} + forward.ports - 1 > 65535) {
    return invalid("{} ports from guest port {} upwards pass 65535", forward.ports,
                   forward.guest_port);
  }
  return {};
}

std::string bracketed(const std::string& host) {
  return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

}  // namespace

Result<ForwardConfig> parse_forward(std::string_view name, std::string_view from,
                                    std::string_view to) {
  ForwardConfig forward;
  forward.name = name;
  if (auto read = read_from(forward, from); !read) return read.error();
  if (auto read = read_to(forward, to); !read) return read.error();
  if (auto right = check_whole(forward); !right) return right.error();
  return forward;
}

Result<ForwardConfig> parse_virtualbox_forward(std::string_view rule) {
  std::array<std::string_view, 6> parts;
  std::string_view rest = rule;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::size_t comma = rest.find(',');
    if ((comma == std::string_view::npos) != (i == 5)) {
      return invalid(
          "\"{}\" is not NAME,tcp|udp,[HOST ADDRESS],HOST PORT,[GUEST ADDRESS],GUEST PORT",
          printable(rule));
    }
    parts[i] = trim(rest.substr(0, comma));
    rest.remove_prefix(i == 5 ? rest.size() : comma + 1);
  }
  const auto& [name, transport, host, host_port, guest, guest_port] = parts;
  ForwardConfig forward;
  // A rule without a name is called by what it is, as in VirtualBox.
  forward.name = name.empty() ? fmt::format("{}_{}", transport, host_port) : std::string(name);
  if (transport != "tcp" && transport != "udp") {
    return invalid("\"{}\" is neither tcp nor udp", printable(transport));
  }
  forward.transport = transport == "udp" ? Transport::udp : Transport::tcp;
  const auto address = host.empty() ? IpAddress() : IpAddress::parse(host);
  if (!address) return invalid("\"{}\" is no address of the host", printable(host));
  forward.host_address = *address;
  if (auto read = read_ports(forward, host_port); !read) return read.error();
  if (!guest.empty() && !is_guest(guest)) {
    return invalid("\"{}\" is no address or name of a guest", printable(guest));
  }
  const auto guest_address = IpAddress::parse(guest);
  forward.guest = guest_address ? guest_address->text() : std::string(guest);
  const auto port = port_number(guest_port);
  if (!port) return invalid("\"{}\" is no port, 1 to 65535", printable(guest_port));
  forward.guest_port = *port;
  if (auto right = check_whole(forward); !right) return right.error();
  return forward;
}

std::string forward_from_text(const ForwardConfig& forward) {
  if (!forward.unix_path.empty()) return "unix:" + forward.unix_path;
  std::string text = fmt::format("{}:{}:{}", forward.transport == Transport::udp ? "udp" : "tcp",
                                 bracketed(forward.host_address.text()), forward.host_port);
  if (forward.ports > 1) append(text, "-{}", forward.host_port + forward.ports - 1);
  return text;
}

std::string forward_to_text(const ForwardConfig& forward) {
  return fmt::format("{}:{}", bracketed(forward.guest), forward.guest_port);
}

}  // namespace lanyard

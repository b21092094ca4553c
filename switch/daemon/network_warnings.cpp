// SPDX-License-Identifier: MIT
#include "switch/daemon/network_warnings.h"

#include <fcntl.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "switch/base/fd.h"
#include "switch/base/own_identity.h"
#include "switch/base/text.h"

namespace lanyard {
namespace {

// The beginning of a file; empty when it cannot be read.
std::string read_start(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  std::array<char, 4096> text{};
  const ssize_t count = file ? ::read(file.get(), text.data(), text.size()) : -1;
  return count > 0 ? std::string(text.data(), static_cast<std::size_t>(count)) : std::string();
}

// The numbers behind "Groups:" (proc(5)); getgroups(2) is nothing that a sandbox needs beside it.
std::string_view own_groups_line(std::string_view status) {
  constexpr std::string_view kKey = "\nGroups:";
  const std::size_t at = status.find(kKey);
  if (at == std::string_view::npos) return {};
  status.remove_prefix(at + kKey.size());
  return status.substr(0, status.find('\n'));
}

// Whether an unprivileged ICMP socket may be made (icmp(7)), as the gateway needs one for pings.
bool ping_permitted() {
  if (own_user() == 0) return true;
  const std::string range = read_start("/proc/sys/net/ipv4/ping_group_range");
  const auto words = split_words(trim(range));
  if (words.size() != 2) return true;
  const auto low = parse_integer(words[0]);
  const auto high = parse_integer(words[1]);
  if (!low || !high) return true;
  const auto is_permitted = [&](std::int64_t group) { return group >= *low && group <= *high; };
  if (is_permitted(own_group())) return true;
  const std::string status = read_start("/proc/self/status");
  const auto groups = split_words(own_groups_line(status));
  return std::any_of(groups.begin(), groups.end(), [&](std::string_view word) {
    const auto group = parse_integer(word);
    return group && is_permitted(*group);
  });
}

bool has_resolver(const std::string& resolv_conf) {
  return read_start(resolv_conf).find("nameserver") != std::string::npos;
}

// Nullopt when there is no such interface. Not by sysfs, which may show another namespace's.
std::optional<bool> is_up(const std::string& interface) {
  // netdevice(7): any socket will do, and one of the Internet the sandbox refuses.
  const UniqueFd any(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  if (interface.size() >= IFNAMSIZ) return std::nullopt;
  std::memcpy(request.ifr_name, interface.data(), interface.size());
  if (::ioctl(any.get(), SIOCGIFFLAGS, &request) != 0) return std::nullopt;
  return (request.ifr_flags & IFF_UP) != 0;
}

}  // namespace

std::vector<std::string> network_warnings(const NetworkConfig& network,
                                          const GatewayState& gateway) {
  std::vector<std::string> found;
  if (gateway.wanted && !gateway.serving) {
    found.push_back(gateway.trouble.empty() ? "its gateway does not serve" : gateway.trouble);
  }
  if (network.kind == NetworkKind::nat && !ping_permitted()) {
    found.emplace_back(
        "guests cannot ping the outside: as root, sysctl -w net.ipv4.ping_group_range='0 "
        "2147483647'");
  }
  if (network.dns.enabled && network.dns.upstream.empty() &&
      !has_resolver(network.dns.resolv_conf)) {
    found.push_back(fmt::format("{} names no resolver, so guests resolve nothing but each other",
                                network.dns.resolv_conf));
  }
  if (network.host) {
    const std::optional<bool> up = is_up(network.host->name);
    if (!up) found.push_back(fmt::format("the interface {} is gone", network.host->name));
    if (up == false) {
      found.push_back(
          fmt::format("{} is down: ip link set {} up", network.host->name, network.host->name));
    }
  }
  return found;
}

}  // namespace lanyard

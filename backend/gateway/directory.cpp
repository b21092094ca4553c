// SPDX-License-Identifier: MIT
#include "backend/gateway/directory.h"

#include <algorithm>

namespace lanyard {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::string lowered(std::string_view text) {
  std::string made(text);
  std::transform(made.begin(), made.end(), made.begin(), lower);
  return made;
}

bool has_address(const HostConfig& host, const IpAddress& address) {
  return address.is_v4() ? host.address == address.v4() : host.address6 == address.v6();
}

}  // namespace

std::vector<IpAddress> Directory::addresses_of(std::string_view name) const {
  const std::string wanted = lowered(name);
  std::vector<IpAddress> found;
  const auto add = [&found](const auto& address) {
    if (!address) return;
    const IpAddress one = *address;
    if (std::find(found.begin(), found.end(), one) == found.end()) found.push_back(one);
  };
  for (const HostConfig& host : hosts_) {
    if (lowered(host.name) != wanted) continue;
    add(host.address);
    add(host.address6);
  }
  if (dhcp_ != nullptr) add(dhcp_->address_of(std::string_view(wanted)));
  return found;
}

std::optional<std::string> Directory::name_of(const IpAddress& address) const {
  for (const HostConfig& host : hosts_) {
    if (has_address(host, address)) return host.name;
  }
  if (dhcp_ != nullptr && address.is_v4()) return dhcp_->name_of(address.v4());
  return std::nullopt;
}

std::optional<MacAddress> Directory::mac_of(const IpAddress& address) const {
  if (const auto seen = neighbours_.mac_of(address)) return seen;
  if (dhcp_ != nullptr && address.is_v4()) {
    if (const auto leased = dhcp_->mac_of(address.v4())) return leased;
  }
  for (const HostConfig& host : hosts_) {
    if (host.mac && has_address(host, address)) return host.mac;
  }
  return std::nullopt;
}

}  // namespace lanyard

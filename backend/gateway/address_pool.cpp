// SPDX-License-Identifier: MIT
#include "backend/gateway/address_pool.h"

#include <algorithm>

namespace lanyard {

AddressPool::AddressPool(const NetworkConfig& config, Ipv4Address server) : config_(config) {
  for (const HostConfig& host : config.hosts) {
    if (host.mac) by_mac_.emplace(host.mac->number(), &host);
    if (host.address) reserved_.emplace(host.address->number(), &host);
  }
  const auto own = [&](Ipv4Address address) { own_.insert(address.number()); };
  own(server);
  for (const auto& address : {config.router, config.dns_address, config.dhcp_address}) {
    if (address) own(*address);
  }
  if (config.host && config.host->address) own(config.host->address->address);
  if (config.subnet && config.subnet->length < 31) {
    own(config.subnet->network());
    own(config.subnet->broadcast());
  }
}

const HostConfig* AddressPool::host_of(MacAddress mac) const {
  const auto at = by_mac_.find(mac.number());
  return at == by_mac_.end() ? nullptr : at->second;
}

const HostConfig* AddressPool::reserved_for(Ipv4Address address) const {
  const auto at = reserved_.find(address.number());
  return at == reserved_.end() ? nullptr : at->second;
}

bool AddressPool::in_subnet(Ipv4Address address) const {
  return config_.subnet && config_.subnet->contains(address);
}

bool AddressPool::in_ranges(Ipv4Address address) const {
  return std::any_of(config_.dhcp.ranges.begin(), config_.dhcp.ranges.end(),
                     [&](const Ipv4Range& range) { return range.contains(address); });
}

bool AddressPool::permits(Ipv4Address address, const HostConfig* host) const {
  if (!in_subnet(address) || own_.contains(address.number())) return false;
  const HostConfig* const owner = reserved_for(address);
  return owner != nullptr ? owner == host : in_ranges(address);
}

bool AddressPool::is_free(Ipv4Address address, const LeaseTable& table) const {
  return permits(address, nullptr) && table.find(address) == nullptr;
}

std::optional<Ipv4Address> AddressPool::next_free(const LeaseTable& table) {
  while (!returned_.empty()) {
    const Ipv4Address address = *returned_.begin();
    if (is_free(address, table)) return address;
    returned_.erase(returned_.begin());
  }
  for (; range_ < config_.dhcp.ranges.size(); ++range_, offset_ = 0) {
    const Ipv4Range& range = config_.dhcp.ranges[range_];
    for (; range.first.number() + offset_ <= range.last.number(); ++offset_) {
      const auto address =
          Ipv4Address::from_number(static_cast<std::uint32_t>(range.first.number() + offset_));
      if (is_free(address, table)) return address;
    }
  }
  return std::nullopt;
}

void AddressPool::returned(Ipv4Address address) {
  if (permits(address, nullptr)) returned_.insert(address);
}

}  // namespace lanyard

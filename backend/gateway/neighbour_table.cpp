// SPDX-License-Identifier: MIT
#include "backend/gateway/neighbour_table.h"

#include <string_view>

namespace lanyard {

std::size_t NeighbourTable::Hash::operator()(const IpAddress& address) const {
  if (address.is_v4()) return std::hash<std::uint32_t>{}(address.v4().number());
  const Ipv6Address::Bytes& octets = address.v6().bytes();
  return std::hash<std::string_view>{}(
      {reinterpret_cast<const char*>(octets.data()), octets.size()});
}

void NeighbourTable::set_network(const NetworkConfig& config) {
  subnet_ = config.subnet;
  subnet6_ = config.subnet6;
  std::erase_if(entries_, [this](const auto& entry) { return !is_local(entry.first); });
}

bool NeighbourTable::is_local(const IpAddress& address) const {
  if (address.is_v4()) {
    const Ipv4Address v4 = address.v4();
    return subnet_ && subnet_->contains(v4) && v4 != subnet_->broadcast() &&
           v4 != subnet_->network();
  }
  const Ipv6Address& v6 = address.v6();
  return v6.is_link_local() || (subnet6_ && subnet6_->contains(v6));
}

void NeighbourTable::learn(const IpAddress& address, MacAddress mac, Evidence evidence, Time now) {
  if (mac.is_group() || mac.is_zero()) return;
  const auto found = entries_.find(address);
  if (found == entries_.end()) {
    if (!is_local(address)) return;
    if (entries_.size() >= kEntriesMax) age(now);
    if (entries_.size() >= kEntriesMax) return;
    const bool sure = evidence == Evidence::resolution;
    entries_.emplace(address, Entry{mac, now, sure ? now : now - kTrust});
    return;
  }
  Entry& entry = found->second;
  if (evidence == Evidence::resolution) {
    entry = {mac, now, now};
  } else if (entry.mac == mac || now - entry.resolved >= kTrust) {
    entry.mac = mac;
    entry.seen = now;
  }
}

std::optional<MacAddress> NeighbourTable::mac_of(const IpAddress& address) const {
  const auto found = entries_.find(address);
  if (found == entries_.end()) return std::nullopt;
  return found->second.mac;
}

void NeighbourTable::age(Time now) {
  std::erase_if(entries_, [now](const auto& entry) { return now - entry.second.seen >= kLife; });
}

}  // namespace lanyard

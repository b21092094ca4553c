// SPDX-License-Identifier: MIT
#include "backend/gateway/lease_table.h"

namespace lanyard {

const LeaseTable::Row* LeaseTable::find(Ipv4Address address) const {
  const auto at = rows_.find(address);
  return at == rows_.end() ? nullptr : &at->second;
}

const LeaseTable::Row* LeaseTable::find_client(const std::string& client_id) const {
  const auto at = by_client_.find(client_id);
  return at == by_client_.end() ? nullptr : find(at->second);
}

const LeaseTable::Row* LeaseTable::find_mac(MacAddress mac) const {
  const Row* best = nullptr;
  const auto [first, last] = by_mac_.equal_range(mac.number());
  for (auto at = first; at != last; ++at) {
    const Row* const row = find(at->second);
    if (best == nullptr || row->until > best->until) best = row;
  }
  return best;
}

const LeaseTable::Row* LeaseTable::find_name(const std::string& name) const {
  const auto at = by_name_.find(name);
  return at == by_name_.end() ? nullptr : find(at->second);
}

void LeaseTable::put(Row row) {
  const Ipv4Address address = row.lease.address;
  LeaseTable fresh;
  fresh.enter_indexes(fresh.rows_.emplace(address, std::move(row)).first->second);
  erase(address);
  rows_.merge(fresh.rows_);
  take_indexes(fresh);
}

void LeaseTable::take_indexes(LeaseTable& fresh) {
  for (auto [ours, theirs] :
       {std::pair{&by_client_, &fresh.by_client_}, {&by_name_, &fresh.by_name_}}) {
    for (const auto& [key, address] : *theirs) {
      if (const auto at = ours->find(key); at != ours->end()) at->second = address;
    }
    ours->merge(*theirs);
  }
  by_mac_.merge(fresh.by_mac_);
  ends_.merge(fresh.ends_);
  expired_.merge(fresh.expired_);
  for (std::size_t i = 0; i < std::size(counts_); ++i) counts_[i] += fresh.counts_[i];
}

void LeaseTable::erase(Ipv4Address address) {
  const auto at = rows_.find(address);
  if (at == rows_.end()) return;
  leave_indexes(at->second);
  rows_.erase(at);
}

std::optional<std::pair<Time, Ipv4Address>> LeaseTable::next_end() const {
  if (ends_.empty()) return std::nullopt;
  return *ends_.begin();
}

void LeaseTable::enter_indexes(const Row& row) {
  const Lease& lease = row.lease;
  ++counts_[static_cast<std::size_t>(lease.state)];
  if (!lease.client_id.empty()) by_client_[lease.client_id] = lease.address;
  // Who uses a declined address is no client of it.
  if (lease.state != LeaseState::declined) by_mac_.emplace(lease.mac.number(), lease.address);
  if (lease.state == LeaseState::bound && !lease.name.empty()) by_name_[lease.name] = lease.address;
  auto& order = lease.state == LeaseState::expired ? expired_ : ends_;
  order.emplace(row.until, lease.address);
}

void LeaseTable::leave_indexes(const Row& row) {
  const Lease& lease = row.lease;
  --counts_[static_cast<std::size_t>(lease.state)];
  const auto client = by_client_.find(lease.client_id);
  if (client != by_client_.end() && client->second == lease.address) by_client_.erase(client);
  const auto [first, last] = by_mac_.equal_range(lease.mac.number());
  for (auto at = first; at != last; ++at) {
    if (at->second != lease.address) continue;
    by_mac_.erase(at);
    break;
  }
  const auto name = by_name_.find(lease.name);
  if (name != by_name_.end() && name->second == lease.address) by_name_.erase(name);
  auto& order = lease.state == LeaseState::expired ? expired_ : ends_;
  order.erase({row.until, lease.address});
}

}  // namespace lanyard

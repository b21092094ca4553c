// SPDX-License-Identifier: MIT
//
// The addresses that are in somebody's hands or were: a row an address, found by address, client,
// MAC and name, and in the order in which their time comes. The indexes are what makes it hard, so
// rows change only by change(), which keeps them. What a row means is DhcpServer's business.
// Gateway thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "backend/gateway/lease.h"
#include "switch/base/time.h"

namespace lanyard {

class LeaseTable {
 public:
  struct Row {
    Lease lease;             // its expires_s is not kept up
    Time until{};            // offered, bound, declined: when that ends; expired: when it ended
    Time bound_until{};      // of an offer that was a lease: when that ended, or ends
    bool was_bound = false;  // the client has held it before
    bool probed = false;     // nobody else answered for it
    Time written{};          // what the store knows as `until`
  };
  using Rows = std::map<Ipv4Address, Row>;

  const Rows& rows() const { return rows_; }
  const Row* find(Ipv4Address address) const;
  const Row* find_client(const std::string& client_id) const;
  // Of several, the one with the longest time.
  const Row* find_mac(MacAddress mac) const;
  // A bound one.
  const Row* find_name(const std::string& name) const;
  std::size_t count(LeaseState state) const { return counts_[static_cast<std::size_t>(state)]; }

  // Instead of what is there. The client must have no other row. This and change() do nothing at
  // std::bad_alloc: a lease that is lost halfway would be another one with the next question.
  void put(Row row);
  template <typename Change>
  void change(Ipv4Address address, Change change_row) {
    const auto at = rows_.find(address);
    if (at == rows_.end()) return;
    Row changed = at->second;
    change_row(changed);
    LeaseTable fresh;
    fresh.enter_indexes(changed);
    leave_indexes(at->second);
    at->second = std::move(changed);
    take_indexes(fresh);
  }
  void erase(Ipv4Address address);

  // Of offered, bound and declined rows the one whose time ends first.
  std::optional<std::pair<Time, Ipv4Address>> next_end() const;
  // The expired ones, the oldest first.
  const std::set<std::pair<Time, Ipv4Address>>& expired() const { return expired_; }

 private:
  void enter_indexes(const Row& row);
  void leave_indexes(const Row& row);
  // Those of one row, without memory.
  void take_indexes(LeaseTable& fresh);

  Rows rows_;
  std::map<std::string, Ipv4Address> by_client_;
  std::multimap<std::uint64_t, Ipv4Address> by_mac_;
  std::map<std::string, Ipv4Address> by_name_;
  std::set<std::pair<Time, Ipv4Address>> ends_;
  std::set<std::pair<Time, Ipv4Address>> expired_;
  std::size_t counts_[5] = {};
};

}  // namespace lanyard

// SPDX-License-Identifier: MIT
//
// How many flows a guest may have and open per second, so that one guest cannot take the
// descriptors of all (each flow is a socket of this process). A guest is its hardware address: IPv6
// gives it 2^64 others. Time is a parameter. Gateway thread only.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "switch/base/time.h"
#include "switch/frame/mac_address.h"

namespace lanyard {

class Quota {
 public:
  enum class Answer : std::uint8_t { granted, too_many, too_fast };

  // Guests beyond this many share one account.
  static constexpr std::size_t kAccountsMax = 1024;

  Quota(std::uint32_t flows_max, std::uint32_t new_flows_per_s)
      : flows_max_(flows_max), per_s_(new_flows_per_s) {}
  // For flows to come; the open ones stay counted.
  void set_limits(std::uint32_t flows_max, std::uint32_t new_flows_per_s) {
    flows_max_ = flows_max;
    per_s_ = new_flows_per_s;
  }

  // Takes one when granted. What it was counted under goes into `account`, for give_back().
  Answer take(MacAddress guest, Time now, std::uint64_t& account);
  void give_back(std::uint64_t account);
  // Forgets guests without flows whose bucket is full again.
  void expire(Time now);

  std::uint32_t flows_of(MacAddress guest) const;
  std::size_t accounts() const { return accounts_.size(); }

 private:
  struct Account {
    std::uint32_t flows = 0;
    double tokens = 0;
    Time filled{0};
  };
  void refill(Account& account, Time now) const;

  // No hardware address: those have 48 bits.
  static constexpr std::uint64_t kSharedAccount = ~std::uint64_t{0};

  std::uint32_t flows_max_;
  std::uint32_t per_s_;
  std::unordered_map<std::uint64_t, Account> accounts_;
};

}  // namespace lanyard

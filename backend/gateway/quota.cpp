// SPDX-License-Identifier: MIT
#include "backend/gateway/quota.h"

#include <algorithm>

namespace lanyard {

void Quota::refill(Account& account, Time now) const {
  const double seconds = std::chrono::duration<double>(now - account.filled).count();
  account.tokens = std::min<double>(per_s_, account.tokens + std::max(0.0, seconds) * per_s_);
  account.filled = now;
}

Quota::Answer Quota::take(MacAddress guest, Time now, std::uint64_t& account) {
  account = guest.number();
  auto found = accounts_.find(account);
  if (found == accounts_.end()) {
    if (accounts_.size() >= kAccountsMax) account = kSharedAccount;
    found = accounts_.try_emplace(account, Account{0, static_cast<double>(per_s_), now}).first;
  }
  Account& entry = found->second;
  refill(entry, now);
  if (entry.flows >= flows_max_) return Answer::too_many;
  if (entry.tokens < 1) return Answer::too_fast;
  entry.tokens -= 1;
  ++entry.flows;
  return Answer::granted;
}

void Quota::give_back(std::uint64_t account) {
  const auto found = accounts_.find(account);
  if (found != accounts_.end() && found->second.flows > 0) --found->second.flows;
}

void Quota::expire(Time now) {
  for (auto entry = accounts_.begin(); entry != accounts_.end();) {
    refill(entry->second, now);
    const bool idle = entry->second.flows == 0 && entry->second.tokens >= per_s_;
    entry = idle ? accounts_.erase(entry) : std::next(entry);
  }
}

std::uint32_t Quota::flows_of(MacAddress guest) const {
  const auto found = accounts_.find(guest.number());
  return found == accounts_.end() ? 0 : found->second.flows;
}

}  // namespace lanyard

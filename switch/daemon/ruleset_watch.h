// SPDX-License-Identifier: MIT
//
// Tells when the host's packet filter may have changed: the kernel reports changes of nft's tables,
// in bursts, so they are gathered for a while; those of iptables-legacy it does not report, so
// there is a look from time to time. Lane thread only.
#pragma once

#include <functional>
#include <memory>

#include "switch/base/fd.h"
#include "switch/base/result.h"
#include "switch/runtime/event_loop.h"

namespace lanyard {

class RulesetWatch {
 public:
  static constexpr Duration kGather = std::chrono::milliseconds(500);
  static constexpr Duration kPeriod = std::chrono::seconds(30);

  static Result<std::unique_ptr<RulesetWatch>> create(EventLoop& loop,
                                                      std::function<void()> changed,
                                                      std::function<void()> look);
  RulesetWatch(const RulesetWatch&) = delete;
  RulesetWatch& operator=(const RulesetWatch&) = delete;

 private:
  RulesetWatch(EventLoop& loop, std::function<void()> changed)
      : loop_(loop), changed_(std::move(changed)) {}
  void on_report();

  EventLoop& loop_;
  std::function<void()> changed_;
  UniqueFd socket_;
  EventLoop::Watch watch_;
  EventLoop::Timer gathering_;
  EventLoop::Timer period_;
};

}  // namespace lanyard

// SPDX-License-Identifier: MIT
//
// The addresses of the host's interfaces, kept up to date: the kernel says when one comes or goes
// (rtnetlink(7)), then they are read again. Gateway thread only.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "switch/base/fd.h"
#include "switch/base/result.h"
#include "switch/network/ip_address.h"
#include "switch/runtime/event_loop.h"

namespace lanyard {

// All of them, loopback too.
std::vector<IpAddress> host_addresses();

class HostAddressWatch {
 public:
  // Calls at once and at every change.
  static Result<std::unique_ptr<HostAddressWatch>> create(
      EventLoop& loop, std::function<void(std::vector<IpAddress>)> changed);

 private:
  HostAddressWatch(UniqueFd fd, std::function<void(std::vector<IpAddress>)> changed)
      : fd_(std::move(fd)), changed_(std::move(changed)) {}
  void drain();

  UniqueFd fd_;
  std::function<void(std::vector<IpAddress>)> changed_;
  EventLoop::Watch watch_;  // after fd_: it must end first
};

}  // namespace lanyard

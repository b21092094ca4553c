// SPDX-License-Identifier: MIT
//
// The spawner's part of the host's own places in networks (host_leg.h): addresses of interfaces,
// forwarding, rules of the packet filter, and the watch over what others do to these. Made in that
// order, undone in reverse, also when a step fails. By the name of the interface. Spawner's thread
// only.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "switch/daemon/ruleset_watch.h"
#include "switch/daemon/spawner_message.h"
#include "switch/host/host_interface.h"
#include "switch/host/routing.h"

namespace lanyard {

class SpawnerHosts {
 public:
  SpawnerHosts(EventLoop& loop, Log& log, std::string state_directory)
      : loop_(loop), log_(log), state_directory_(std::move(state_directory)) {}

  // What processes that are gone have left, also of networks that nobody has any more.
  void clean_up();
  Result<void> claim(const NetworkConfig& network);
  // The TAP has been attached meanwhile.
  Result<void> set_up(const NetworkConfig& network);
  // EBUSY while a predecessor still has it.
  Result<void> resume(const NetworkConfig& network);
  void close(const std::string& interface) { legs_.erase(interface); }

 private:
  // The last is undone first.
  struct Leg {
    std::unique_ptr<HostInterface> interface;
    std::unique_ptr<Routing> routing;
    std::unique_ptr<RulesetWatch> ruleset;  // tells routing

    Leg() = default;
    Leg(Leg&&) = default;
    Leg& operator=(Leg&&) = delete;
    ~Leg() {
      ruleset.reset();
      routing.reset();
      interface.reset();
    }
  };
  static constexpr std::size_t kLegsMax = 1024;

  Result<void> start_routing(const NetworkConfig& network, Leg& leg);

  EventLoop& loop_;
  Log& log_;
  std::string state_directory_;
  std::map<std::string, Leg> legs_;
};

}  // namespace lanyard

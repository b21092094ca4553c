// SPDX-License-Identifier: MIT
//
// One change of the running networks to another value, all of it or nothing. The start of the
// daemon is a change from no networks.
//
//   open             sockets, host interfaces, plugs, new networks; what moves is rehearsed
//   release          gateways let go of ports of the host that others are to have
//   configure        gateways take, or refuse, what they are to do; new ones start
//   move             what is closed and opened under the same name: guests notice, so it is last
//   exchange         plugins; those of new networks came when these were opened
//   commit           nothing can fail any more: VLANs, what is no longer wanted is closed
//
// Whatever fails before the commit, the steps done until then are undone, and the first error is
// the answer. What makes it hard is that frames travel meanwhile: so each step is a turn of the
// loop, or several, and none does more than a frame may wait for. And gateways answer later: so a
// step gathers its answers and starts the next. People change forwards meanwhile, too, so what a
// network goes back to is what it has then, not what it had at the beginning. Lane thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "switch/daemon/network.h"
#include "switch/daemon/reload_plan.h"

namespace lanyard {

using Networks = std::map<std::string, std::unique_ptr<Network>>;

class Reload final : public std::enable_shared_from_this<Reload> {
 public:
  using Done = std::function<void(const Result<void>&)>;

  Reload(Networks& networks, NetworkEnvironment& environment, std::vector<NetworkConfig> wanted,
         Done done);

  // `done` is called once, at once or later.
  void start();

 private:
  // Collects answers; goes on with the last one.
  class Gather;
  using Step = void (Reload::*)();

  std::shared_ptr<Gather> gather(Step next);
  void open();
  Result<void> make_new();
  Result<void> open_places(const Places& places);
  Result<void> rehearse();
  void release();
  void configure();
  void move();
  void exchange_plugins();
  void commit();
  void finish();
  void close(const Places& places);
  void roll_back(Error why);
  void reopen(const Error& why);
  Network& network_of(const std::string& name);
  void in_next_round(std::function<void()> step);
  const NetworkConfig& wanted(const std::string& name) const {
    return *find_network(wanted_, name);
  }

  Networks& networks_;
  NetworkEnvironment& environment_;
  std::vector<NetworkConfig> wanted_;
  ReloadPlan plan_;
  Done done_;
  EventLoop::Timer timer_;

  // What was done so far.
  Networks added_;
  Places opened_;
  std::vector<std::string> started_gateways_;
  std::vector<std::string> told_gateways_;
  bool moved_ = false;
  std::vector<std::unique_ptr<Network>> removed_;  // no longer there for anybody else
};

}  // namespace lanyard

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
// network goes back to is what it has then, not what it had at the beginning. And memory may end in
// the midst of any step: one that goes forward has failed then, and those that must not fail, to
// commit and to go back, are done again until they are done. Lane thread only.
#pragma once

#include <cerrno>
#include <functional>
#include <map>
#include <memory>
#include <optional>
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

  // `done` is called once, later.
  void start();
  // Nothing of it is under way any more.
  bool over() const { return phase_ == Phase::over; }

 private:
  // Collects answers; goes on with the last one.
  class Gather;
  using Step = void (Reload::*)();
  enum class Phase { forward, committing, going_back, over };

  void next(Step step, Duration pause = Duration{0});
  void take_step();
  void fail(Error why);
  std::shared_ptr<Gather> gather(Step then);

  void begin();
  void open();
  void open_all();
  Result<void> make_new();
  Result<void> open_places(const Places& places);
  Result<void> rehearse();
  void release();
  void configure();
  void move();
  void open_moved();
  void exchange_plugins();
  void commit();
  void finish();
  void close(Places& places);
  void roll_back();
  void reopen();
  void end(const Result<void>& result);
  Network& network_of(const std::string& name);
  const NetworkConfig& wanted(const std::string& name) const {
    return *find_network(wanted_, name);
  }

  Networks& networks_;
  NetworkEnvironment& environment_;
  std::vector<NetworkConfig> wanted_;
  ReloadPlan plan_;
  Done done_;

  Phase phase_ = Phase::forward;
  Step step_ = nullptr;   // the next
  Step taken_ = nullptr;  // is taken again if it must not fail
  EventLoop::Timer timer_;
  std::optional<Error> failure_;  // the first
  Error no_memory_{ENOMEM, "there is no memory for it"};

  // What was done so far.
  Networks added_;
  Places opened_;
  Places moving_;     // is still to be closed, before it is opened elsewhere
  Places to_reopen_;  // if that fails
  bool exchanging_ = false;
  std::vector<std::string> started_gateways_;
  std::vector<std::string> told_gateways_;
  std::vector<std::unique_ptr<Network>> removed_;  // no longer there for anybody else
};

}  // namespace lanyard

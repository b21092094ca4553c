// SPDX-License-Identifier: MIT
//
// The switch process's side of its keeper: what it began with, and what it tells from then on.
//
// What makes it hard: it may be killed between any two instructions, and its successor starts from
// what has been told until then. So the order is: descriptors first, then the state that names
// them, then what is no longer needed; what is told is always the difference to what was told
// before, worked out anew, so that a message that found no room only comes later. A client is told
// that it is plugged in after the keeper knows (commit). Other changes of an instant are gathered
// and told in the next round (changed). A number of a descriptor that has been used again is told
// apart by when the object behind it came.
//
// Without a keeper every call does nothing. Lane thread only.
#pragma once

#include <sys/types.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "switch/base/log.h"
#include "switch/daemon/handover_state.h"
#include "switch/daemon/keeper_message.h"
#include "switch/runtime/event_loop.h"

namespace lanyard {

class KeptProcess {
 public:
  // How often the keeper hears that we are alive: while a peer would block without us, and else.
  static constexpr Duration kAlivePeriod = std::chrono::milliseconds(30);
  static constexpr Duration kAlivePeriodIdle = std::chrono::seconds(1);

  // The environment variable with the number of the link's descriptor.
  static constexpr const char* kLinkVariable = "LANYARD_KEEPER_LINK";

  struct Callbacks {
    std::function<HandoverState(HandoverReason why)> state;
    // A successor that had begun has come to nothing, and this process goes on.
    std::function<void()> resumed = nullptr;
  };
  // A successor has taken over, or has not, for a reason.
  using Upgraded = std::function<void(const Result<void>& outcome)>;

  // Of a process that a keeper has started; else one that is not kept.
  static KeptProcess from_environment();
  KeptProcess() = default;

  bool kept() const { return static_cast<bool>(link_); }
  // Whose number a pid file has.
  pid_t keeper() const { return keeper_; }

  // Waits until the keeper says that we may begin. What a predecessor was, with descriptors that
  // are open here; nullopt: we are the first. Called before anything else opens descriptors.
  // `prepare` is called when nobody is held up by it: while we stand by, or are asked whether we
  // could go on.
  Result<std::optional<HandoverState>> begin(const std::function<void()>& prepare = {});
  // What the keeper was given to listen on, if we are the first.
  std::vector<UniqueFd> take_given() { return std::move(given_); }

  // From now on changes are told.
  Result<void> attach(EventLoop& loop, Log& log, Callbacks callbacks);
  // All are served; the first state has been told.
  void ready();
  // Something has changed, or may have.
  void changed();
  // The same, and it is told before this returns.
  void commit();
  // Nobody else can open what was exclusively ours until the keeper has let go of it.
  void settle_exclusive();
  // We end because we were told to, and no successor is wanted.
  void ending();
  // Before the loop goes away.
  void detach();
  // Asks for a successor. `done` is called once; after a success it has only this moment left.
  void upgrade(Upgraded done);

 private:
  Result<std::optional<HandoverState>> assemble();
  void place(KeeperLink::Received received);
  bool tell(const HandoverState& state);
  bool tell_change(const HandoverState& state, std::string bytes);
  bool tell_state(std::string_view bytes);
  void keep_spare();
  bool send(const KeeperMessage& message, int descriptor = -1);
  void on_link();
  void on_message(const KeeperMessage& message);
  void seal();
  std::optional<KeeperMessage> wait_for_message(std::optional<Duration> patience);
  void lost();
  void tell_upgraded(const Result<void>& outcome);
  void set_alive_period(Duration period);
  void say_alive();

  KeeperLink link_;
  pid_t keeper_ = 0;
  bool serving_ = false;
  bool exclusive_let_go_ = false;       // and the keeper may still be about to
  std::string state_bytes_;             // told last
  std::map<int, HeldDescriptor> held_;  // by the keeper
  std::map<int, int> numbers_;          // at the start: the keeper's word for it, ours
  std::vector<UniqueFd> given_;
  UniqueFd spare_;                     // a place for the file of the next state
  std::deque<KeeperMessage> waiting_;  // came while something else was waited for

  EventLoop* loop_ = nullptr;
  Log* log_ = nullptr;
  Callbacks callbacks_;
  std::vector<Upgraded> upgraded_;  // who waits for that
  EventLoop::Watch watch_;
  EventLoop::Timer round_timer_;
  EventLoop::Timer retry_timer_;
  EventLoop::Timer alive_timer_;
  EventLoop::Timer look_timer_;
  Duration alive_period_ = kAlivePeriodIdle;
};

}  // namespace lanyard

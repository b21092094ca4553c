// SPDX-License-Identifier: MIT
//
// One client of the JSON-RPC server: its lines in, its answers and events out, in order. While a
// long answer is being sent in parts, nothing else goes out and no request is taken.
// Lane thread only.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "switch/base/identity.h"
#include "switch/control/rpc_answer.h"
#include "switch/network/rpc_methods.h"
#include "switch/runtime/handover.h"
#include "switch/runtime/line_channel.h"

namespace lanyard {

class RpcServer;

class RpcSession final : public RpcClient, public std::enable_shared_from_this<RpcSession> {
 public:
  // No request is longer than a few names and numbers.
  static constexpr std::size_t kLineMax = 65536;
  static constexpr std::size_t kOutputMax = std::size_t{4} << 20;
  // Events that a subscriber may leave unread.
  static constexpr std::size_t kEventsUnreadMax = std::size_t{1} << 20;

  RpcSession(RpcServer& server, Identity who, RpcRole role)
      : server_(server), who_(std::move(who)), role_(role) {}
  Result<void> open(UniqueFd client);

  void respond(std::string_view line) override;
  void stream(RpcTextSource source) override;
  void cut_off() override;

  // From now on events; of these kinds only, unless there are none.
  void subscribe(std::set<std::string, std::less<>> kinds);
  bool wants(std::string_view kind) const;
  void notify(std::string_view line);

  const Identity& who() const { return who_; }
  RpcRole role() const { return role_; }
  bool is_closed() const { return channel_ == nullptr || channel_->is_closed(); }
  void close();

  // For a successor process that goes on with it; nullopt for one that cannot: it is in the midst
  // of a line.
  std::optional<HandoverPart> handover() const;
  void go_on_from(const HandoverPart& part);

 private:
  static constexpr Duration kProgressDeadline = std::chrono::seconds(30);
  static constexpr std::size_t kPartBytes = 65536;

  void on_line(std::string_view line);
  void run(const RpcRequest& request);
  void log_change(const RpcRequest& request) const;
  void pause();
  void resume();
  void continue_stream();
  EventLoop::Timer later(Duration delay, void (RpcSession::*step)());
  void end_stream();

  RpcServer& server_;
  Identity who_;
  RpcRole role_;
  std::unique_ptr<LineChannel> channel_;
  Time since_ = monotonic_now();
  std::vector<RpcAnswer::Waiting> waiting_;  // for their answers, but for those who have them
  EventLoop::Timer resume_timer_;
  bool subscribed_ = false;
  std::set<std::string, std::less<>> kinds_;

  RpcTextSource source_;  // of the answer that is being sent
  std::string held_;      // lines that came during it
  EventLoop::Timer stream_timer_;
  std::size_t last_unsent_ = 0;
  Time last_progress_{0};
};

}  // namespace lanyard

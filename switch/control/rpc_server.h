// SPDX-License-Identifier: MIT
//
// The JSON-RPC server: who may connect and as what, and what each of many clients may cost.
//
// What makes it hard: clients are people's scripts, and anybody on the machine may try. So the role
// is decided by the kernel's word on who connected, parameters are checked against the table of
// methods before a method sees them, a line has a bounded length and depth, and the time spent on
// requests in one round of the loop is bounded over all sessions: frames wait in the same thread.
// A client that does not read is answered no faster than it reads; one that subscribed to events
// and does not read them is cut off. Lane thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "switch/base/unix_socket.h"
#include "switch/control/rpc_host.h"
#include "switch/control/rpc_session.h"
#include "switch/network/rpc_methods.h"

namespace lanyard {

// Who is what, by the identity the kernel tells.
struct RpcRoles {
  uid_t owner = kNoUser;
  gid_t control_group = kNoGroup;
  gid_t viewer_group = kNoGroup;

  std::optional<RpcRole> of(const Identity& who) const;
};

class RpcServer {
 public:
  static constexpr std::size_t kSessionsMax = 2048;
  static constexpr int kBacklog = 128;

  explicit RpcServer(RpcHost& host);
  ~RpcServer();
  RpcServer(const RpcServer&) = delete;
  RpcServer& operator=(const RpcServer&) = delete;

  // Everybody may connect, since only then can they be told why they may do nothing.
  // `given` listens there already, and stays its giver's.
  Result<void> listen(const std::string& path, UniqueFd given = {});
  // The socket and, if asked for the last time, its sessions. After a crash they end: nobody knows
  // which request has been carried out.
  std::optional<HandoverPart> handover(HandoverReason why) const;
  Result<void> adopt(const HandoverPart& part);
  void set_roles(const RpcRoles& roles) { roles_ = roles; }

  // Serves a connected client, or refuses it: nullptr.
  RpcSession* adopt(UniqueFd client, const Identity& who);

  // Tells subscribers; `params` gets the kind.
  void publish(std::string_view kind, Json params);
  // The last words of all sessions.
  void flush();

  RpcHost& host() { return host_; }
  std::size_t sessions() const { return sessions_.size(); }

  // For sessions: whether there is time for a request in this round, and what one has taken.
  bool has_time() const;
  void spend(Duration time);
  void ended(RpcSession& session);

 private:
  Result<void> serve(UniqueFd listening, std::string path);
  void accept_clients();

  RpcHost& host_;
  RpcRoles roles_;
  std::string path_;
  UniqueFd listening_;
  bool given_ = false;  // its name is not ours to remove
  Time since_{0};
  EventLoop::Watch watch_;
  EventLoop::Timer resume_timer_;
  EventLoop::Timer bury_timer_;
  std::vector<std::shared_ptr<RpcSession>> sessions_;
  std::vector<std::shared_ptr<RpcSession>> ended_;  // in this round
  std::vector<std::shared_ptr<RpcSession>> burying_;
  RateLimit complaints_{10, std::chrono::seconds(10)};
  Time round_{0};
  Duration spent_{0};
};

}  // namespace lanyard

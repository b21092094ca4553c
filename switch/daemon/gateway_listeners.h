// SPDX-License-Identifier: MIT
//
// Makes the Unix sockets at which a gateway listens for its forwards.
//
// What makes it hard: the gateway talks to guests and to the outside, and one that was taken over
// must get no Unix socket that it could connect to the host's services with. So its sandbox lets it
// make none: it asks here, gets one that listens already, and only at the path of a forward that
// the daemon itself has told it of. Which these are is read from the daemon's own requests to the
// gateway; while a request has no answer, what was allowed before and what it brings are allowed
// both. Names go when the gateway says so, when their forward does, and when the gateway ends.
//
// The gateway's requests are JSON-RPC, a message each: `listen {path}`, answered by a
// ListenerAnswer, and the notification `unlisten {path}`. It waits for the answer; nothing here
// waits for it. Lane thread only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "switch/base/fd.h"
#include "switch/base/log.h"
#include "switch/daemon/path_sockets.h"
#include "switch/network/json_rpc.h"
#include "switch/runtime/event_loop.h"

namespace lanyard {

class GatewayListeners {
 public:
  // `socket` is our end of the pair.
  static Result<std::unique_ptr<GatewayListeners>> open(EventLoop& loop, Log& log,
                                                        PathSockets& sockets, std::string network,
                                                        UniqueFd socket);
  ~GatewayListeners();
  GatewayListeners(const GatewayListeners&) = delete;
  GatewayListeners& operator=(const GatewayListeners&) = delete;

  // Before the gateway is sent the request of this number, and after its answer; answers come in
  // the order of the requests.
  void asked(std::uint64_t id, std::string_view method, const Json& params);
  void answered(std::uint64_t id, bool done);

  int fd() const { return socket_.get(); }
  // The names that are ours, as JSON, for a successor of this process; it is told what the gateway
  // was told with the parameters of `configure`.
  std::string names() const;
  void resume(const std::string& names, const Json& configuration);

 private:
  struct Grant {
    std::string forward;
    std::string path;
    bool settled = false;  // the gateway has answered that it has it

    bool is(const Grant& other) const { return forward == other.forward && path == other.path; }
  };
  struct Change {
    std::vector<Grant> came;
    std::vector<Grant> gone;
  };

  GatewayListeners(Log& log, PathSockets& sockets, std::string network, UniqueFd socket)
      : log_(log), sockets_(sockets), network_(std::move(network)), socket_(std::move(socket)) {}

  void on_readable();
  void on_request(std::string_view text);
  Result<UniqueFd> make(const std::string& path);
  void answer(std::uint64_t id, const Result<UniqueFd>& made);
  bool is_granted(std::string_view path) const;
  void add(const Grant& grant, Change& change);
  void drop(const std::vector<Grant>& grants);
  void remove_name(const std::string& path);

  Log& log_;
  PathSockets& sockets_;
  std::string network_;
  UniqueFd socket_;
  EventLoop::Watch watch_;
  std::vector<Grant> grants_;
  std::map<std::uint64_t, Change> changes_;  // asked, not answered
  std::set<std::string> names_;
  RateLimit refusals_{10, std::chrono::seconds(10)};
};

}  // namespace lanyard

// SPDX-License-Identifier: MIT
//
// The other end of the daemon's control socket: one question at a time, with a deadline, so that a
// daemon that hangs is said to hang. Blocks; for programs, not for the data thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <variant>

#include "switch/base/fd.h"
#include "switch/base/line_reader.h"
#include "switch/network/json_rpc.h"

namespace lanyard {

class RpcClientSocket {
 public:
  // not_permitted, or unreachable with what would start a daemon.
  static std::variant<RpcClientSocket, RpcError> open(const std::string& path);

  std::variant<Json, RpcError> call(std::string_view method, const Json& params,
                                    std::chrono::milliseconds timeout);

  // The next notification's parameters; waits without end. nullopt when the daemon has ended.
  std::optional<Json> next_notification();
  // Waits until the daemon has closed the connection; false when it does not.
  bool wait_for_end(std::chrono::milliseconds timeout);

 private:
  RpcClientSocket(UniqueFd fd, std::string path);

  std::optional<std::string> next_line(std::optional<std::chrono::milliseconds> timeout);

  UniqueFd fd_;
  std::string path_;
  LineReader reader_;
  int next_id_ = 1;
};

}  // namespace lanyard

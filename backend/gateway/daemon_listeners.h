// SPDX-License-Identifier: MIT
//
// Listening Unix sockets from the daemon, by descriptor 5 (switch/daemon/gateway_listeners.h).
//
// A request waits for its answer: who adds a forward wants to know whether it listens. The daemon
// never waits for its gateway, so the answer comes as soon as its loop comes round; the wait has an
// end nevertheless, before the daemon gives up on what it asked itself. An answer that comes after
// that is known by its number and thrown away. Gateway thread only.
#pragma once

#include <cstdint>

#include "backend/gateway/path_listeners.h"
#include "switch/base/time.h"

namespace lanyard {

class DaemonListeners final : public PathListeners {
 public:
  static constexpr Duration kPatience = std::chrono::seconds(1);

  explicit DaemonListeners(UniqueFd socket, Duration patience = kPatience)
      : socket_(std::move(socket)), patience_(patience) {}

  Result<UniqueFd> listen(const std::string& path) override;
  void unlisten(const std::string& path) override;

 private:
  Result<UniqueFd> answer_to(std::uint64_t id) const;

  UniqueFd socket_;
  Duration patience_;
  std::uint64_t last_id_ = 0;
};

}  // namespace lanyard

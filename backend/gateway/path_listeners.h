// SPDX-License-Identifier: MIT
//
// Where the listening Unix sockets of forwards come from: the daemon (daemon_listeners.h), because
// the sandbox lets the gateway make none, or what stands for it in tests. Gateway thread only.
#pragma once

#include <string>

#include "switch/base/fd.h"
#include "switch/base/result.h"

namespace lanyard {

class PathListeners {
 public:
  virtual ~PathListeners() = default;
  // Nobody else listens there, and a name that nobody answers is replaced.
  virtual Result<UniqueFd> listen(const std::string& path) = 0;
  // Its name goes.
  virtual void unlisten(const std::string& path) = 0;
};

}  // namespace lanyard

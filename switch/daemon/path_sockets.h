// SPDX-License-Identifier: MIT
//
// Listening Unix sockets at paths that the configuration names, made by whoever may. Any thread.
#pragma once

#include <string>

#include "switch/base/fd.h"
#include "switch/base/result.h"

namespace lanyard {

class PathSockets {
 public:
  virtual ~PathSockets() = default;
  virtual Result<UniqueFd> listen_at(const std::string& path) = 0;
  // The name of one that was made here, or by a predecessor.
  virtual void remove_name(const std::string& path) = 0;
  // It is one that a predecessor made.
  virtual void adopt_name(const std::string& path) = 0;
};

}  // namespace lanyard

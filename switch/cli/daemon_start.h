// SPDX-License-Identifier: MIT
//
// Starts lanyardd in the background and waits until it is ready. For programs: it forks and waits.
#pragma once

#include <string>

#include "switch/network/json_rpc.h"

namespace lanyard {

// The daemon beside this program, or the one in PATH ("lanyardd").
std::string daemon_program();

struct DaemonStart {
  std::string config_file;  // empty: the built-in networks
  std::string control;      // empty: the usual one
};

// Until its parent process has ended, which it does when the networks are there. What the daemon
// complains about goes to standard error.
std::optional<RpcError> start_daemon(const DaemonStart& start);

}  // namespace lanyard

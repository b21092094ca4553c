// SPDX-License-Identifier: MIT
//
// The gateway's sandbox: what the process that talks to guests and to the outside at once still may
// do when its configuration is known and the first guest has not spoken.
//
// What makes it hard is that a configuration may change later and the sandbox cannot: what a reload
// names beyond the places that are open from the start (another TFTP root) is refused by the kernel
// until the gateway is started again, and the message says so. Unix sockets of forwards come from
// the daemon for that reason, and because who can make one can reach other services of the host.
#pragma once

#include <string>

#include "switch/base/sandbox.h"
#include "switch/network/network_config.h"

namespace lanyard {

SandboxPolicy gateway_sandbox(const NetworkConfig& config, const std::string& state_directory);

}  // namespace lanyard

// SPDX-License-Identifier: MIT
//
// What a running network lacks, a sentence each, found by looking at the host as it is now: for
// `lanyard status`. Reads small files of /proc and /etc. Any thread.
#pragma once

#include <string>
#include <vector>

#include "switch/control/rpc_host.h"

namespace lanyard {

std::vector<std::string> network_warnings(const NetworkConfig& network,
                                          const GatewayState& gateway);

}  // namespace lanyard

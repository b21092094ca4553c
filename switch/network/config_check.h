// SPDX-License-Identifier: MIT
//
// Whether a network makes sense, and whether several do beside each other. Every complaint says
// what is wrong, with its values, and what would help; where it can tell, what to write.
// Inside of switch/network only. Any thread.
#pragma once

#include "switch/network/config_values.h"
#include "switch/network/config_words.h"

namespace lanyard {

// sockaddr_un holds 107 bytes, and clients bind names like ".12345-00001" in the directory.
constexpr std::size_t kPlugPathMax = 90;
constexpr std::uint16_t kPortsMax = 4096;
constexpr std::size_t kDhcpOptionMax = 255;

// The report stands at the network.
void check_network(const NetworkConfig& network, ConfigReport& report);
void check_guard(const NetworkConfig& network, ConfigReport& report);  // a part of it

}  // namespace lanyard

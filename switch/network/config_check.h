// SPDX-License-Identifier: MIT
//
// Whether a network makes sense, and whether several do beside each other. Every complaint says
// what is wrong, with its values, and what would help; where it can tell, what to write.
// Inside of switch/network only. Any thread.
#pragma once

#include <string_view>

#include "switch/network/config_values.h"

namespace lanyard {

constexpr std::size_t kInterfaceNameMax = 15;  // IFNAMSIZ - 1
constexpr std::size_t kNetworkNameMax = 32;
// sockaddr_un holds 107 bytes, and clients bind names like ".12345-00001" in the directory.
constexpr std::size_t kPlugPathMax = 90;
constexpr std::uint16_t kPortsMax = 4096;
constexpr std::size_t kDhcpOptionMax = 255;

bool is_interface_name(std::string_view name);
bool is_network_name(std::string_view name);
bool is_domain(std::string_view text);    // of letters, digits, hyphens, underscores and dots
bool is_upstream(std::string_view text);  // ADDRESS or ADDRESS#PORT
bool is_port(std::string_view text);

// The report stands at the network.
void check_network(const NetworkConfig& network, ConfigReport& report);
void check_guard(const NetworkConfig& network, ConfigReport& report);  // a part of it

}  // namespace lanyard

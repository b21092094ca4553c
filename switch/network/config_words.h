// SPDX-License-Identifier: MIT
//
// Which single words of a configuration can be what they are to be. Any thread.
#pragma once

#include <cstddef>
#include <string_view>

namespace lanyard {

constexpr std::size_t kInterfaceNameMax = 15;  // IFNAMSIZ - 1
constexpr std::size_t kNetworkNameMax = 32;

bool is_interface_name(std::string_view name);
bool is_network_name(std::string_view name);
bool is_domain(std::string_view text);    // of letters, digits, hyphens, underscores and dots
bool is_upstream(std::string_view text);  // ADDRESS or ADDRESS#PORT
bool is_port(std::string_view text);

}  // namespace lanyard

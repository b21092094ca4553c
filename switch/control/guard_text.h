// SPDX-License-Identifier: MIT
//
// Guards as they are shown and changed, for the console and the management socket alike. Lane
// thread only.
#pragma once

#include <string>
#include <string_view>

#include "switch/bridge/switch.h"
#include "switch/network/json_rpc.h"

namespace lanyard {

// What is on, in one line: "trusted", "dhcp_guard max_macs=1024"; "none".
std::string guard_summary(const GuardSettings& settings);
// Every key with its value, and the addresses that a sticky port keeps.
Json guard_json(const Port& port);
// How many frames guards have dropped at the port, both ways.
std::uint64_t guard_drops(const Port& port);
Json binding_json(const Binding& binding, Time now);

// An operator changes one of them; from then on the port is his to change.
Result<void> change_guard(Switch& bridge, Port& port, std::string_view key, std::string_view value);

}  // namespace lanyard

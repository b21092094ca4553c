// SPDX-License-Identifier: MIT
//
// What a network's configuration says about guards, told to its switch: the guards of guests, of
// the host's own ports, bindings and bandwidth groups. What an operator has set at a port stays.
// Lane thread only.
#pragma once

#include <string_view>

#include "switch/base/log.h"
#include "switch/bridge/switch.h"
#include "switch/network/network_config.h"

namespace lanyard {

// At the start, and when a reload has changed something.
void apply_guards(const NetworkConfig& config, Switch& bridge, Log& log);

// Somebody has plugged in; `trusted` when the place where it was says so.
void guard_plug(const NetworkConfig& config, Switch& bridge, const Plug& plug, bool trusted);

// The network's own DHCP server has given an address to a guest, or has it back. Guards that are
// turned on later know it from here.
void bind_lease(Switch& bridge, PortId gateway, MacAddress mac, std::string_view address,
                bool given, Time now);

}  // namespace lanyard

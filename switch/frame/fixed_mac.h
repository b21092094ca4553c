// SPDX-License-Identifier: MIT
//
// A MAC address for an interface that we make: locally administered, unicast, and the same for the
// same name on the same machine, so that the guests' ARP entries for the host survive a restart.
// Interfaces of network namespaces may have the same names and be plugged into one switch, so each
// namespace but the machine's first has addresses of its own, for as long as it is there (Linux
// 5.14). Any thread.
#pragma once

#include <string>

#include "switch/frame/mac_address.h"

namespace lanyard {

MacAddress fixed_mac(const std::string& interface_name);

}  // namespace lanyard

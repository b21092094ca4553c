// SPDX-License-Identifier: MIT
//
// How the console reads port numbers and prints ports: shared by the commands of VDE and our own.
// The layouts of describe_port() are read by programs and must not change. Lane thread only.
#pragma once

#include <cstdint>
#include <string>

#include "switch/control/command.h"

namespace lanyard {

Error not_a_port(const CommandContext& context, std::int64_t number);

// The next argument as a number within the switch's range: EINVAL otherwise.
Result<std::int64_t> port_number(const CommandContext& context, Args& args);

// The port of that number: EINVAL out of range, ENXIO when it does not exist.
Result<Port*> existing_port(const CommandContext& context, std::int64_t number);
Result<Port*> existing_port(const CommandContext& context, Args& args);

using DescribePort = void (*)(const Switch& bridge, const Port& port, std::string& text);

// "Port 0001 untagged_vlan=0000 ACTIVE - Unnamed Allocatable" and what belongs to it.
void describe_port(const Switch& bridge, const Port& port, std::string& text);

// One port when the arguments name it (ENXIO when it does not exist, or is inactive and those are
// not wanted), else all.
Result<void> print_ports(CommandContext& context, Args& args, Reply& reply, DescribePort describe,
                         bool inactive_too);

}  // namespace lanyard

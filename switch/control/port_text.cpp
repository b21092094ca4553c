// SPDX-License-Identifier: MIT
#include "switch/control/port_text.h"

#include <grp.h>
#include <pwd.h>

#include <cerrno>

namespace lanyard {
namespace {

constexpr std::size_t kPieceBytes = 16384;

std::string user_name(uid_t user) {
  if (user == kNoUser) return "NONE";
  const passwd* const entry = ::getpwuid(user);
  return entry != nullptr ? entry->pw_name : std::to_string(user);
}

std::string group_name(gid_t id) {
  if (id == kNoGroup) return "NONE";
  const group* const entry = ::getgrgid(id);
  return entry != nullptr ? entry->gr_name : std::to_string(id);
}

}  // namespace

Error not_a_port(const CommandContext& context, std::int64_t number) {
  return {EINVAL, fmt::format("{} is not a port number; there are 0 to {}", number,
                              context.bridge.ports_max())};
}

Result<std::int64_t> port_number(const CommandContext& context, Args& args) {
  Result<std::int64_t> number = args.number("port");
  if (number && (number.value() < 0 || number.value() > context.bridge.ports_max())) {
    return not_a_port(context, number.value());
  }
  return number;
}

Result<Port*> existing_port(const CommandContext& context, std::int64_t number) {
  if (number < 0 || number > context.bridge.ports_max()) return not_a_port(context, number);
  Port* const port = context.bridge.port(static_cast<PortId>(number));
  if (port == nullptr) return Error{ENXIO, fmt::format("port {} does not exist", number)};
  return port;
}

Result<Port*> existing_port(const CommandContext& context, Args& args) {
  const Result<std::int64_t> number = port_number(context, args);
  if (!number) return number.error();
  return existing_port(context, number.value());
}

void describe_port(const Switch& bridge, const Port& port, std::string& text) {
  const PortCounters& counters = port.counters;
  append(text, "Port {:04} untagged_vlan={:04} {} - {}Unnamed Allocatable\n", port.id(),
         bridge.vlans().native(port.id()), port.active() ? "ACTIVE" : "INACTIVE",
         port.allocatable ? "" : "NOT ");
  append(text, " Current User: {} Access Control: (User: {} - Group: {})\n",
         user_name(port.current_user), user_name(port.user_allowed),
         group_name(port.group_allowed));
  append(text, " IN:  pkts {:10}          bytes {:20}\n", counters.incoming.frames,
         counters.incoming.bytes);
  append(text, " OUT: pkts {:10}          bytes {:20}\n", counters.outgoing.frames,
         counters.outgoing.bytes);
  for (const auto& plug : port.plugs()) {
    append(text, "  -- endpoint ID {:04} module {:<12}: {}\n", plug->traits().id,
           plug->traits().module, printable(plug->traits().description));
  }
}

Result<void> print_ports(CommandContext& context, Args& args, Reply& reply, DescribePort describe,
                         bool inactive_too) {
  const Switch& bridge = context.bridge;
  if (!args.empty()) {
    const std::int64_t number = args.number_or_zero();
    const Result<Port*> port = existing_port(context, number);
    if (!port) return port.error();
    if (!port.value()->active() && !inactive_too) {
      return Error{ENXIO, fmt::format("port {} is inactive", number)};
    }
    describe(bridge, *port.value(), reply.text());
    return {};
  }
  reply.produce([&bridge, describe, inactive_too, id = std::size_t{0}](std::string& text) mutable {
    const std::size_t enough = text.size() + kPieceBytes;
    for (; id <= bridge.ports_max() && text.size() < enough; ++id) {
      const Port* const port = bridge.port(static_cast<PortId>(id));
      if (port != nullptr && (inactive_too || port->active())) describe(bridge, *port, text);
    }
    return id <= bridge.ports_max();
  });
  return {};
}

}  // namespace lanyard

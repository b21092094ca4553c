// SPDX-License-Identifier: MIT
//
// Commands about ports and the endpoints plugged into them.
#include <grp.h>
#include <pwd.h>

#include <cerrno>
#include <string>

#include "switch/control/command.h"
#include "switch/control/port_text.h"

namespace lanyard {
namespace {

Result<void> showinfo(CommandContext& context, Args&, Reply& reply) {
  reply.line("Numports={}", context.bridge.ports_max());
  reply.line("HUB={}", context.bridge.is_hub());
  reply.line("counters=true");
  return {};
}

Result<void> setnumports(CommandContext& context, Args& args, Reply&) {
  return context.bridge.set_ports_max(args.number_or_zero());
}

Result<void> sethub(CommandContext& context, Args& args, Reply&) {
  context.bridge.set_hub(args.number_or_zero() != 0);
  return {};
}

Result<void> setvlan(CommandContext& context, Args& args, Reply&) {
  const Result<std::int64_t> number = port_number(context, args);
  if (!number) return number.error();
  const Result<std::int64_t> vlan = args.number_in("VLAN", 0, kVlanNone);
  if (!vlan) return vlan.error();
  return context.bridge.set_native_vlan(static_cast<PortId>(number.value()),
                                        static_cast<VlanId>(vlan.value()));
}

Result<void> createauto(CommandContext& context, Args&, Reply& reply) {
  const Result<Port*> port = context.bridge.create_port(std::nullopt);
  if (!port) return port.error();
  reply.line("Port {:04}", port.value()->id());
  return {};
}

Result<void> create(CommandContext& context, Args& args, Reply&) {
  const std::int64_t number = args.number_or_zero();
  if (number < 0 || number > context.bridge.ports_max()) return not_a_port(context, number);
  const Result<Port*> port = number == 0 ? context.bridge.create_port(std::nullopt)
                                         : context.bridge.create_port(static_cast<PortId>(number));
  if (!port) return port.error();
  return {};
}

Result<void> remove(CommandContext& context, Args& args, Reply&) {
  const std::int64_t number = args.number_or_zero();
  if (number < 0 || number > context.bridge.ports_max()) return not_a_port(context, number);
  return context.bridge.remove_port(static_cast<PortId>(number));
}

Result<void> allocatable(CommandContext& context, Args& args, Reply&) {
  const Result<std::int64_t> number = port_number(context, args);
  if (!number) return number.error();
  const Result<std::int64_t> on = args.number("0/1");
  if (!on) return on.error();
  const Result<Port*> port = existing_port(context, number.value());
  if (!port) return port.error();
  port.value()->allocatable = on.value() != 0;
  return {};
}

// The port of an access rule and the name that follows it: EINVAL when either is missing, ENXIO
// when the port does not exist.
struct PortAndName {
  Port* port;
  std::string name;
};

Result<PortAndName> port_and_name(CommandContext& context, Args& args) {
  const Result<std::int64_t> number = port_number(context, args);
  if (!number) return number.error();
  const std::optional<std::string_view> name = args.word();
  if (!name) return Error{EINVAL, "the name is missing; NONE or ANY lifts the restriction"};
  const Result<Port*> port = existing_port(context, number.value());
  if (!port) return port.error();
  return PortAndName{port.value(), std::string(*name)};
}

bool means_nobody(std::string_view text) {
  return text == "NONE" || text == "ANY";
}

// A number in the range of uid_t and gid_t.
std::optional<std::uint32_t> numeric_id(std::string_view text) {
  const std::optional<std::int64_t> id = parse_integer(text);
  if (!id || *id < 0 || *id >= kNoUser) return std::nullopt;
  return static_cast<std::uint32_t>(*id);
}

Result<void> setuser(CommandContext& context, Args& args, Reply&) {
  const Result<PortAndName> rule = port_and_name(context, args);
  if (!rule) return rule.error();
  const auto& [port, name] = rule.value();
  if (means_nobody(name)) {
    port->user_allowed = kNoUser;
  } else if (const passwd* const entry = ::getpwnam(name.c_str()); entry != nullptr) {
    port->user_allowed = entry->pw_uid;
  } else if (const auto id = numeric_id(name)) {
    port->user_allowed = *id;
  } else {
    return Error{EINVAL, fmt::format("no user '{}'", printable(name))};
  }
  return {};
}

Result<void> setgroup(CommandContext& context, Args& args, Reply&) {
  const Result<PortAndName> rule = port_and_name(context, args);
  if (!rule) return rule.error();
  const auto& [port, name] = rule.value();
  if (means_nobody(name)) {
    port->group_allowed = kNoGroup;
  } else if (const group* const entry = ::getgrnam(name.c_str()); entry != nullptr) {
    port->group_allowed = entry->gr_gid;
  } else if (const auto id = numeric_id(name)) {
    port->group_allowed = *id;
  } else {
    return Error{EINVAL, fmt::format("no group '{}'", printable(name))};
  }
  return {};
}

Result<void> epclose(CommandContext& context, Args& args, Reply&) {
  const Result<std::int64_t> number = port_number(context, args);
  if (!number) return number.error();
  const Result<std::int64_t> id = args.number("ID");
  if (!id) return id.error();
  const Result<Port*> port = existing_port(context, number.value());
  if (!port) return port.error();
  Plug* const plug = port.value()->find_plug(static_cast<int>(id.value()));
  if (plug == nullptr || plug->closing) {
    return Error{ENXIO, fmt::format("port {} has no endpoint {}", number.value(), id.value())};
  }
  context.lane.close_plug(*plug, UnplugReason::by_operator);
  return {};
}

void reset_counters(Port& port) {
  // What is queued has been offered and is still to be accounted for.
  std::uint64_t queued = 0;
  for (const auto& plug : port.plugs()) queued += plug->queue().frames();
  port.counters = PortCounters{};
  port.counters.offered = queued;
}

Result<void> resetcounter(CommandContext& context, Args& args, Reply&) {
  if (args.empty()) {
    context.bridge.for_each_port([](Port& port) { reset_counters(port); });
    return {};
  }
  const std::int64_t number = args.number_or_zero();
  if (number < 0 || number > context.bridge.ports_max()) return not_a_port(context, number);
  // A port that does not exist has nothing to reset.
  if (Port* const port = context.bridge.port(static_cast<PortId>(number)); port != nullptr) {
    reset_counters(*port);
  }
  return {};
}

Result<void> print(CommandContext& context, Args& args, Reply& reply) {
  return print_ports(context, args, reply, describe_port, false);
}

Result<void> allprint(CommandContext& context, Args& args, Reply& reply) {
  return print_ports(context, args, reply, describe_port, true);
}

}  // namespace

void add_port_commands(CommandTable& table) {
  constexpr bool kData = true;
  table.add({"port", "============", "PORT STATUS MENU"});
  table.add({"port/showinfo", "", "show port info", kData, showinfo});
  table.add({"port/setnumports", "N", "set the number of ports", false, setnumports});
  table.add({"port/sethub", "0/1", "1=HUB 0=switch", false, sethub});
  table.add({"port/setvlan", "N VLAN", "set port VLAN (untagged)", false, setvlan});
  table.add({"port/createauto", "",
             "create a port with an automatically allocated id (inactive|notallocatable)", kData,
             createauto});
  table.add({"port/create", "N", "create the port N (inactive|notallocatable)", false, create});
  table.add({"port/remove", "N", "remove the port N", false, remove});
  table.add({"port/allocatable", "N 0/1", "Is the port allocatable as unnamed? 1=Y 0=N", false,
             allocatable});
  table.add({"port/setuser", "N user", "access control: set user", false, setuser});
  table.add({"port/setgroup", "N user", "access control: set group", false, setgroup});
  table.add({"port/epclose", "N ID", "remove the endpoint port N/id ID", false, epclose});
  table.add({"port/resetcounter", "[N]", "reset the port (N) counters", false, resetcounter});
  table.add({"port/print", "[N]", "print the port/endpoint table", kData, print});
  table.add({"port/allprint", "[N]", "print the port/endpoint table (including inactive port)",
             kData, allprint});
}

}  // namespace lanyard

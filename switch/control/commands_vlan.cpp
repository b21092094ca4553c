// SPDX-License-Identifier: MIT
//
// Commands about VLANs and who is in them.
#include <cerrno>

#include "switch/control/command.h"
#include "switch/control/port_text.h"

namespace lanyard {
namespace {

constexpr std::size_t kPieceBytes = 16384;

Result<void> create(CommandContext& context, Args& args, Reply&) {
  const std::int64_t vlan = args.number_or_zero();
  if (vlan < 1 || vlan > kVlanMax) {
    return Error{EINVAL, fmt::format("a VLAN number is 1 to {}", kVlanMax)};
  }
  return context.bridge.vlans().create(static_cast<VlanId>(vlan));
}

Result<void> remove(CommandContext& context, Args& args, Reply&) {
  const std::int64_t vlan = args.number_or_zero();
  if (vlan < 0 || vlan > kVlanNone) return Error{EINVAL, "that is not a VLAN number"};
  return context.bridge.vlans().remove(static_cast<VlanId>(vlan));
}

struct VlanAndPort {
  VlanId vlan;
  PortId port;
};

Result<VlanAndPort> vlan_and_port(CommandContext& context, Args& args) {
  const Result<std::int64_t> vlan = args.number_in("VLAN", 0, kVlanMax);
  if (!vlan) return vlan.error();
  const Result<Port*> port = existing_port(context, args);
  if (!port) return port.error();
  return VlanAndPort{static_cast<VlanId>(vlan.value()), port.value()->id()};
}

Result<void> addport(CommandContext& context, Args& args, Reply&) {
  const Result<VlanAndPort> which = vlan_and_port(context, args);
  if (!which) return which.error();
  return context.bridge.vlans().add_tagged(which.value().vlan, which.value().port);
}

Result<void> delport(CommandContext& context, Args& args, Reply&) {
  const Result<VlanAndPort> which = vlan_and_port(context, args);
  if (!which) return which.error();
  return context.bridge.remove_from_vlan(which.value().vlan, which.value().port);
}

std::string_view state_name(const VlanTable& vlans, VlanId vlan, PortId port) {
  if (!vlans.is_active(port)) return "Learning";
  switch (vlans.state(vlan, port)) {
    case PortState::discarding: return "Discarding";
    case PortState::learning: return "Learning";
    case PortState::forwarding: break;
  }
  return "Forwarding";
}

void describe_vlan(const VlanTable& vlans, VlanId vlan, bool inactive_too, std::string& text) {
  append(text, "VLAN {:04}\n", vlan);
  for (const VlanMember& member : vlans.members(vlan)) {
    const bool active = vlans.is_active(member.port);
    if (!active && !inactive_too) continue;
    append(text, " -- Port {:04} tagged={:d} active={:d} status={}\n", member.port, member.tagged,
           active, state_name(vlans, vlan, member.port));
  }
}

Result<void> print_vlans(CommandContext& context, Args& args, Reply& reply, bool inactive_too) {
  const VlanTable& vlans = context.bridge.vlans();
  if (!args.empty()) {
    const std::int64_t number = args.number_or_zero();
    if (number < 0 || number > kVlanMax) return Error{EINVAL, "that is not a VLAN number"};
    const auto vlan = static_cast<VlanId>(number);
    if (!vlans.exists(vlan)) return Error{ENXIO, fmt::format("VLAN {} does not exist", vlan)};
    describe_vlan(vlans, vlan, inactive_too, reply.text());
    return {};
  }
  reply.produce([&vlans, inactive_too, vlan = VlanId{0}](std::string& text) mutable {
    const std::size_t enough = text.size() + kPieceBytes;
    for (; vlan <= kVlanMax && text.size() < enough; ++vlan) {
      if (vlans.exists(vlan)) describe_vlan(vlans, vlan, inactive_too, text);
    }
    return vlan <= kVlanMax;
  });
  return {};
}

Result<void> print(CommandContext& context, Args& args, Reply& reply) {
  return print_vlans(context, args, reply, false);
}

Result<void> allprint(CommandContext& context, Args& args, Reply& reply) {
  return print_vlans(context, args, reply, true);
}

}  // namespace

void add_vlan_commands(CommandTable& table) {
  constexpr bool kData = true;
  table.add({"vlan", "============", "VLAN MANAGEMENT MENU"});
  table.add({"vlan/create", "N", "create the VLAN with tag N", false, create});
  table.add({"vlan/remove", "N", "remove the VLAN with tag N", false, remove});
  table.add({"vlan/addport", "N PORT", "add port to the vlan N (tagged)", false, addport});
  table.add({"vlan/delport", "N PORT", "delete port from the vlan N", false, delport});
  table.add({"vlan/print", "[N]", "print the list of defined vlan", kData, print});
  table.add({"vlan/allprint", "[N]", "print the list of defined vlan (including inactive port)",
             kData, allprint});
}

}  // namespace lanyard

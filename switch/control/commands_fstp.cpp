// SPDX-License-Identifier: MIT
//
// Commands about the spanning tree. VDE calls it fast spanning tree; here it is RSTP.
#include <cerrno>

#include "switch/bridge/spanning_tree.h"
#include "switch/control/command.h"
#include "switch/control/port_text.h"

namespace lanyard {
namespace {

constexpr std::size_t kPieceBytes = 16384;

Result<void> showinfo(CommandContext& context, Args&, Reply& reply) {
  const SpanningTree& tree = context.bridge.spanning_tree();
  reply.line("MAC {} Priority {} (0x{:x})", context.bridge.mac().text(), tree.priority(),
             tree.priority());
  reply.line("FSTP={}", tree.running());
  return {};
}

Result<void> setfstp(CommandContext& context, Args& args, Reply& reply) {
  SpanningTree& tree = context.bridge.spanning_tree();
  if (context.bridge.is_hub()) {
    // A success with a complaint: what scripts get from VDE.
    reply.line("Can't use fstp in hub mode");
    return {};
  }
  if (args.number_or_zero() != 0) return tree.start();
  tree.stop();
  return {};
}

struct Place {
  VlanId vlan;
  PortId port;
  std::int64_t value;
};

// VLAN PORT and a number. The VLAN must exist; the port may come later.
Result<Place> place(CommandContext& context, Args& args, std::string_view what) {
  const Result<std::int64_t> vlan = args.number_in("VLAN", 0, kVlanMax);
  if (!vlan) return vlan.error();
  const Result<std::int64_t> port = port_number(context, args);
  if (!port) return port.error();
  const Result<std::int64_t> value = args.number_in(what, INT32_MIN, INT32_MAX);
  if (!value) return value.error();
  const auto id = static_cast<VlanId>(vlan.value());
  if (!context.bridge.vlans().exists(id)) {
    return Error{ENXIO, fmt::format("VLAN {} does not exist", id)};
  }
  return Place{id, static_cast<PortId>(port.value()), value.value()};
}

Result<void> setedge(CommandContext& context, Args& args, Reply&) {
  const Result<Place> at = place(context, args, "edge");
  if (!at) return at.error();
  context.bridge.spanning_tree().set_edge(at.value().vlan, at.value().port, at.value().value != 0);
  return {};
}

Result<void> bonus(CommandContext& context, Args& args, Reply&) {
  const Result<Place> at = place(context, args, "bonus");
  if (!at) return at.error();
  context.bridge.spanning_tree().set_bonus(at.value().vlan, at.value().port,
                                           static_cast<std::int32_t>(at.value().value));
  return {};
}

std::string_view role_text(const SpanningTree& trees, const Rstp* tree, VlanId vlan, PortId id) {
  const RstpPort* const port = tree == nullptr ? nullptr : tree->port(id);
  if (port == nullptr) return trees.is_edge(vlan, id) ? "Edge" : "Designated";
  switch (port->role) {
    case PortRole::disabled: return "Disabled";
    case PortRole::root: return "Root";
    case PortRole::alternate:
    case PortRole::backup: return "Alternate/Backup";
    case PortRole::designated: break;
  }
  return port->oper_edge ? "Edge" : "Designated";
}

void describe_tree(const Switch& bridge, VlanId vlan, std::string& text) {
  const SpanningTree& trees = bridge.spanning_tree();
  const Rstp* const tree = trees.tree(vlan);
  const bool root = tree == nullptr || tree->is_root();
  const BridgeId self = BridgeId::of(trees.priority(), bridge.mac());
  constexpr BridgeId kNobody{~std::uint64_t{0}};
  append(text, "FST DATA VLAN {:04} {} {}\n", vlan, root ? "ROOTSWITCH" : "",
         tree == nullptr ? "FSTP IS DISABLED" : "");
  append(text, " ++ root {}\n", root ? self.text() : tree->root().text());
  append(text, " ++ designated {}\n", root ? kNobody.text() : tree->designated_bridge().text());
  append(text, " ++ rootport {:04} cost {} age {} bonusport {:04} bonuscost {}\n",
         root ? PortId{0} : tree->root_port_id(), root ? 0 : tree->root_cost(),
         root ? 0 : tree->root_age_s(), trees.bonus_port(vlan), trees.bonus(vlan));
  for (const VlanMember& member : bridge.vlans().members(vlan)) {
    if (!bridge.vlans().is_active(member.port)) continue;
    append(text, " -- Port {:04} tagged={:d} portcost={} role={}\n", member.port, member.tagged,
           Rstp::kDefaultPathCost, role_text(trees, tree, vlan, member.port));
  }
}

Result<void> print(CommandContext& context, Args& args, Reply& reply) {
  const Switch& bridge = context.bridge;
  if (!args.empty()) {
    const std::int64_t number = args.number_or_zero();
    if (number < 0 || number > kVlanMax) return Error{EINVAL, "that is not a VLAN number"};
    const auto vlan = static_cast<VlanId>(number);
    if (!bridge.vlans().exists(vlan)) {
      return Error{ENXIO, fmt::format("VLAN {} does not exist", vlan)};
    }
    describe_tree(bridge, vlan, reply.text());
    return {};
  }
  reply.produce([&bridge, vlan = VlanId{0}](std::string& text) mutable {
    const std::size_t enough = text.size() + kPieceBytes;
    for (; vlan <= kVlanMax && text.size() < enough; ++vlan) {
      if (bridge.vlans().exists(vlan)) describe_tree(bridge, vlan, text);
    }
    return vlan <= kVlanMax;
  });
  return {};
}

Result<void> set_guard(CommandContext& context, Args& args,
                       void (SpanningTree::*set)(PortId, bool)) {
  const Result<Port*> port = existing_port(context, args);
  if (!port) return port.error();
  const Result<std::int64_t> on = args.number_in("guard", 0, 1);
  if (!on) return on.error();
  (context.bridge.spanning_tree().*set)(port.value()->id(), on.value() != 0);
  return {};
}

Result<void> bpduguard(CommandContext& context, Args& args, Reply&) {
  return set_guard(context, args, &SpanningTree::set_bpdu_guard);
}

Result<void> rootguard(CommandContext& context, Args& args, Reply&) {
  return set_guard(context, args, &SpanningTree::set_root_guard);
}

Result<void> setpriority(CommandContext& context, Args& args, Reply&) {
  const Result<std::int64_t> priority = args.number_in("priority", 0, 0xffff);
  if (!priority) return priority.error();
  context.bridge.spanning_tree().set_priority(static_cast<std::uint16_t>(priority.value()));
  return {};
}

}  // namespace

void add_fstp_commands(CommandTable& table) {
  constexpr bool kData = true;
  table.add({"fstp", "============", "FAST SPANNING TREE MENU"});
  table.add({"fstp/showinfo", "", "show fstp info", kData, showinfo});
  table.add({"fstp/setfstp", "0/1", "Fast spanning tree protocol 1=ON 0=OFF", kData, setfstp});
  table.add(
      {"fstp/setedge", "VLAN PORT 1/0", "Define an edge port for a vlan 1=Y 0=N", false, setedge});
  table.add({"fstp/bonus", "VLAN PORT COST", "set the port bonus for a vlan", false, bonus});
  table.add({"fstp/print", "[N]", "print fst data for the defined vlan", kData, print});
}

void add_spanning_tree_commands(CommandTable& table) {
  table.add({"fstp/setpriority", "N", "set the bridge priority", false, setpriority});
  table.add(
      {"fstp/bpduguard", "PORT 0/1", "close the port when a BPDU comes in", false, bpduguard});
  table.add(
      {"fstp/rootguard", "PORT 0/1", "never let the port lead to the root", false, rootguard});
}

}  // namespace lanyard

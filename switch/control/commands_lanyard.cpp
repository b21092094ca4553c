// SPDX-License-Identifier: MIT
//
// Commands that VDE's console does not have. They stand after VDE's own and begin with none of
// their paths, so programs that know only those see no difference.
#include <cerrno>

#include "switch/control/command.h"
#include "switch/control/port_text.h"

namespace lanyard {
namespace {

void describe_drops(const Switch&, const Port& port, std::string& text) {
  append(text, "Port {:04}\n", port.id());
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    const std::uint64_t count = port.counters.drops.of(static_cast<Drop>(i));
    if (count == 0) continue;
    append(text, " -- {} {} ({}: {})\n", kDropTexts[i].name, count,
           is_outgoing(static_cast<Drop>(i)) ? "outgoing" : "incoming", kDropTexts[i].sentence);
  }
}

Result<void> drops(CommandContext& context, Args& args, Reply& reply) {
  return print_ports(context, args, reply, describe_drops, true);
}

void describe_balance(const Switch&, const Port& port, std::string& text) {
  const PortCounters& c = port.counters;
  std::uint64_t queued = 0;
  for (const auto& plug : port.plugs()) queued += plug->queue().frames();
  append(text, "Port {:04}\n", port.id());
  append(text, " -- received {} forwarded {} dropped {}\n", c.received, c.forwarded,
         c.drops.incoming());
  append(text, " -- offered {} transmitted {} queued {} dropped {}\n", c.offered, c.transmitted,
         queued, c.drops.outgoing());
}

Result<void> balance(CommandContext& context, Args& args, Reply& reply) {
  return print_ports(context, args, reply, describe_balance, true);
}

Result<void> passtags(CommandContext& context, Args& args, Reply&) {
  const Result<std::int64_t> number = port_number(context, args);
  if (!number) return number.error();
  const Result<std::int64_t> on = args.number_in("0/1", 0, 1);
  if (!on) return on.error();
  const Result<Port*> port = existing_port(context, number.value());
  if (!port) return port.error();
  port.value()->pass_tags = on.value() != 0;
  return {};
}

Result<void> setlink(CommandContext& context, Args& args, Reply&) {
  const Result<std::int64_t> number = port_number(context, args);
  if (!number) return number.error();
  const std::string_view state = args.word().value_or("");
  if (state != "up" && state != "down") {
    return Error{EINVAL, fmt::format("the link is up or down, not '{}'", printable(state))};
  }
  return context.bridge.set_link(static_cast<PortId>(number.value()), state == "up");
}

Result<void> setqueue(CommandContext& context, Args& args, Reply&) {
  constexpr std::int64_t kBytesMax = std::int64_t{64} << 20;
  const Result<std::int64_t> number = port_number(context, args);
  if (!number) return number.error();
  const Result<std::int64_t> bytes = args.number_in("BYTES", 0, kBytesMax);
  if (!bytes) return bytes.error();
  const Result<Port*> port = existing_port(context, number.value());
  if (!port) return port.error();
  port.value()->queue_bytes_max = static_cast<std::size_t>(bytes.value());
  for (const auto& plug : port.value()->plugs()) {
    plug->queue().set_bytes_max(port.value()->queue_bytes_max);
  }
  return {};
}

Result<void> plug(CommandContext& context, Args& args, Reply&) {
  const Result<BackendOptions> options = BackendOptions::parse(args.rest());
  if (!options) return options.error();
  Result<void> done = context.backends.open(options.value(), context.lane);
  if (!done) context.log.error("port/plug {}: {}", printable(args.rest()), done.error().text);
  return done;
}

Result<void> backends(CommandContext& context, Args&, Reply& reply) {
  for (const Backend& backend : context.backends.rows()) {
    reply.line("{:<8} {}", backend.kind, backend.help);
    reply.line("{:<8} {}", "", backend.synopsis);
  }
  return {};
}

Result<void> upgrade(CommandContext& context, Args&, Reply&) {
  if (!context.info.upgrade || context.conversation == nullptr) {
    return Error{ENOTSUP, "an upgrade needs a keeper, and somebody who asks for it"};
  }
  if (context.script != nullptr) return Error{ENOTSUP, "no upgrade in the midst of a script"};
  context.info.upgrade(context.conversation->defer());
  return {};
}

std::string_view name_of(Drop why) {
  return kDropTexts[static_cast<std::size_t>(why)].name;
}
std::string_view sentence_of(Drop why) {
  return kDropTexts[static_cast<std::size_t>(why)].sentence;
}

// The ports a flood reaches, a line each; that nobody is there is a drop.
void explain_flood(const std::vector<VlanMember>& members, PortId in, std::string_view how,
                   Reply& reply) {
  std::string list;
  for (const VlanMember& member : members) {
    if (member.port == in) continue;
    append(list, " -- port {}{}\n", member.port, member.tagged ? " (tagged)" : "");
  }
  if (list.empty()) {
    reply.line("dropped: {} ({})", name_of(Drop::no_receiver), sentence_of(Drop::no_receiver));
  } else {
    reply.line("{}, to", how);
    reply.text() += list;
  }
}

void explain_hub(const Switch& bridge, PortId in, Reply& reply) {
  std::vector<VlanMember> everybody;
  bridge.for_each_port([&](const Port& port) {
    if (port.carries()) everybody.push_back({port.id(), false});
  });
  explain_flood(everybody, in, "repeated (hub)", reply);
}

Result<void> explain(CommandContext& context, Args& args, Reply& reply) {
  const Result<Port*> port = existing_port(context, args);
  if (!port) return port.error();
  const std::optional<std::string_view> word = args.word();
  const std::optional<MacAddress> destination = MacAddress::parse(word.value_or(""));
  if (!destination) return Error{EINVAL, "the destination is not a MAC address"};
  std::optional<VlanId> tag;
  if (!args.empty()) {
    const Result<std::int64_t> given = args.number_in("VLAN", 0, kVlanNone);
    if (!given) return given.error();
    tag = static_cast<VlanId>(given.value());
  }
  const PortId in = port.value()->id();
  if (!port.value()->link_up) {
    reply.line("dropped: {} ({})", name_of(Drop::link_admin_down),
               sentence_of(Drop::link_admin_down));
    return {};
  }
  if (context.bridge.is_hub()) {
    explain_hub(context.bridge, in, reply);
    return {};
  }
  const Switch::Classification admitted = context.bridge.classify(*port.value(), tag);
  if (admitted.why != Drop::none) {
    reply.line("dropped: {} ({})", name_of(admitted.why), sentence_of(admitted.why));
    return {};
  }
  const VlanPlan& plan = context.bridge.vlans().plan(admitted.vlan);
  const Decision decision = context.bridge.decide(in, plan, *destination, admitted.vlan);
  switch (decision.kind) {
    case Decision::Kind::drop:
      reply.line("dropped: {} ({})", name_of(decision.why), sentence_of(decision.why));
      break;
    case Decision::Kind::one:
      reply.line("VLAN {}: to port {}{}, which has sent from {} lately", admitted.vlan,
                 decision.port, plan.tagged.has(decision.port) ? " (tagged)" : "",
                 destination->text());
      break;
    case Decision::Kind::flood:
      explain_flood(plan.flood, in,
                    fmt::format("VLAN {}: flooded ({})", admitted.vlan,
                                destination->is_group() ? "a group address" : "an unknown address"),
                    reply);
      break;
  }
  return {};
}

}  // namespace

void add_lanyard_commands(CommandTable& table) {
  constexpr bool kData = true;
  table.add({"lanyard", "============", "LANYARD MENU"});
  table.add({"port/drops", "[N]", "print why frames were dropped, by name", kData, drops});
  table.add({"port/balance", "[N]", "print that every frame is accounted for", kData, balance});
  table.add({"port/passtags", "N 0/1", "1=tags of VLANs the port is not in are payload", false,
             passtags});
  table.add({"port/setlink", "N up|down", "pull or plug in the cable of the port", false, setlink});
  table.add(
      {"port/setqueue", "N BYTES", "set how much is queued for a slow receiver", false, setqueue});
  table.add({"port/plug", "KIND://TARGET", "plug in a backend, e.g. tap://tap1", false, plug});
  table.add({"switch/explain", "N MAC [VLAN]", "print where a frame from port N would go", kData,
             explain});
  table.add({"lanyard/upgrade", "", "go on as the program that is now on disk", false, upgrade});
  table.add({"backend/list", "", "list the kinds of backends", kData, backends});
}

}  // namespace lanyard

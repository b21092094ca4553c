// SPDX-License-Identifier: MIT
//
// Guards on the console: what `lanyard guard`, `binding` and `bandwidth` do over the socket.
#include <cerrno>

#include "switch/control/command.h"
#include "switch/control/guard_text.h"
#include "switch/control/port_text.h"

namespace lanyard {
namespace {

void describe_guard(const Switch&, const Port& port, std::string& text) {
  append(text, "Port {:04} {}\n", port.id(), guard_summary(Guards::of(port)));
  if (port.guard == nullptr) return;
  for (const MacAddress& mac : port.guard->stuck) append(text, " -- keeps {}\n", mac.text());
  if (const std::uint64_t dropped = guard_drops(port); dropped != 0) {
    append(text, " -- dropped {} (by name: port/drops)\n", dropped);
  }
}

Result<void> guard(CommandContext& context, Args& args, Reply& reply) {
  return print_ports(context, args, reply, describe_guard, true);
}

Result<void> setguard(CommandContext& context, Args& args, Reply&) {
  const Result<Port*> port = existing_port(context, args);
  if (!port) return port.error();
  const std::optional<std::string_view> key = args.word();
  const std::optional<std::string_view> value = args.word();
  if (!key || !value) return Error{EINVAL, "say which guard, and its value"};
  return change_guard(context.bridge, *port.value(), *key, *value);
}

Result<void> bindings(CommandContext& context, Args&, Reply& reply) {
  for (const Binding& binding : context.bridge.guards().bindings().all()) {
    reply.line("{} is {}{}", binding.address.text(), binding.mac.text(),
               binding.port == kPortNone ? "" : fmt::format(" at port {}", binding.port));
  }
  return {};
}

Result<void> setbinding(CommandContext& context, Args& args, Reply&) {
  const std::optional<std::string_view> text = args.word();
  const std::optional<IpAddress> address = IpAddress::parse(text.value_or(""));
  if (!address) return Error{EINVAL, "the first word is not an IP address"};
  BindingTable& table = context.bridge.guards().bindings();
  const std::string_view whose = args.word().value_or("");
  if (whose == "none") {
    if (table.unsay(*address)) return {};
    return Error{ENXIO, fmt::format("nobody has said whose {} is", address->text())};
  }
  const std::optional<MacAddress> mac = MacAddress::parse(whose);
  if (!mac || mac->is_group()) return Error{EINVAL, "the second word is not a MAC address"};
  return table.say(*address, *mac, kPortNone);
}

Result<void> bandwidth(CommandContext& context, Args&, Reply& reply) {
  for (const BandwidthGroup& group : context.bridge.guards().groups()) {
    reply.line("{} {} burst {}", group.name, rate_text(group.rate.per_second),
               burst_of(group.rate));
  }
  return {};
}

Result<void> setbandwidth(CommandContext& context, Args& args, Reply&) {
  BandwidthGroup group;
  group.name = std::string(args.word().value_or(""));
  const std::string_view rate_word = args.word().value_or("");
  if (rate_word == "none") return context.bridge.guards().remove_group(group.name);
  const Result<std::uint64_t> rate = parse_rate(rate_word);
  if (!rate) return rate.error();
  group.rate.per_second = rate.value();
  return context.bridge.guards().set_group(group);
}

}  // namespace

void add_guard_commands(CommandTable& table) {
  constexpr bool kData = true;
  table.add({"port/guard", "[N]", "print the guards of ports", kData, guard});
  table.add({"port/setguard", "N KEY VALUE", "set a guard, e.g. 3 isolated on", false, setguard});
  table.add({"guard/bindings", "", "print which IP address is whose", kData, bindings});
  table.add(
      {"guard/setbinding", "ADDRESS MAC|none", "say whose an IP address is", false, setbinding});
  table.add({"guard/bandwidth", "", "print the bandwidth groups", kData, bandwidth});
  table.add({"guard/setbandwidth", "GROUP RATE|none", "set what a group's ports may send", false,
             setbandwidth});
}

}  // namespace lanyard

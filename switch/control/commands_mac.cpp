// SPDX-License-Identifier: MIT
//
// Commands about the MAC table, which VDE's console calls the hash table.
#include <bit>
#include <cerrno>

#include "switch/control/command.h"

namespace lanyard {
namespace {

constexpr std::int64_t kShownBucketsMax = std::int64_t{1} << 30;
constexpr std::int64_t kSecondsMax = 1'000'000'000;
constexpr std::size_t kPieceBytes = 16384;

void print_entry(const MacTable& macs, const MacEntry& entry, std::string& text) {
  append(text, "Hash: {:04} Addr: {} VLAN {:04} to port: {:03}  age {} secs\n",
         macs.hash(entry.mac, entry.vlan) & (macs.settings().shown_buckets - 1), entry.mac.text(),
         entry.vlan, entry.port, entry.age_s);
}

Result<void> showinfo(CommandContext& context, Args&, Reply& reply) {
  const MacTable::Settings& settings = context.bridge.macs().settings();
  reply.line("Hash size {}", settings.shown_buckets);
  reply.line("GC interval {} secs", context.lane.sweep_period() / std::chrono::seconds(1));
  reply.line("GC expire {} secs", settings.expire_s);
  reply.line("Min persistence {} secs", settings.hold_s);
  return {};
}

Result<void> setsize(CommandContext& context, Args& args, Reply&) {
  const std::int64_t wanted = args.number_or_zero();
  if (wanted < 1) return Error{EINVAL, "the hash size must be at least 1"};
  if (wanted > kShownBucketsMax) return Error{ENOMEM, "no memory for so many buckets"};
  const auto rounded = std::bit_ceil(static_cast<std::uint32_t>(wanted));
  if (rounded != wanted) {
    context.log.notice("Hash size must be a power of 2. {} rounded to {}", wanted, rounded);
  }
  context.bridge.macs().settings().shown_buckets = rounded;
  context.bridge.macs().clear();
  return {};
}

Result<std::uint32_t> seconds(const Args& args) {
  const std::int64_t value = args.number_or_zero();
  if (value < 0 || value > kSecondsMax) {
    return Error{EINVAL, fmt::format("{} is not a number of seconds", value)};
  }
  return static_cast<std::uint32_t>(value);
}

Result<void> setgcint(CommandContext& context, Args& args, Reply&) {
  const Result<std::uint32_t> value = seconds(args);
  if (!value) return value.error();
  context.lane.set_sweep_period(std::chrono::seconds(std::max(value.value(), 1U)));
  return {};
}

Result<void> setexpire(CommandContext& context, Args& args, Reply&) {
  const Result<std::uint32_t> value = seconds(args);
  if (!value) return value.error();
  context.bridge.macs().settings().expire_s = value.value();
  return {};
}

Result<void> setminper(CommandContext& context, Args& args, Reply&) {
  const Result<std::uint32_t> value = seconds(args);
  if (!value) return value.error();
  context.bridge.macs().settings().hold_s = value.value();
  return {};
}

Result<void> print(CommandContext& context, Args&, Reply& reply) {
  const Switch& bridge = context.bridge;
  reply.produce([&bridge, at = std::size_t{0}](std::string& text) mutable {
    const std::size_t enough = text.size() + kPieceBytes;
    at = bridge.macs().visit_from(at, bridge.now_s(), [&](const MacEntry& entry) {
      print_entry(bridge.macs(), entry, text);
      return text.size() < enough;
    });
    return at < bridge.macs().node_end();
  });
  return {};
}

Result<void> find(CommandContext& context, Args& args, Reply& reply) {
  const std::optional<std::string_view> word = args.word();
  const std::optional<MacAddress> mac = MacAddress::parse(word.value_or(""));
  if (!mac) {
    return Error{EINVAL, fmt::format("'{}' is not a MAC address", printable(word.value_or("")))};
  }
  const std::int64_t vlan = args.empty() ? 0 : args.number_or_zero();
  std::optional<MacEntry> entry;
  if (vlan >= 0 && vlan <= kVlanMax) {
    entry = context.bridge.macs().entry(*mac, static_cast<VlanId>(vlan), context.bridge.now_s());
  }
  if (!entry) return Error{ENODEV, fmt::format("{} is not known in VLAN {}", mac->text(), vlan)};
  print_entry(context.bridge.macs(), *entry, reply.text());
  return {};
}

}  // namespace

void add_mac_commands(CommandTable& table) {
  constexpr bool kData = true;
  table.add({"hash", "============", "HASH TABLE MENU"});
  table.add({"hash/showinfo", "", "show hash info", kData, showinfo});
  table.add({"hash/setsize", "N", "change hash size", false, setsize});
  table.add({"hash/setgcint", "N", "change garbage collector interval", false, setgcint});
  table.add({"hash/setexpire", "N", "change hash entries expire time", false, setexpire});
  table.add({"hash/setminper", "N", "minimum persistence time", false, setminper});
  table.add({"hash/print", "", "print the hash table", kData, print});
  table.add({"hash/find", "MAC [VLAN]", "MAC lookup", kData, find});
}

}  // namespace lanyard

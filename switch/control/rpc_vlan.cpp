// SPDX-License-Identifier: MIT
//
// Methods about VLANs, and lists of VLANs as people write them.
#include <algorithm>
#include <array>
#include <cerrno>

#include "switch/base/text.h"
#include "switch/control/rpc_handlers.h"
#include "switch/control/rpc_params.h"

namespace lanyard {
namespace {

Json row_of(RpcNetwork& network, VlanId vlan) {
  std::vector<VlanId> untagged;
  std::vector<VlanId> tagged;
  for (const VlanMember& member : network.bridge().vlans().members(vlan)) {
    const Port* const port = network.bridge().port(member.port);
    if (port == nullptr || (port->reserved && !port->active())) continue;
    (member.tagged ? tagged : untagged).push_back(member.port);
  }
  return {{"network", network.config().name},
          {"vlan", vlan},
          {"untagged", vlan_list_text(untagged)},
          {"tagged", vlan_list_text(tagged)}};
}

void list(RpcCall& call) {
  std::optional<std::vector<std::string>> names = listed_networks(call);
  if (!names) return;
  call.answer.rows("vlans", [host = &call.host, names = std::move(*names), at = std::size_t{0},
                             vlan = VlanId{0}](RpcRows& rows) mutable {
    if (at == names.size()) return false;
    RpcNetwork* const network = host->find(names[at]);
    // One that exists, then the source is asked again.
    while (network != nullptr && vlan <= kVlanMax && !network->bridge().vlans().exists(vlan)) {
      ++vlan;
    }
    if (network == nullptr || vlan > kVlanMax) {
      ++at;
      vlan = 0;
      return at < names.size();
    }
    rows.add(row_of(*network, vlan++));
    return true;
  });
}

std::optional<VlanId> vlan_of(RpcCall& call) {
  const Result<std::int64_t> number = rpc_number(call.params, "vlan", 1, kVlanMax);
  if (number) return static_cast<VlanId>(number.value());
  call.answer.error(number.error());
  return std::nullopt;
}

void create(RpcCall& call) {
  RpcNetwork* const network = required_network(call);
  if (network == nullptr) return;
  const std::optional<VlanId> vlan = vlan_of(call);
  if (!vlan) return;
  const Result<void> done = network->create_vlan(*vlan);
  if (!done) return call.answer.error(done.error());
  call.answer.done();
}

void remove(RpcCall& call) {
  RpcNetwork* const network = required_network(call);
  if (network == nullptr) return;
  const std::optional<VlanId> vlan = vlan_of(call);
  if (!vlan) return;
  const Result<void> done = network->delete_vlan(*vlan);
  if (!done) return call.answer.error(done.error());
  call.answer.done();
}

constexpr std::array kRows{RpcHandlerRow{"vlan.list", list}, RpcHandlerRow{"vlan.create", create},
                           RpcHandlerRow{"vlan.delete", remove}};

}  // namespace

std::span<const RpcHandlerRow> rpc_vlan_handlers() {
  return kRows;
}

std::string vlan_list_text(const std::vector<VlanId>& vlans) {
  std::string text;
  for (std::size_t i = 0; i < vlans.size();) {
    std::size_t end = i + 1;
    while (end < vlans.size() && vlans[end] == vlans[end - 1] + 1) ++end;
    append(text, "{}{}", text.empty() ? "" : ",", vlans[i]);
    if (end - i > 1) append(text, "-{}", vlans[end - 1]);
    i = end;
  }
  return text;
}

Result<std::vector<VlanId>> parse_vlan_list(std::string_view text) {
  std::vector<VlanId> vlans;
  if (trim(text) == "none") return vlans;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(','), rest.size());
    const std::string_view item = trim(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::size_t dash = item.find('-');
    const auto first = parse_integer(item.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_integer(item.substr(dash + 1));
    if (!first || !last || *first < 1 || *last < *first || *last > kVlanMax) {
      return Error{EINVAL, fmt::format("'{}' is not a VLAN or a range of VLANs from 1 to {}",
                                       printable(item.substr(0, 40)), kVlanMax)};
    }
    for (std::int64_t vlan = *first; vlan <= *last; ++vlan) {
      vlans.push_back(static_cast<VlanId>(vlan));
    }
    if (vlans.size() > 2 * std::size_t{kVlanMax}) break;
  }
  std::sort(vlans.begin(), vlans.end());
  vlans.erase(std::unique(vlans.begin(), vlans.end()), vlans.end());
  return vlans;
}

}  // namespace lanyard

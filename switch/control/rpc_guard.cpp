// SPDX-License-Identifier: MIT
//
// Methods about guards: what ports may do, whose addresses are whose, bandwidth groups.
#include <algorithm>
#include <array>

#include "switch/base/text.h"
#include "switch/control/guard_text.h"
#include "switch/control/rpc_handlers.h"
#include "switch/control/rpc_params.h"

namespace lanyard {
namespace {

Json row_of(RpcNetwork& network, const Port& port) {
  std::string who;
  for (const auto& plug : port.plugs()) {
    append(who, "{}{}", who.empty() ? "" : ", ", printable(plug->traits().description));
  }
  return {{"network", network.config().name},
          {"port", port.id()},
          {"who", who},
          {"guards", guard_summary(Guards::of(port))},
          {"dropped", guard_drops(port)}};
}

void list(RpcCall& call) {
  std::optional<std::vector<std::string>> names = listed_networks(call);
  if (!names) return;
  call.answer.rows("ports", [host = &call.host, names = std::move(*names), at = std::size_t{0},
                             id = std::size_t{0}](RpcRows& rows) mutable {
    constexpr std::size_t kNumbers = 64;
    if (at == names.size()) return false;
    RpcNetwork* const network = host->find(names[at]);
    const std::size_t last = network != nullptr ? network->bridge().ports_max() : 0;
    for (std::size_t i = 0; network != nullptr && i < kNumbers && id <= last; ++i, ++id) {
      const Port* const port = network->bridge().port(static_cast<PortId>(id));
      if (port == nullptr || (port->reserved && !port->active())) continue;
      rows.add(row_of(*network, *port));
    }
    if (network == nullptr || id > last) {
      ++at;
      id = 0;
    }
    return at < names.size();
  });
}

void show(RpcCall& call) {
  RpcNetwork* const network = required_network(call);
  if (network == nullptr) return;
  const Port* const port = required_port(call, *network);
  if (port == nullptr) return;
  Json shown = guard_json(*port);
  shown["network"] = network->config().name;
  shown["port"] = port->id();
  call.answer.result(shown);
}

void set(RpcCall& call) {
  RpcNetwork* const network = required_network(call);
  if (network == nullptr) return;
  Port* const port = required_port(call, *network);
  if (port == nullptr) return;
  const Result<void> done = change_guard(network->bridge(), *port, rpc_text(call.params, "key"),
                                         rpc_text(call.params, "value"));
  if (!done) return call.answer.error(done.error());
  call.answer.done();
}

// Of the few networks there are, each list is short enough to be answered at once.
template <typename Function>
void rows_of_each(RpcCall& call, std::string_view key, Function add) {
  std::optional<std::vector<std::string>> names = listed_networks(call);
  if (!names) return;
  call.answer.rows(key, [host = &call.host, names = std::move(*names), at = std::size_t{0},
                         add](RpcRows& rows) mutable {
    if (at == names.size()) return false;
    if (RpcNetwork* const network = host->find(names[at])) add(*network, *host, rows);
    return ++at < names.size();
  });
}

void binding_list(RpcCall& call) {
  rows_of_each(call, "bindings", [](RpcNetwork& network, RpcHost& host, RpcRows& rows) {
    for (const Binding& binding : network.bridge().guards().bindings().all()) {
      Json row = binding_json(binding, host.loop().now());
      row["network"] = network.config().name;
      rows.add(row);
    }
  });
}

std::optional<IpAddress> address_of(RpcCall& call) {
  const std::string text = rpc_text(call.params, "address");
  const std::optional<IpAddress> address = IpAddress::parse(text);
  if (!address) {
    call.answer.error({RpcCode::invalid_params,
                       fmt::format("'{}' is not an IP address", printable(text.substr(0, 60)))});
  }
  return address;
}

void binding_set(RpcCall& call) {
  RpcNetwork* const network = required_network(call);
  if (network == nullptr) return;
  const std::optional<IpAddress> address = address_of(call);
  if (!address) return;
  const std::string text = rpc_text(call.params, "mac");
  const std::optional<MacAddress> mac = MacAddress::parse(text);
  if (!mac || mac->is_group() || mac->is_zero()) {
    return call.answer.error(
        {RpcCode::invalid_params,
         fmt::format("'{}' is not the MAC address of a guest", printable(text.substr(0, 40)))});
  }
  PortId port = kPortNone;
  if (call.params.contains("port")) {
    const Port* const wanted = required_port(call, *network);
    if (wanted == nullptr) return;
    port = wanted->id();
  }
  const Result<void> done = network->bridge().guards().bindings().say(*address, *mac, port);
  if (!done) return call.answer.error(done.error());
  call.answer.done();
}

void binding_delete(RpcCall& call) {
  RpcNetwork* const network = required_network(call);
  if (network == nullptr) return;
  const std::optional<IpAddress> address = address_of(call);
  if (!address) return;
  if (!network->bridge().guards().bindings().unsay(*address)) {
    return call.answer.error(
        {RpcCode::not_found, fmt::format("nobody has said whose {} is", address->text())});
  }
  call.answer.done();
}

void bandwidth_list(RpcCall& call) {
  rows_of_each(call, "groups", [](RpcNetwork& network, RpcHost&, RpcRows& rows) {
    for (const BandwidthGroup& group : network.bridge().guards().groups()) {
      std::string ports;
      network.bridge().for_each_port([&](const Port& port) {
        if (Guards::of(port).bandwidth_group != group.name) return;
        append(ports, "{}{}", ports.empty() ? "" : ",", port.id());
      });
      rows.add({{"network", network.config().name},
                {"group", group.name},
                {"rate", rate_text(group.rate.per_second)},
                {"burst", burst_of(group.rate)},
                {"ports", ports}});
    }
  });
}

void bandwidth_set(RpcCall& call) {
  RpcNetwork* const network = required_network(call);
  if (network == nullptr) return;
  BandwidthGroup group;
  group.name = rpc_text(call.params, "group");
  const Result<std::uint64_t> rate = parse_rate(rpc_text(call.params, "rate"));
  if (!rate) return call.answer.error(rate.error());
  group.rate.per_second = rate.value();
  if (call.params.contains("burst")) {
    const Result<std::uint64_t> burst = parse_size(rpc_text(call.params, "burst"));
    if (!burst) return call.answer.error(burst.error());
    group.rate.burst = burst.value();
  }
  const Result<void> done = network->bridge().guards().set_group(group);
  if (!done) return call.answer.error(done.error());
  call.answer.done();
}

void bandwidth_delete(RpcCall& call) {
  RpcNetwork* const network = required_network(call);
  if (network == nullptr) return;
  const Result<void> done = network->bridge().guards().remove_group(rpc_text(call.params, "group"));
  if (!done) return call.answer.error(done.error());
  call.answer.done();
}

constexpr std::array kRows{RpcHandlerRow{"guard.list", list},
                           RpcHandlerRow{"guard.show", show},
                           RpcHandlerRow{"guard.set", set},
                           RpcHandlerRow{"binding.list", binding_list},
                           RpcHandlerRow{"binding.set", binding_set},
                           RpcHandlerRow{"binding.delete", binding_delete},
                           RpcHandlerRow{"bandwidth.list", bandwidth_list},
                           RpcHandlerRow{"bandwidth.set", bandwidth_set},
                           RpcHandlerRow{"bandwidth.delete", bandwidth_delete}};

}  // namespace

std::span<const RpcHandlerRow> rpc_guard_handlers() {
  return kRows;
}

}  // namespace lanyard

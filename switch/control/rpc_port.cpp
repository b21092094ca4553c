// SPDX-License-Identifier: MIT
//
// Methods about ports and their cables.
#include <algorithm>
#include <array>

#include "switch/base/text.h"
#include "switch/control/guard_text.h"
#include "switch/control/rpc_handlers.h"
#include "switch/control/rpc_params.h"
#include "switch/control/rpc_server.h"

namespace lanyard {
namespace {

constexpr std::int64_t kQueueBytesMax = std::int64_t{64} << 20;

std::vector<VlanId> tagged_vlans(RpcNetwork& network, PortId port) {
  std::vector<VlanId> tagged;
  const VlanTable& vlans = network.bridge().vlans();
  for (VlanId vlan = 0; vlan <= kVlanMax; ++vlan) {
    if (vlans.is_tagged(vlan, port)) tagged.push_back(vlan);
  }
  return tagged;
}

std::string_view link_text(const Port& port) {
  if (!port.link_up) return "down";
  return port.active() ? "up" : "empty";
}

std::string_view kind_text(std::string_view module) {
  if (module == "unix prog") return "vde";
  if (module == "tuntap") return "tap";
  return module;
}

Json row_of(RpcNetwork& network, const Port& port) {
  const PortCounters& counters = port.counters;
  std::string label;
  for (const auto& plug : port.plugs()) {
    append(label, "{}{}", label.empty() ? "" : ", ", printable(plug->traits().description));
  }
  return {{"network", network.config().name},
          {"port", port.id()},
          {"link", link_text(port)},
          {"kind", port.active() ? kind_text(port.plugs().front()->traits().module) : ""},
          {"label", label},
          {"vlan", network.bridge().vlans().native(port.id())},
          {"tagged", vlan_list_text(tagged_vlans(network, port.id()))},
          {"in_frames", counters.incoming.frames},
          {"in_bytes", counters.incoming.bytes},
          {"out_frames", counters.outgoing.frames},
          {"out_bytes", counters.outgoing.bytes},
          {"drops", counters.drops.incoming() + counters.drops.outgoing()}};
}

void list(RpcCall& call) {
  std::optional<std::vector<std::string>> names = listed_networks(call);
  if (!names) return;
  call.answer.rows("ports", [host = &call.host, names = std::move(*names), at = std::size_t{0},
                             id = std::size_t{0}](RpcRows& rows) mutable {
    // A slice: some port numbers, few of which exist.
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
  const PortCounters& counters = port->counters;
  Json shown = row_of(*network, *port);
  std::size_t queued = 0;
  Json plugs = Json::array();
  for (const auto& plug : port->plugs()) {
    queued += plug->queue().frames();
    Json who = {{"kind", kind_text(plug->traits().module)},
                {"label", printable(plug->traits().description)},
                {"endpoint", printable(plug->endpoint().label())},
                {"id", plug->traits().id}};
    if (plug->traits().identity.uid != kNoUser) {
      who["user"] = plug->traits().identity.uid;
      who["pid"] = plug->traits().identity.pid;
    }
    plugs.push_back(std::move(who));
  }
  Json drops = Json::object();
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    const std::uint64_t count = counters.drops.of(static_cast<Drop>(i));
    if (count != 0) drops[std::string(kDropTexts[i].name)] = count;
  }
  shown["plugs"] = std::move(plugs);
  shown["received"] = counters.received;
  shown["forwarded"] = counters.forwarded;
  shown["offered"] = counters.offered;
  shown["transmitted"] = counters.transmitted;
  shown["queued"] = queued;
  shown["dropped"] = std::move(drops);
  shown["addresses"] = network->bridge().macs().size_of(port->id());
  shown["pass_tags"] = port->pass_tags;
  shown["queue_bytes"] = port->queue_bytes_max;
  shown["reserved"] = port->reserved;
  shown["guards"] = guard_summary(Guards::of(*port));
  call.answer.result(shown);
}

// What port.set is to change, all of it checked before any of it is done.
struct PortChange {
  std::optional<VlanId> native;
  std::optional<std::vector<VlanId>> tagged;
  std::optional<std::size_t> queue_bytes;
};

Result<PortChange> read_change(const Json& params, const VlanTable& vlans) {
  PortChange change;
  const auto missing = [&](VlanId vlan) {
    return Error{ENXIO, fmt::format("VLAN {} does not exist; make it with: lanyard vlan create "
                                    "NETWORK {}",
                                    vlan, vlan)};
  };
  if (params.contains("vlan")) {
    const Result<std::int64_t> vlan = rpc_number(params, "vlan", 0, kVlanNone);
    if (!vlan) return vlan.error();
    change.native = static_cast<VlanId>(vlan.value());
    if (*change.native != kVlanNone && !vlans.exists(*change.native)) {
      return missing(*change.native);
    }
  }
  if (params.contains("tagged")) {
    Result<std::vector<VlanId>> tagged = parse_vlan_list(rpc_text(params, "tagged"));
    if (!tagged) return tagged.error();
    for (const VlanId vlan : tagged.value()) {
      if (!vlans.exists(vlan)) return missing(vlan);
    }
    change.tagged = tagged.take();
  }
  if (params.contains("queue_bytes")) {
    const Result<std::int64_t> bytes = rpc_number(params, "queue_bytes", 0, kQueueBytesMax);
    if (!bytes) return bytes.error();
    change.queue_bytes = static_cast<std::size_t>(bytes.value());
  }
  return change;
}

void set(RpcCall& call) {
  RpcNetwork* const network = required_network(call);
  if (network == nullptr) return;
  Port* const port = required_port(call, *network);
  if (port == nullptr) return;
  Switch& bridge = network->bridge();
  const Result<PortChange> change = read_change(call.params, bridge.vlans());
  if (!change) return call.answer.error(change.error());
  const PortId id = port->id();
  Result<void> done;
  if (change.value().native) {
    done = bridge.set_native_vlan(id, *change.value().native);
    network->vlan_chosen(id);
  }
  if (done && change.value().tagged) {
    const std::vector<VlanId>& wanted = *change.value().tagged;
    for (const VlanId vlan : tagged_vlans(*network, id)) {
      if (done && std::find(wanted.begin(), wanted.end(), vlan) == wanted.end()) {
        done = bridge.remove_from_vlan(vlan, id);
      }
    }
    for (const VlanId vlan : wanted) {
      if (done) done = bridge.vlans().add_tagged(vlan, id);
    }
  }
  if (!done) return call.answer.error(done.error());
  if (call.params.contains("pass_tags")) port->pass_tags = call.params["pass_tags"].get<bool>();
  if (change.value().queue_bytes) {
    port->queue_bytes_max = *change.value().queue_bytes;
    for (const auto& plug : port->plugs()) plug->queue().set_bytes_max(port->queue_bytes_max);
  }
  call.answer.done();
}

void link_set(RpcCall& call) {
  RpcNetwork* const network = required_network(call);
  if (network == nullptr) return;
  const Port* const port = required_port(call, *network);
  if (port == nullptr) return;
  const std::string state = rpc_text(call.params, "state");
  if (state != "up" && state != "down") {
    return call.answer.error(
        {RpcCode::invalid_params,
         fmt::format("link.set: 'state' is up or down, not '{}'", printable(state.substr(0, 40)))});
  }
  const Result<void> done = network->bridge().set_link(port->id(), state == "up");
  if (!done) return call.answer.error(done.error());
  call.answer.done();
}

constexpr std::array kRows{RpcHandlerRow{"port.list", list}, RpcHandlerRow{"port.show", show},
                           RpcHandlerRow{"port.set", set}, RpcHandlerRow{"link.set", link_set}};

}  // namespace

std::span<const RpcHandlerRow> rpc_port_handlers() {
  return kRows;
}

}  // namespace lanyard

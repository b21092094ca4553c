// SPDX-License-Identifier: MIT
//
// Methods about the table of addresses (the filtering database of IEEE 802.1D).
#include <array>

#include "switch/base/text.h"
#include "switch/control/rpc_handlers.h"

namespace lanyard {
namespace {

void list(RpcCall& call) {
  std::optional<std::vector<std::string>> names = listed_networks(call);
  if (!names) return;
  call.answer.rows("entries", [host = &call.host, names = std::move(*names), at = std::size_t{0},
                               node = std::size_t{0}](RpcRows& rows) mutable {
    constexpr std::size_t kEntries = 32;
    if (at == names.size()) return false;
    RpcNetwork* const network = host->find(names[at]);
    bool at_end = true;
    if (network != nullptr) {
      const Switch& bridge = network->bridge();
      std::size_t left = kEntries;
      node = bridge.macs().visit_from(node, bridge.now_s(), [&](const MacEntry& entry) {
        rows.add({{"network", network->config().name},
                  {"mac", entry.mac.text()},
                  {"vlan", entry.vlan},
                  {"port", entry.port},
                  {"age_s", entry.age_s},
                  {"name", network->guest_name(entry.mac)}});
        return --left != 0;
      });
      at_end = node >= bridge.macs().node_end();
    }
    if (at_end) {
      ++at;
      node = 0;
    }
    return at < names.size();
  });
}

void flush(RpcCall& call) {
  RpcNetwork* const network = required_network(call);
  if (network == nullptr) return;
  if (!call.params.contains("port")) {
    network->bridge().macs().clear();
    return call.answer.done();
  }
  const Port* const port = required_port(call, *network);
  if (port == nullptr) return;
  network->bridge().flush_macs_of(port->id());
  call.answer.done();
}

constexpr std::array kRows{RpcHandlerRow{"fdb.list", list}, RpcHandlerRow{"fdb.flush", flush}};

}  // namespace

std::span<const RpcHandlerRow> rpc_fdb_handlers() {
  return kRows;
}

}  // namespace lanyard

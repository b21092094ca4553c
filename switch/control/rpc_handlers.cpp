// SPDX-License-Identifier: MIT
#include "switch/control/rpc_handlers.h"

#include "switch/base/text.h"
#include "switch/control/rpc_params.h"

namespace lanyard {

RpcHandler find_rpc_handler(std::string_view method) {
  for (const auto& rows : {rpc_config_handlers(), rpc_daemon_handlers(), rpc_fdb_handlers(),
                           rpc_gateway_handlers(), rpc_guard_handlers(), rpc_network_handlers(),
                           rpc_plugin_handlers(), rpc_port_handlers(), rpc_vlan_handlers()}) {
    for (const RpcHandlerRow& row : rows) {
      if (row.method == method) return row.run;
    }
  }
  return nullptr;
}

RpcNetwork* required_network(RpcCall& call) {
  constexpr std::size_t kShown = 80;
  const std::string name = rpc_text(call.params, "network");
  RpcNetwork* const found = call.host.find(name);
  if (found != nullptr) return found;
  std::string list;
  for (const RpcNetwork* network : call.host.networks()) {
    append(list, "{}{}", list.empty() ? "; there are " : ", ", network->config().name);
  }
  call.answer.error({RpcCode::not_found,
                     fmt::format("no network '{}'{}", printable(name.substr(0, kShown)), list)});
  return nullptr;
}

std::optional<std::vector<std::string>> listed_networks(RpcCall& call) {
  if (call.params.contains("network")) {
    const RpcNetwork* const network = required_network(call);
    if (network == nullptr) return std::nullopt;
    return std::vector<std::string>{network->config().name};
  }
  std::vector<std::string> names;
  for (const RpcNetwork* network : call.host.networks()) names.push_back(network->config().name);
  return names;
}

Port* required_port(RpcCall& call, RpcNetwork& network) {
  const Result<std::int64_t> number = rpc_number(call.params, "port", 0, kPortMax);
  if (!number) {
    call.answer.error(number.error());
    return nullptr;
  }
  Port* const port = network.bridge().port(static_cast<PortId>(number.value()));
  if (port == nullptr) {
    call.answer.error({RpcCode::not_found,
                       fmt::format("{} has no port {}; see: lanyard port list {}",
                                   network.config().name, number.value(), network.config().name)});
  }
  return port;
}

}  // namespace lanyard

// SPDX-License-Identifier: MIT
//
// The function behind each row of rpc_methods(). A handler gets parameters that were checked
// against the row, and answers once, now or later. Lane thread only.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "switch/control/rpc_answer.h"
#include "switch/control/rpc_host.h"

namespace lanyard {

class RpcServer;
class RpcSession;

struct RpcCall {
  RpcHost& host;
  RpcServer& server;
  RpcSession& session;
  const Json& params;
  RpcAnswer answer;
};

using RpcHandler = void (*)(RpcCall&);

struct RpcHandlerRow {
  std::string_view method;  // "port.list"
  RpcHandler run = nullptr;
};

// By subject.
std::span<const RpcHandlerRow> rpc_config_handlers();
std::span<const RpcHandlerRow> rpc_daemon_handlers();
std::span<const RpcHandlerRow> rpc_fdb_handlers();
std::span<const RpcHandlerRow> rpc_gateway_handlers();
std::span<const RpcHandlerRow> rpc_guard_handlers();
std::span<const RpcHandlerRow> rpc_network_handlers();
std::span<const RpcHandlerRow> rpc_plugin_handlers();
std::span<const RpcHandlerRow> rpc_port_handlers();
std::span<const RpcHandlerRow> rpc_vlan_handlers();

// Null when there is none.
RpcHandler find_rpc_handler(std::string_view method);

// ---- what handlers share (rpc_handlers.cpp) ----

// The network that the parameter `network` names; answered with not_found when there is none.
RpcNetwork* required_network(RpcCall& call);

// The names of the networks a list is about: the given one, or all. Nullopt when it was answered.
std::optional<std::vector<std::string>> listed_networks(RpcCall& call);

// The port that `port` names; answered when there is none.
Port* required_port(RpcCall& call, RpcNetwork& network);

// A row of network.list.
Json network_row(RpcNetwork& network);

// "10,20-29"; "" for none.
std::string vlan_list_text(const std::vector<VlanId>& vlans);  // ascending
// And back; "none" and "" are no VLANs.
Result<std::vector<VlanId>> parse_vlan_list(std::string_view text);

}  // namespace lanyard

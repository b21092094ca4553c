// SPDX-License-Identifier: MIT
//
// Methods about networks.
#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "switch/base/sandbox_status.h"
#include "switch/base/text.h"
#include "switch/control/rpc_handlers.h"
#include "switch/network/config_json.h"

namespace lanyard {
namespace {

std::string_view kind_name(NetworkKind kind) {
  switch (kind) {
    case NetworkKind::nat: return "nat";
    case NetworkKind::host_only: return "host-only";
    case NetworkKind::routed: return "routed";
    case NetworkKind::internal: return "internal";
  }
  return "internal";
}

// Resident memory of a process in KiB; 0 when it is gone. procfs answers at once.
std::uint64_t resident_kib(pid_t pid) {
  if (pid <= 0) return 0;
  const UniqueFd file(::open(fmt::format("/proc/{}/statm", pid).c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 128> text{};
  const ssize_t count = file ? ::read(file.get(), text.data(), text.size()) : -1;
  if (count <= 0) return 0;
  const auto words = split_words({text.data(), static_cast<std::size_t>(count)});
  const auto pages = words.size() > 1 ? parse_integer(words[1]) : std::nullopt;
  return static_cast<std::uint64_t>(pages.value_or(0)) *
         static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) / 1024;
}

void list(RpcCall& call) {
  Json rows = Json::array();
  for (RpcNetwork* network : call.host.networks()) rows.push_back(network_row(*network));
  call.answer.rows("networks", std::move(rows));
}

Json sockets_of(const NetworkConfig& config) {
  Json sockets = Json::array();
  for (const SocketConfig& socket : config.sockets) {
    sockets.push_back({{"path", socket.path},
                       {"mode", socket.mode},
                       {"group", socket.group},
                       {"vlan", socket.vlan},
                       {"qemu", fmt::format("-netdev vde,id=net0,sock={} -device "
                                            "virtio-net-pci,netdev=net0",
                                            socket.path)}});
  }
  return sockets;
}

void show(RpcCall& call) {
  RpcNetwork* const network = required_network(call);
  if (network == nullptr) return;
  const NetworkConfig& config = network->config();
  Json shown = network_row(*network);
  shown["sockets"] = sockets_of(config);
  shown["mtu"] = config.mtu;
  shown["vlans"] = config.vlans;
  shown["addresses_known"] = network->bridge().macs().size();
  shown["ports_max"] = network->bridge().ports_max();
  shown["warnings"] = network->warnings();
  shown["configuration"] = to_json(config);
  const GatewayState gateway = network->gateway();
  if (gateway.wanted) {
    const std::optional<SandboxStatus> sandbox = read_sandbox_status(gateway.pid);
    shown["gateway"] = {{"pid", gateway.pid},
                        {"serving", gateway.serving},
                        {"restarts", gateway.restarts},
                        {"memory_kib", resident_kib(gateway.pid)},
                        {"sandbox", sandbox ? sandbox->text() : ""},
                        {"trouble", gateway.trouble}};
  }
  call.answer.result(shown);
}

constexpr std::array kRows{RpcHandlerRow{"network.list", list},
                           RpcHandlerRow{"network.show", show}};

}  // namespace

Json network_row(RpcNetwork& network) {
  const NetworkConfig& config = network.config();
  const GatewayState gateway = network.gateway();
  std::size_t plugged = 0;
  network.bridge().for_each_port([&](const Port& port) {
    if (port.active() && !port.reserved) ++plugged;
  });
  Json plugins = Json::array();
  for (const RpcPlugin& plugin : network.plugins()) plugins.push_back(plugin.name);
  return {{"name", config.name},
          {"kind", kind_name(config.kind)},
          {"state", gateway.wanted && !gateway.serving ? "no gateway" : "up"},
          {"subnet", config.subnet ? config.subnet->text() : ""},
          {"interface", config.host ? config.host->name : ""},
          {"ports", plugged},
          {"leases", network.lease_count()},
          {"plugins", std::move(plugins)},
          {"socket", config.sockets.empty() ? "" : config.sockets.front().path}};
}

std::span<const RpcHandlerRow> rpc_network_handlers() {
  return kRows;
}

}  // namespace lanyard

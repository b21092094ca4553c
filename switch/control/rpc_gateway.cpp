// SPDX-License-Identifier: MIT
//
// Methods that gateways answer: leases, forwards, connections. They are passed on and answered
// when the gateway has spoken; a list over all networks waits for all of them, and says which were
// silent.
#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "switch/base/text.h"
#include "switch/control/gateway_pages.h"
#include "switch/control/rpc_handlers.h"
#include "switch/control/rpc_params.h"
#include "switch/network/config_json.h"

namespace lanyard {
namespace {

// The parts of a list over several networks; the answer goes out with the last reference.
struct Merged {
  RpcAnswer answer;
  std::string key;
  bool single;
  Json::array_t pages;
  Json problems = Json::array();
  std::optional<RpcError> failed;

  Merged(RpcAnswer to, std::string_view of, bool one)
      : answer(std::move(to)), key(of), single(one) {}
  Merged(const Merged&) = delete;
  Merged& operator=(const Merged&) = delete;
  ~Merged() {
    answer.attempt([this] { send(); });
  }

  void send() {
    if (failed) return answer.error(*failed);
    Json rest = Json::object();
    if (!problems.empty()) rest["problems"] = std::move(problems);
    answer.rows(
        key,
        [pages = std::move(pages), at = std::size_t{0}](RpcRows& rows) mutable {
          if (at == pages.size()) return false;
          for (const Json& row : std::exchange(pages[at++], Json())) rows.add(row);
          return at < pages.size();
        },
        std::move(rest));
  }

  void add(const std::string& network, GatewayPage page) {
    if (page.error != nullptr) {
      if (single) failed = *page.error;
      problems.push_back({{"network", network}, {"text", page.error->message}});
      return;
    }
    Json rows = Json::array();
    for (Json& row : page.rows) {
      if (!row.is_object()) continue;
      row["network"] = network;
      rows.push_back(std::move(row));
    }
    if (!rows.empty()) pages.push_back(std::move(rows));
  }
};

// The network may be gone between two questions.
AskGateway asker(RpcHost& host, const std::string& name) {
  return [&host, name](std::string_view method, const Json& params, GatewayReply reply) {
    RpcNetwork* const network = host.find(name);
    if (network != nullptr) return network->ask_gateway(method, params, std::move(reply));
    const RpcError error{RpcCode::not_found, fmt::format("network {} has been taken down", name)};
    reply(&error, nullptr);
  };
}

void merge(RpcCall& call, std::string_view method, std::string_view key) {
  const std::optional<std::vector<std::string>> names = listed_networks(call);
  if (!names) return;
  const auto merged = std::make_shared<Merged>(call.answer, key, call.params.contains("network"));
  for (const std::string& name : *names) {
    RpcNetwork* const network = call.host.find(name);
    if (network == nullptr || !network->gateway().wanted) continue;
    ask_gateway_pages(asker(call.host, name), method, key,
                      [merged, name](GatewayPage page) { merged->add(name, std::move(page)); });
  }
}

void lease_list(RpcCall& call) {
  merge(call, "lease.list", "leases");
}

void forward_list(RpcCall& call) {
  merge(call, "forward.list", "forwards");
}

void flow_list(RpcCall& call) {
  merge(call, "flow.list", "flows");
}

// The network, if it has a gateway.
RpcNetwork* served_network(RpcCall& call, std::string_view what) {
  RpcNetwork* const network = required_network(call);
  if (network == nullptr) return nullptr;
  if (network->gateway().wanted) return network;
  call.answer.error({RpcCode::failed, fmt::format("network {} has no {}: no service runs in it",
                                                  network->config().name, what)});
  return nullptr;
}

// Its row among the leases.
Json find_lease(const Json& leases, const std::string& guest) {
  const std::optional<MacAddress> mac = MacAddress::parse(guest);
  for (const Json& lease : leases) {
    if (!lease.is_object()) continue;
    const auto text = [&](const char* key) {
      const Json value = lease.value(key, Json());
      return value.is_string() ? value.get<std::string>() : std::string();
    };
    const bool same_mac = mac && MacAddress::parse(text("mac")) == mac;
    if (same_mac || (!mac && text("name") == guest)) return lease;
  }
  return nullptr;
}

// What the configuration reserves.
Json find_reserved(const NetworkConfig& config, const std::string& guest) {
  const std::optional<MacAddress> mac = MacAddress::parse(guest);
  for (const HostConfig& host : config.hosts) {
    const bool same = mac ? host.mac == mac : host.name == guest;
    if (!same || !host.address) continue;
    return {{"address", host.address->text()},
            {"name", host.name},
            {"mac", host.mac ? host.mac->text() : ""},
            {"state", "reserved"}};
  }
  return nullptr;
}

void lease_address(RpcCall& call) {
  RpcNetwork* const network = served_network(call, "leases");
  if (network == nullptr) return;
  const std::string guest = rpc_text(call.params, "guest");
  ask_gateway_pages(
      asker(call.host, network->config().name), "lease.list", "leases",
      [answer = call.answer, config = network->config(), guest](const GatewayPage& page) {
        if (page.error != nullptr) return answer.error(*page.error);
        Json found = find_lease(page.rows, guest);
        if (found.is_null() && page.last) found = find_reserved(config, guest);
        if (!found.is_null()) return answer.result(found);
        if (!page.last) return;
        answer.error({RpcCode::not_found, fmt::format("no guest '{}' has an address in {}; see: "
                                                      "lanyard lease list {}",
                                                      printable(guest), config.name, config.name)});
      });
}

GatewayReply pass_on(const RpcAnswer& answer) {
  return [answer](const RpcError* error, const Json& result) {
    if (error != nullptr) return answer.error(*error);
    answer.result(result.is_object() ? result : Json::object());
  };
}

void lease_delete(RpcCall& call) {
  RpcNetwork* const network = served_network(call, "leases");
  if (network == nullptr) return;
  network->ask_gateway("lease.delete", {{"address", rpc_text(call.params, "address")}},
                       pass_on(call.answer));
}

bool has_forward(const NetworkConfig& config, std::string_view name) {
  return std::any_of(config.forwards.begin(), config.forwards.end(),
                     [&](const ForwardConfig& forward) { return forward.name == name; });
}

RpcNetwork* forwarding_network(RpcCall& call) {
  RpcNetwork* const network = required_network(call);
  if (network == nullptr) return nullptr;
  if (network->config().kind == NetworkKind::nat) return network;
  call.answer.error({RpcCode::failed, fmt::format("network {} has no forwards: only networks of "
                                                  "kind nat have; guests of others are reached by "
                                                  "their own addresses",
                                                  network->config().name)});
  return nullptr;
}

void forward_add(RpcCall& call) {
  RpcNetwork* const network = forwarding_network(call);
  if (network == nullptr) return;
  const Result<ForwardConfig> parsed = parse_forward(
      rpc_text(call.params, "name"), rpc_text(call.params, "from"), rpc_text(call.params, "to"));
  if (!parsed) return call.answer.error(parsed.error());
  const ForwardConfig& forward = parsed.value();
  const std::string name = network->config().name;
  if (has_forward(network->config(), forward.name)) {
    return call.answer.error(
        {RpcCode::conflict, fmt::format("{} has a forward '{}' already; end it with: lanyard "
                                        "forward delete {} {}",
                                        name, forward.name, name, forward.name)});
  }
  network->ask_gateway(
      "forward.add", {{"forward", to_json(forward)}},
      [host = &call.host, name, forward, answer = call.answer](const RpcError* error, const Json&) {
        if (error != nullptr) return answer.error(*error);
        RpcNetwork* const same = host->find(name);
        if (same != nullptr) same->forward_added(forward);
        answer.done();
      });
}

void forward_delete(RpcCall& call) {
  RpcNetwork* const network = forwarding_network(call);
  if (network == nullptr) return;
  const std::string forward = rpc_text(call.params, "name");
  const std::string name = network->config().name;
  if (!has_forward(network->config(), forward)) {
    return call.answer.error(
        {RpcCode::not_found, fmt::format("{} has no forward '{}'; see: lanyard forward list {}",
                                         name, printable(forward), name)});
  }
  network->ask_gateway(
      "forward.delete", {{"name", forward}},
      [host = &call.host, name, forward, answer = call.answer](const RpcError* error, const Json&) {
        if (error != nullptr) return answer.error(*error);
        RpcNetwork* const same = host->find(name);
        if (same != nullptr) same->forward_deleted(forward);
        answer.done();
      });
}

constexpr std::array kRows{
    RpcHandlerRow{"lease.list", lease_list},     RpcHandlerRow{"lease.address", lease_address},
    RpcHandlerRow{"lease.delete", lease_delete}, RpcHandlerRow{"forward.list", forward_list},
    RpcHandlerRow{"forward.add", forward_add},   RpcHandlerRow{"forward.delete", forward_delete},
    RpcHandlerRow{"flow.list", flow_list},
};

}  // namespace

std::span<const RpcHandlerRow> rpc_gateway_handlers() {
  return kRows;
}

}  // namespace lanyard

// SPDX-License-Identifier: MIT
#include "switch/network/config_json.h"

#include <cerrno>

#include "switch/network/config_fields.h"

namespace lanyard {
namespace {

// The first problem, as an error.
Error first_problem(const ConfigReport& report) {
  return {EINVAL, config_message(report.items().front())};
}

}  // namespace

Json to_json(const NetworkConfig& network) {
  Json json = encode(network);
  json["name"] = network.name;
  return json;
}

Result<NetworkConfig> network_from_json(const Json& json) {
  if (!json.is_object()) return Error{EINVAL, "a network is a JSON object"};
  ConfigReport report;
  NetworkConfig network;
  Json rest = json;
  if (const auto name = rest.find("name"); name != rest.end()) {
    const ConfigReport::Step step(report, "name");
    decode(network.name, *name, report);
  }
  rest.erase("name");
  decode(network, rest, report);
  if (!report.items().empty()) return first_problem(report);
  if (network.name.empty()) return Error{EINVAL, "the network has no name"};
  return network;
}

Json to_json(const ForwardConfig& forward) {
  return encode(forward);
}

Result<ForwardConfig> forward_from_json(const Json& json) {
  ConfigReport report;
  ForwardConfig forward;
  decode(forward, json, report);
  if (!report.items().empty()) return first_problem(report);
  return forward;
}

}  // namespace lanyard

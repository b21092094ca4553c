// SPDX-License-Identifier: MIT
//
// A line of JSON-RPC: whatever comes is a request, a response or named garbage, and what is
// understood is the same after it was written and read again.
#include "switch/network/json_rpc.h"

#include "switch/network/config_json.h"
#include "tests/fuzz/plain_text.h"

namespace lanyard::fuzz {
namespace {

void check(const RpcRequest& request) {
  require(request.params.is_object(), "parameters are an object");
  const RpcMessage again = parse_rpc(
      request.is_notification ? rpc_notification_line(request.method, request.params)
                              : rpc_request_line(request.id, request.method, request.params));
  const auto* read = std::get_if<RpcRequest>(&again);
  require(read != nullptr && read->method == request.method && read->id == request.id,
          "a request reads back");
  // What gateways and `forward add` read from parameters.
  if (const auto network = network_from_json(request.params)) {
    const auto same = network_from_json(to_json(network.value()));
    require(same.ok() && same.value() == network.value(), "a network reads back");
  }
  if (const auto forward = forward_from_json(request.params)) {
    const auto same = forward_from_json(to_json(forward.value()));
    require(same.ok() && same.value() == forward.value(), "a forward reads back");
  }
}

void check(const RpcResponse& response) {
  const std::string line = response.error ? rpc_error_line(response.id, *response.error)
                                          : rpc_result_line(response.id, response.result);
  require(line.find('\n') == std::string::npos, "a message is one line");
  require(std::holds_alternative<RpcResponse>(parse_rpc(line)), "a response reads back");
}

void check(const RpcGarbage& garbage) {
  require(!garbage.error.message.empty(), "garbage is named");
  require(std::holds_alternative<RpcResponse>(parse_rpc(rpc_error_line(garbage.id, garbage.error))),
          "the answer to garbage is a response");
}

}  // namespace
}  // namespace lanyard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard::fuzz;
  Input input({data, size});
  const lanyard::RpcMessage message = lanyard::parse_rpc(as_text(input.rest()));
  std::visit([](const auto& kind) { check(kind); }, message);
  return 0;
}

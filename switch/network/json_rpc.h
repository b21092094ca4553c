// SPDX-License-Identifier: MIT
//
// JSON-RPC 2.0, an object a line (jsonrpc.org/specification): the words between the daemon and
// `lanyard`, scripts, and its gateways. Only text in and values out, no socket, so it can be
// fuzzed.
//
// Batches are refused. Depth is bounded before a line is parsed, because the parser's own bound is
// memory. The length is bounded by whoever reads the line. Any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "switch/base/json.h"
#include "switch/base/result.h"

namespace lanyard {

constexpr std::size_t kJsonDepthMax = 32;

// The codes of the specification, and ours. Clients turn ours into exit codes.
enum class RpcCode : int {
  parse_error = -32700,
  invalid_request = -32600,
  method_not_found = -32601,
  invalid_params = -32602,
  internal_error = -32603,
  failed = 1,
  not_found = 3,
  not_permitted = 4,
  unreachable = 5,  // a gateway that does not answer
  conflict = 6,     // exists, is busy, overlaps
};

struct RpcError {
  RpcCode code = RpcCode::failed;
  std::string message;  // a sentence for people
};

// Our errors by the errno they hold: ENOENT, ENXIO, ENODEV are not_found; EACCES, EPERM
// not_permitted; EEXIST, EBUSY, EADDRINUSE conflict; EINVAL invalid_params; others failed.
RpcError rpc_error_of(const Error& error);

struct RpcRequest {
  Json id;  // null for a notification
  bool is_notification = false;
  std::string method;
  Json params = Json::object();  // an object always; positional parameters are refused
};

struct RpcResponse {
  Json id;
  Json result;
  std::optional<RpcError> error;
};

// What an unusable line was, with the id when one could be read: the answer to it is ready.
struct RpcGarbage {
  Json id;
  RpcError error;
};

using RpcMessage = std::variant<RpcRequest, RpcResponse, RpcGarbage>;

RpcMessage parse_rpc(std::string_view line);

// A JSON text within bounds; EINVAL with the place where it went wrong.
Result<Json> parse_json(std::string_view text);

// Lines without their newline. Text that is not UTF-8 becomes U+FFFD.
std::string rpc_request_line(const Json& id, std::string_view method, const Json& params);
std::string rpc_notification_line(std::string_view method, const Json& params);
std::string rpc_result_line(const Json& id, const Json& result);
std::string rpc_error_line(const Json& id, const RpcError& error);

}  // namespace lanyard

// SPDX-License-Identifier: MIT
#include "switch/network/json_rpc.h"

#include <cerrno>

namespace lanyard {
namespace {

// Whether the text nests deeper than allowed. Brackets inside strings do not count.
bool too_deep(std::string_view text) {
  std::size_t depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kJsonDepthMax) return true;
    } else if ((c == ']' || c == '}') && depth != 0) {
      --depth;
    }
  }
  return false;
}

bool is_id(const Json& id) {
  return id.is_string() || id.is_number() || id.is_null();
}

std::string dump(const Json& message) {
  return message.dump(-1, ' ', false, Json::error_handler_t::replace);
}

RpcMessage parse_response(const Json& message, const Json& id) {
  RpcResponse response;
  response.id = id;
  if (message.contains("result")) {
    response.result = message["result"];
    return response;
  }
  const Json& error = message["error"];
  if (!error.is_object() || !error.contains("code") || !error["code"].is_number_integer()) {
    return RpcGarbage{id, {RpcCode::invalid_request, "the error has no code"}};
  }
  response.error = RpcError{static_cast<RpcCode>(error["code"].get<int>()),
                            error.contains("message") && error["message"].is_string()
                                ? error["message"].get<std::string>()
                                : std::string("no message")};
  return response;
}

}  // namespace

RpcError rpc_error_of(const Error& error) {
  switch (error.code) {
    case ENOENT:
    case ENXIO:
    case ENODEV:
    case ESRCH: return {RpcCode::not_found, error.text};
    case EACCES:
    case EPERM: return {RpcCode::not_permitted, error.text};
    case EEXIST:
    case EBUSY:
    case EADDRINUSE: return {RpcCode::conflict, error.text};
    case EINVAL: return {RpcCode::invalid_params, error.text};
    case ENOTCONN:
    case ETIMEDOUT: return {RpcCode::unreachable, error.text};
    default: return {RpcCode::failed, error.text};
  }
}

Result<Json> parse_json(std::string_view text) {
  if (too_deep(text)) {
    return Error{EINVAL, "the JSON text nests deeper than " + std::to_string(kJsonDepthMax)};
  }
  try {
    return Json::parse(text);
  } catch (const Json::exception& why) {
    return Error{EINVAL, why.what()};
  }
}

RpcMessage parse_rpc(std::string_view line) {
  Result<Json> parsed = parse_json(line);
  if (!parsed) return RpcGarbage{nullptr, {RpcCode::parse_error, parsed.error().text}};
  const Json& message = parsed.value();
  if (message.is_array()) {
    return RpcGarbage{nullptr, {RpcCode::invalid_request, "batches are not supported"}};
  }
  if (!message.is_object() || message.value("jsonrpc", Json()) != "2.0") {
    return RpcGarbage{nullptr, {RpcCode::invalid_request, "not a JSON-RPC 2.0 object"}};
  }
  const Json id = message.value("id", Json());
  if (!is_id(id)) {
    return RpcGarbage{nullptr, {RpcCode::invalid_request, "the id is no string or number"}};
  }
  if (!message.contains("method")) {
    if (message.contains("result") || message.contains("error")) return parse_response(message, id);
    return RpcGarbage{id, {RpcCode::invalid_request, "there is no method"}};
  }
  if (!message["method"].is_string()) {
    return RpcGarbage{id, {RpcCode::invalid_request, "the method is no string"}};
  }
  RpcRequest request;
  request.id = id;
  request.is_notification = !message.contains("id");
  request.method = message["method"].get<std::string>();
  if (message.contains("params")) request.params = message["params"];
  if (!request.params.is_object()) {
    return RpcGarbage{id, {RpcCode::invalid_params, "the parameters must be an object"}};
  }
  return request;
}

std::string rpc_request_line(const Json& id, std::string_view method, const Json& params) {
  return dump({{"jsonrpc", "2.0"}, {"id", id}, {"method", method}, {"params", params}});
}

std::string rpc_notification_line(std::string_view method, const Json& params) {
  return dump({{"jsonrpc", "2.0"}, {"method", method}, {"params", params}});
}

std::string rpc_result_line(const Json& id, const Json& result) {
  return dump({{"jsonrpc", "2.0"}, {"id", id}, {"result", result}});
}

std::string rpc_error_line(const Json& id, const RpcError& error) {
  return dump({{"jsonrpc", "2.0"},
               {"id", id},
               {"error", {{"code", static_cast<int>(error.code)}, {"message", error.message}}}});
}

}  // namespace lanyard

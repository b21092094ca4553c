// SPDX-License-Identifier: MIT
#include "switch/network/json_rpc.h"

#include <gmock/gmock.h>

#include <cerrno>

#include "switch/network/rpc_methods.h"

namespace lanyard {
namespace {

RpcCode garbage_code(std::string_view line) {
  const RpcMessage message = parse_rpc(line);
  const auto* garbage = std::get_if<RpcGarbage>(&message);
  EXPECT_NE(garbage, nullptr) << line;
  return garbage == nullptr ? RpcCode::failed : garbage->error.code;
}

TEST(JsonRpc, ReadsWhatItWrites) {
  const RpcMessage request = parse_rpc(rpc_request_line(7, "port.list", {{"network", "lab"}}));
  ASSERT_TRUE(std::holds_alternative<RpcRequest>(request));
  EXPECT_EQ(std::get<RpcRequest>(request).id, 7);
  EXPECT_EQ(std::get<RpcRequest>(request).params["network"], "lab");
  EXPECT_FALSE(std::get<RpcRequest>(request).is_notification);
  const RpcMessage event = parse_rpc(rpc_notification_line("event", Json::object()));
  EXPECT_TRUE(std::get<RpcRequest>(event).is_notification);
  const RpcMessage result = parse_rpc(rpc_result_line("a", {{"x", 1}}));
  EXPECT_EQ(std::get<RpcResponse>(result).result["x"], 1);
  const RpcMessage error = parse_rpc(rpc_error_line(7, {RpcCode::conflict, "busy"}));
  EXPECT_EQ(std::get<RpcResponse>(error).error->code, RpcCode::conflict);
  EXPECT_EQ(std::get<RpcResponse>(error).error->message, "busy");
}

TEST(JsonRpc, NamesWhatItCannotUse) {
  EXPECT_EQ(garbage_code(""), RpcCode::parse_error);
  EXPECT_EQ(garbage_code("{"), RpcCode::parse_error);
  EXPECT_EQ(garbage_code("[]"), RpcCode::invalid_request);
  EXPECT_EQ(garbage_code("7"), RpcCode::invalid_request);
  EXPECT_EQ(garbage_code(R"({"jsonrpc":"1.0","method":"a"})"), RpcCode::invalid_request);
  EXPECT_EQ(garbage_code(R"({"jsonrpc":"2.0"})"), RpcCode::invalid_request);
  EXPECT_EQ(garbage_code(R"({"jsonrpc":"2.0","method":7})"), RpcCode::invalid_request);
  EXPECT_EQ(garbage_code(R"({"jsonrpc":"2.0","id":{},"method":"a"})"), RpcCode::invalid_request);
  EXPECT_EQ(garbage_code(R"({"jsonrpc":"2.0","id":1,"method":"a","params":[1]})"),
            RpcCode::invalid_params);
  EXPECT_EQ(garbage_code(R"({"jsonrpc":"2.0","id":1,"error":7})"), RpcCode::invalid_request);
}

TEST(JsonRpc, RefusesDepthBeforeItCostsMemory) {
  const auto nested = [](std::size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_TRUE(parse_json(nested(kJsonDepthMax)));
  EXPECT_FALSE(parse_json(nested(kJsonDepthMax + 1)));
  EXPECT_EQ(garbage_code(std::string(1 << 20, '[')), RpcCode::parse_error);
  EXPECT_TRUE(parse_json("\"" + std::string(1000, '[') + "\\\"[\""));
}

TEST(JsonRpc, WritesTextThatIsNotUtf8) {
  const std::string line = rpc_result_line(1, {{"name", "\xff\xfe"}});
  EXPECT_THAT(line, testing::HasSubstr("\xef\xbf\xbd"));
  EXPECT_EQ(line.find('\n'), std::string::npos);
}

TEST(JsonRpc, TellsErrnoApart) {
  EXPECT_EQ(rpc_error_of({ENOENT, ""}).code, RpcCode::not_found);
  EXPECT_EQ(rpc_error_of({EPERM, ""}).code, RpcCode::not_permitted);
  EXPECT_EQ(rpc_error_of({EADDRINUSE, ""}).code, RpcCode::conflict);
  EXPECT_EQ(rpc_error_of({EIO, ""}).code, RpcCode::failed);
}

TEST(RpcMethods, AreSortedByObjectAndFoundByName) {
  std::string_view last;
  for (const RpcMethod& method : rpc_methods()) {
    EXPECT_LE(last, method.object);
    last = method.object;
    const std::string name = std::string(method.object) + "." + std::string(method.verb);
    EXPECT_EQ(find_rpc_method(name), &method);
    bool optional = false;
    for (const RpcParameter& parameter : method.parameters) {
      EXPECT_FALSE(parameter.required && optional) << name << ": " << parameter.name;
      optional = optional || !parameter.required;
    }
  }
  EXPECT_EQ(find_rpc_method("port"), nullptr);
  EXPECT_EQ(find_rpc_method("port.lists"), nullptr);
  EXPECT_EQ(find_rpc_method(""), nullptr);
}

}  // namespace
}  // namespace lanyard

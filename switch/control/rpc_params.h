// SPDX-License-Identifier: MIT
//
// Parameters held against the table of methods, in one place, so that a method sees only names it
// knows and types it expects. Pure; any thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "switch/network/json_rpc.h"
#include "switch/network/rpc_methods.h"

namespace lanyard {

// What is wrong with them, naming the parameter; nullopt when nothing is.
std::optional<RpcError> check_rpc_params(const RpcMethod& method, const Json& params);

// Whom the method name `unknown` may have meant.
RpcError unknown_rpc_method(std::string_view unknown);

// The one of `known` that is nearest to a misspelt word; empty when none is near.
std::string_view nearest_word(std::string_view word, std::span<const std::string_view> known);

// A number within bounds; EINVAL names the parameter.
Result<std::int64_t> rpc_number(const Json& params, std::string_view name, std::int64_t low,
                                std::int64_t high);
// The string, or empty when it is not given.
std::string rpc_text(const Json& params, std::string_view name);

}  // namespace lanyard

// SPDX-License-Identifier: MIT
//
// Results of the daemon as text for people: tables with aligned columns, names with values, one
// line an event. Names and labels come from guests, so all text goes through printable().
// Pure; any thread.
#pragma once

#include <string>

#include "switch/network/json_rpc.h"
#include "switch/network/rpc_methods.h"

namespace lanyard {

// One value, on one line.
std::string value_text(const Json& value);

// The rows of a table with its headings; a table of one column has none.
std::string table_text(const Json& rows, std::span<const RpcColumn> columns);

// What a method answered. Ends with a newline, or is empty.
std::string result_text(const RpcMethod& method, const Json& result);

// "2026-01-31T12:00:00Z port.up network=lab port=3"
std::string event_text(const Json& event);

}  // namespace lanyard

// SPDX-License-Identifier: MIT
//
// The one table of what can be asked of a running daemon. The daemon checks parameters and rights
// by it, `lanyard` reads its command line, prints its text, help and completion by it, and a test
// holds the manual page against it. A result is a JSON object; where `rows` names an array in it,
// text output is a table of those columns. Any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace lanyard {

enum class RpcRole : std::uint8_t { viewer, admin };

enum class RpcType : std::uint8_t { string, number, boolean, object };

struct RpcParameter {
  std::string_view name;
  RpcType type = RpcType::string;
  bool required = false;       // on the command line also by position, in this order
  std::string_view completes;  // what to offer: "network", "port", "forward", ...; may be empty
  std::string_view help;
};

struct RpcColumn {
  std::string_view key;    // in each row
  std::string_view title;  // "PORT"
};

struct RpcMethod {
  std::string_view object;  // "port"
  std::string_view verb;    // "list"; the method is "port.list"
  RpcRole role = RpcRole::viewer;
  std::span<const RpcParameter> parameters;
  std::string_view rows;  // the array in the result that text output shows; may be empty
  std::span<const RpcColumn> columns;
  std::string_view help;
};

// Sorted by object, then in the order in which help lists them.
std::span<const RpcMethod> rpc_methods();

// By "object.verb"; null when there is none.
const RpcMethod* find_rpc_method(std::string_view name);

// What `event.subscribe` streams as notifications of method "event": the "kind" of each, and help.
struct RpcEventKind {
  std::string_view kind;
  std::string_view help;
};
std::span<const RpcEventKind> rpc_event_kinds();

}  // namespace lanyard

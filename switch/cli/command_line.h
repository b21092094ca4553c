// SPDX-License-Identifier: MIT
//
// The command line of `lanyard`, read by the table of methods and that of shortcuts: objects and
// verbs may be shortened as long as it is clear what is meant, parameters stand by position or as
// key=value. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "switch/base/result.h"
#include "switch/cli/shortcuts.h"
#include "switch/network/json_rpc.h"
#include "switch/network/rpc_methods.h"

namespace lanyard {

// What a program says by its exit status.
enum class ExitCode : int {
  ok = 0,
  failed = 1,
  usage = 2,
  not_found = 3,
  not_permitted = 4,
  unreachable = 5,
  conflict = 6,
};

ExitCode exit_code_of(RpcCode code);

struct CommandLine {
  bool json = false;
  bool help = false;
  bool version = false;
  std::string control;  // empty: control_socket_path()

  // One of the two, or neither: no command.
  const RpcMethod* method = nullptr;
  Json params = Json::object();
  const Shortcut* shortcut = nullptr;
  std::vector<std::string> arguments;  // of the shortcut

  std::string object;     // for help about a whole object
  std::string complaint;  // what cannot be understood, with what would be right
};

CommandLine parse_command_line(const std::vector<std::string>& words);

// "forward add NETWORK NAME FROM TO"
std::string method_synopsis(const RpcMethod& method);

// The names of objects, each once.
std::vector<std::string_view> rpc_objects();
std::vector<const RpcMethod*> methods_of(std::string_view object);

std::string help_text();
std::string object_help(std::string_view object);
std::string method_help(const RpcMethod& method);
std::string shortcut_help(const Shortcut& shortcut);

}  // namespace lanyard

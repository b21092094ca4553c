// SPDX-License-Identifier: MIT
//
// `lanyard up`: the first command anybody types. It ends with the networks there and the line to
// paste, or with what is wrong.
#include <unistd.h>

#include <cstdio>

#include "switch/base/text.h"
#include "switch/cli/daemon_start.h"
#include "switch/cli/plug_lines.h"
#include "switch/cli/program.h"
#include "switch/cli/render.h"
#include "switch/network/config_file.h"
#include "switch/network/paths.h"

namespace lanyard {
namespace {

// The networks and how to plug in.
std::string up_text(const Json& status) {
  std::string out = result_text(*find_rpc_method("daemon.status"), status);
  if (!status.is_object()) return out;
  const Json rows = status.value("networks", Json::array());
  if (!rows.empty())
    out += "\nPlug QEMU in with (vm=NAME in `lanyard qemu` gives each VM its MAC):\n";
  for (const Json& row : rows) {
    if (!row.is_object() || !row.contains("name") || !row.contains("socket")) continue;
    if (!row["name"].is_string() || !row["socket"].is_string()) continue;
    const PlugPlace place{row["name"].get<std::string>(), row["socket"].get<std::string>(), {}};
    append(out, "  {}\n", printable(qemu_line(place, 0, "vm1")));
  }
  return out;
}

}  // namespace

// What `up` would have done, when a daemon runs already.
ExitCode Program::diff_running(RpcClientSocket& daemon, const std::string& file) {
  Json params = Json::object();
  if (!file.empty()) params["file"] = file;
  std::string changes;
  if (!file.empty()) {
    const auto answer = daemon.call("config.diff", params, kRpcTimeout);
    if (const auto* error = std::get_if<RpcError>(&answer)) return fail(*error);
    const Json& result = std::get<Json>(answer);
    if (result.is_object() && !result.value("changes", Json::array()).empty()) {
      changes = result_text(*find_rpc_method("config.diff"), result);
    }
  }
  if (!changes.empty()) {
    return fail({RpcCode::conflict,
                 fmt::format("a daemon runs already at {}, and {} differs from what runs; see "
                             "`lanyard diff {}`, then: lanyard reload {}",
                             control_, file, file, file)});
  }
  const auto status = daemon.call("daemon.status", Json::object(), kRpcTimeout);
  if (const auto* error = std::get_if<RpcError>(&status)) return fail(*error);
  if (!line_.json) print_out(fmt::format("A daemon runs already at {}.\n", control_));
  if (line_.json) {
    print(*find_rpc_method("daemon.status"), std::get<Json>(status));
  } else {
    print_out(up_text(std::get<Json>(status)));
  }
  return ExitCode::ok;
}

ExitCode Program::up() {
  std::string file = first_argument_as_path();
  if (file.empty() && ::access(default_config_path().c_str(), F_OK) == 0) {
    file = default_config_path();
  }
  auto running = RpcClientSocket::open(control_);
  if (auto* daemon = std::get_if<RpcClientSocket>(&running)) return diff_running(*daemon, file);
  if (const auto* error = std::get_if<RpcError>(&running);
      error != nullptr && error->code != RpcCode::unreachable) {
    return fail(*error);
  }
  if (!file.empty()) {
    const ConfigOutcome outcome = read_config_file(file);
    if (!outcome.problems.empty()) {
      std::string text;
      for (const ConfigProblem& problem : outcome.problems) {
        append(text, "{}{}", text.empty() ? "" : "\n", problem.message());
      }
      if (line_.json) return fail({RpcCode::failed, text});
      std::fprintf(stderr, "%s\n", text.c_str());
      return ExitCode::failed;
    }
  }
  if (const auto error = start_daemon({file, line_.control})) return fail(*error);
  ExitCode code = ExitCode::ok;
  auto daemon = connect(code);
  if (!daemon) return code;
  const auto status = daemon->call("daemon.status", Json::object(), kRpcTimeout);
  if (const auto* error = std::get_if<RpcError>(&status)) return fail(*error);
  if (line_.json) {
    print(*find_rpc_method("daemon.status"), std::get<Json>(status));
  } else {
    print_out(up_text(std::get<Json>(status)));
  }
  return ExitCode::ok;
}

}  // namespace lanyard

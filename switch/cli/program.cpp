// SPDX-License-Identifier: MIT
#include "switch/cli/program.h"

#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "switch/base/text.h"
#include "switch/base/version.h"
#include "switch/cli/render.h"
#include "switch/network/config_json.h"
#include "switch/network/paths.h"
#include "switch/network/port_holder.h"

namespace lanyard {
namespace {

// A port that cannot be had has a holder, and who sits at the command line may see more of it than
// the confined gateway that was refused.
RpcError with_port_holder(const RpcMethod& method, const Json& params, RpcError error) {
  if (method.object != "forward" || method.verb != "add" || error.code != RpcCode::conflict) {
    return error;
  }
  const auto text = [&](const char* key) { return params.value(key, std::string()); };
  const Result<ForwardConfig> forward = parse_forward(text("name"), text("from"), text("to"));
  if (!forward || !forward.value().unix_path.empty()) return error;
  for (std::uint16_t i = 0; i < forward.value().ports; ++i) {
    const auto port = static_cast<std::uint16_t>(forward.value().host_port + i);
    const std::string holder = port_holder(forward.value().transport, port);
    if (holder.empty()) continue;
    append(error.message, "; {} has port {}", holder, port);
    break;
  }
  return error;
}

}  // namespace

void print_out(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

std::string absolute_path(const std::string& path) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.lexically_normal().string();
}

Program::Program(CommandLine line)
    : line_(std::move(line)),
      control_(line_.control.empty() ? control_socket_path() : line_.control) {}

ExitCode Program::run() {
  if (line_.version) {
    print_out("lanyard " LANYARD_VERSION "\n");
    return ExitCode::ok;
  }
  if (!line_.complaint.empty()) return usage(line_.complaint);
  if (line_.help || (line_.shortcut != nullptr && line_.shortcut->name == "help")) return help();
  if (line_.shortcut != nullptr) return run_shortcut();
  if (line_.method != nullptr) return call(*line_.method, line_.params);
  std::fputs(help_text().c_str(), stderr);
  return ExitCode::usage;
}

ExitCode Program::fail(const RpcError& error) const {
  if (line_.json) {
    const Json json = {
        {"error", {{"code", static_cast<int>(error.code)}, {"message", error.message}}}};
    std::fprintf(stderr, "%s\n", json.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    std::fprintf(stderr, "lanyard: %s\n", printable(error.message).c_str());
  }
  return exit_code_of(error.code);
}

ExitCode Program::usage(const std::string& complaint) const {
  return fail({RpcCode::invalid_params, complaint});
}

std::optional<RpcClientSocket> Program::connect(ExitCode& code) const {
  auto opened = RpcClientSocket::open(control_);
  if (const auto* error = std::get_if<RpcError>(&opened)) {
    code = fail(*error);
    return std::nullopt;
  }
  return std::move(std::get<RpcClientSocket>(opened));
}

void Program::print(const RpcMethod& method, const Json& result) const {
  print_out(line_.json ? result.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"
                       : result_text(method, result));
}

ExitCode Program::call(const RpcMethod& method, Json params) {
  if (method.object == "event") return watch();
  for (const RpcParameter& parameter : method.parameters) {
    const std::string name(parameter.name);
    if (parameter.completes == "file" && params.contains(name)) {
      params[name] = absolute_path(params[name].get<std::string>());
    }
  }
  ExitCode code = ExitCode::ok;
  auto daemon = connect(code);
  if (!daemon) return code;
  const auto answer =
      daemon->call(fmt::format("{}.{}", method.object, method.verb), params, kRpcTimeout);
  if (const auto* error = std::get_if<RpcError>(&answer)) {
    return fail(with_port_holder(method, params, *error));
  }
  const Json& result = std::get<Json>(answer);
  print(method, result);
  const bool has_problems = method.rows == "problems" && result.is_object() &&
                            result.contains("problems") && !result["problems"].empty();
  return has_problems ? ExitCode::failed : ExitCode::ok;
}

ExitCode Program::help() {
  std::string text;
  if (line_.shortcut != nullptr && line_.shortcut->name == "help") {
    std::vector<std::string> words = line_.arguments;
    words.emplace_back("--help");
    line_ = parse_command_line(words);
    if (!line_.complaint.empty()) return usage(line_.complaint);
  }
  if (line_.method != nullptr) {
    text = method_help(*line_.method);
  } else if (line_.shortcut != nullptr) {
    text = shortcut_help(*line_.shortcut);
  } else {
    text = line_.object.empty() ? help_text() : object_help(line_.object);
  }
  print_out(text);
  return ExitCode::ok;
}

}  // namespace lanyard

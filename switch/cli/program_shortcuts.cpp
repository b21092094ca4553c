// SPDX-License-Identifier: MIT
//
// The shortcuts that ask, look and print; `up` is in program_up.cpp.
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <thread>
#include <vector>

#include "switch/base/fd.h"
#include "switch/base/text.h"
#include "switch/cli/completion.h"
#include "switch/cli/plug_lines.h"
#include "switch/cli/program.h"
#include "switch/cli/render.h"
#include "switch/cli/tool.h"
#include "switch/control/plugin_file.h"
#include "switch/host/doctor.h"
#include "switch/network/config_file.h"
#include "switch/network/paths.h"

namespace lanyard {
namespace {

constexpr std::chrono::milliseconds kEndTimeout{10000};
constexpr std::chrono::milliseconds kCompletionTimeout{300};
constexpr std::chrono::milliseconds kStatusTimeout{5000};
constexpr int kWatchTries = 5;
constexpr std::chrono::milliseconds kWatchPause{100};

std::string text_member(const Json& object, const char* key) {
  return object.is_object() && object.contains(key) && object[key].is_string()
             ? object[key].get<std::string>()
             : std::string();
}

// None when no daemon answers, or one that says nothing of its processes.
std::vector<DoctorProcess> processes_of_daemon(const std::string& control) {
  std::vector<DoctorProcess> processes;
  auto opened = RpcClientSocket::open(control);
  auto* const daemon = std::get_if<RpcClientSocket>(&opened);
  if (daemon == nullptr) return processes;
  const auto answer = daemon->call("daemon.status", Json::object(), kStatusTimeout);
  const auto* const status = std::get_if<Json>(&answer);
  if (status == nullptr || !status->is_object()) return processes;
  for (const Json& row : status->value("processes", Json::array())) {
    if (!row.is_object() || !row.contains("pid") || !row["pid"].is_number_integer()) continue;
    processes.push_back({text_member(row, "process"), row["pid"].get<pid_t>()});
  }
  return processes;
}

std::string_view level_text(DoctorFinding::Level level) {
  switch (level) {
    case DoctorFinding::Level::ok: return "ok";
    case DoctorFinding::Level::note: return "note";
    case DoctorFinding::Level::problem: return "problem";
  }
  return "";
}

// pidfds of what the answer names and what is still there.
std::vector<UniqueFd> processes_of(const Json& answer) {
  std::vector<UniqueFd> found;
  if (!answer.is_object() || !answer.contains("processes")) return found;
  for (const Json& pid : answer["processes"]) {
    if (!pid.is_number_integer()) continue;
    UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid.get<pid_t>(), 0)));
    if (process) found.push_back(std::move(process));
  }
  return found;
}

bool wait_for_ends(const std::vector<UniqueFd>& processes, std::chrono::milliseconds timeout) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + timeout;
  return std::all_of(processes.begin(), processes.end(), [&](const UniqueFd& process) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd ended{process.get(), POLLIN, 0};
    return ::poll(&ended, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0))) > 0;
  });
}

}  // namespace

ExitCode Program::run_shortcut() {
  using Run = ExitCode (Program::*)();
  constexpr std::array<std::pair<std::string_view, Run>, 8> kRuns{{
      {"up", &Program::up},
      {"down", &Program::down},
      {"check", &Program::check},
      {"watch", &Program::watch},
      {"qemu", &Program::qemu},
      {"doctor", &Program::doctor},
      {"completion", &Program::completion},
      {"help", &Program::help},
  }};
  for (const auto& [name, run] : kRuns) {
    if (name == line_.shortcut->name) return (this->*run)();
  }
  if (const Tool* const tool = find_tool(line_.shortcut->name)) {
    return run_tool(*tool, line_.arguments);
  }
  Json params = Json::object();
  if (!line_.arguments.empty()) params["file"] = line_.arguments.front();
  return call(*find_rpc_method(line_.shortcut->method), params);
}

std::string Program::first_argument_as_path() const {
  return line_.arguments.empty() ? std::string() : absolute_path(line_.arguments.front());
}

ExitCode Program::down() {
  ExitCode code = ExitCode::ok;
  auto daemon = connect(code);
  if (!daemon) return code;
  const auto answer = daemon->call("daemon.stop", Json::object(), kRpcTimeout);
  if (const auto* error = std::get_if<RpcError>(&answer)) return fail(*error);
  const std::vector<UniqueFd> processes = processes_of(std::get<Json>(answer));
  if (!daemon->wait_for_end(kEndTimeout) || !wait_for_ends(processes, kEndTimeout)) {
    return fail({RpcCode::failed, "the daemon has been told to end, but is still there"});
  }
  if (line_.json) print_out("{}\n");
  return ExitCode::ok;
}

// Without a daemon: the file is read here.
ExitCode Program::check() {
  const std::string file =
      line_.arguments.empty() ? default_config_path() : line_.arguments.front();
  ConfigOutcome outcome = read_config_file(file);
  for (std::string& text : plugin_file_problems(outcome.configuration)) {
    outcome.problems.push_back({file, 0, 0, std::move(text)});
  }
  if (line_.json) {
    Json problems = Json::array();
    for (const ConfigProblem& problem : outcome.problems) {
      problems.push_back({{"file", problem.file},
                          {"line", problem.line},
                          {"column", problem.column},
                          {"text", problem.text}});
    }
    print_out(Json{{"problems", problems}}.dump(-1, ' ', false, Json::error_handler_t::replace) +
              "\n");
  } else {
    for (const ConfigProblem& problem : outcome.problems) print_out(problem.message() + "\n");
    if (outcome.problems.empty()) {
      print_out(fmt::format("{}: {} network{}, no problems\n", file,
                            outcome.configuration.networks.size(),
                            outcome.configuration.networks.size() == 1 ? "" : "s"));
    }
  }
  return outcome.problems.empty() ? ExitCode::ok : ExitCode::failed;
}

ExitCode Program::watch() {
  Json params = line_.params;
  if (!line_.arguments.empty()) params["kinds"] = line_.arguments.front();
  ExitCode code = ExitCode::ok;
  auto daemon = connect(code);
  if (!daemon) return code;
  const auto answer = daemon->call("event.subscribe", params, kRpcTimeout);
  if (const auto* error = std::get_if<RpcError>(&answer)) return fail(*error);
  do {
    while (const auto event = daemon->next_notification()) {
      print_out(line_.json ? event->dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"
                           : event_text(*event));
      // Nobody reads any more.
      if (std::ferror(stdout) != 0) return ExitCode::ok;
    }
    daemon = watch_again(params);
  } while (daemon);
  return fail({RpcCode::unreachable, "the daemon has ended"});
}

// A keeper holds the socket of a daemon that has crashed, and another goes on with it. Without one
// nobody answers there.
std::optional<RpcClientSocket> Program::watch_again(const Json& params) const {
  for (int tries = 0; tries < kWatchTries; ++tries) {
    auto opened = RpcClientSocket::open(control_);
    auto* const daemon = std::get_if<RpcClientSocket>(&opened);
    if (daemon == nullptr) return std::nullopt;
    if (std::holds_alternative<Json>(daemon->call("event.subscribe", params, kRpcTimeout))) {
      std::fputs("lanyard: the daemon has come back; what happened meanwhile is not shown\n",
                 stderr);
      return std::move(*daemon);
    }
    std::this_thread::sleep_for(kWatchPause);
  }
  return std::nullopt;
}

ExitCode Program::qemu() {
  std::vector<std::string> names;
  std::string vm = "vm1";
  std::string target;
  for (const std::string& word : line_.arguments) {
    if (word.starts_with("vm=")) {
      vm = word.substr(3);
    } else if (word.starts_with("for=")) {
      target = word.substr(4);
    } else {
      names.push_back(word);
    }
  }
  if (names.empty()) return usage("which network? usage: lanyard qemu NETWORK...");
  if (!target.empty() && target != "qemu" && target != "virtualbox" && target != "libvirt") {
    return usage(fmt::format("\"{}\" is none of qemu, virtualbox and libvirt", printable(target)));
  }
  ExitCode code = ExitCode::ok;
  auto daemon = connect(code);
  if (!daemon) return code;
  const auto answer = daemon->call("network.list", Json::object(), kRpcTimeout);
  if (const auto* error = std::get_if<RpcError>(&answer)) return fail(*error);
  std::vector<PlugPlace> places;
  const Json rows = std::get<Json>(answer).value("networks", Json::array());
  for (const std::string& name : names) {
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const Json& candidate) {
      return text_member(candidate, "name") == name;
    });
    if (row == rows.end()) {
      return fail({RpcCode::not_found,
                   fmt::format("there is no network {}; `lanyard network list` lists them", name)});
    }
    places.push_back({name, text_member(*row, "socket"), text_member(*row, "interface")});
  }
  std::string qemu_text;
  for (std::size_t i = 0; i < places.size(); ++i) qemu_text += qemu_line(places[i], i, vm) + "\n";
  if (line_.json) {
    print_out(Json{{"qemu", qemu_text},
                   {"virtualbox", virtualbox_lines(places, vm)},
                   {"libvirt", libvirt_lines(places, vm)}}
                  .dump() +
              "\n");
    return ExitCode::ok;
  }
  if (target == "qemu") print_out(qemu_text);
  if (target == "virtualbox") print_out(virtualbox_lines(places, vm));
  if (target == "libvirt") print_out(libvirt_lines(places, vm));
  if (target.empty()) {
    print_out(fmt::format("# QEMU\n{}\n# VirtualBox\n{}\n# libvirt\n{}", qemu_text,
                          virtualbox_lines(places, vm), libvirt_lines(places, vm)));
  }
  return ExitCode::ok;
}

ExitCode Program::doctor() {
  const std::string file =
      line_.arguments.empty() ? default_config_path() : line_.arguments.front();
  const bool named = !line_.arguments.empty();
  ConfigOutcome outcome = read_config_file(file);
  const bool missing = outcome.problems.size() == 1 && outcome.problems.front().line == 0;
  if (!outcome.problems.empty() && (named || !missing)) {
    for (const ConfigProblem& problem : outcome.problems) {
      std::fprintf(stderr, "%s\n", problem.message().c_str());
    }
    return ExitCode::failed;
  }
  if (missing) outcome.configuration = default_configuration(::geteuid() == 0);
  DoctorContext context = doctor_context_of_this_host(outcome.configuration.networks, control_);
  context.processes = processes_of_daemon(control_);
  const auto findings = run_doctor(context);
  Json rows = Json::array();
  std::string text;
  bool problems = false;
  for (const DoctorFinding& finding : findings) {
    const std::string_view level = level_text(finding.level);
    problems = problems || finding.level == DoctorFinding::Level::problem;
    rows.push_back(
        {{"level", std::string(level)}, {"what", finding.what}, {"remedy", finding.remedy}});
    append(text, "{:<8} {}\n", level, printable(finding.what));
    if (!finding.remedy.empty())
      append(text, "{:<8} mend it with: {}\n", "", printable(finding.remedy));
  }
  print_out(line_.json
                ? Json{{"findings", rows}}.dump(-1, ' ', false, Json::error_handler_t::replace) +
                      "\n"
                : text);
  return problems ? ExitCode::failed : ExitCode::ok;
}

ExitCode Program::completion() {
  if (line_.arguments.empty() || line_.arguments.front() != "bash") {
    return usage("of which shell? There is: lanyard completion bash");
  }
  print_out(bash_completion());
  return ExitCode::ok;
}

ExitCode complete_words(const std::vector<std::string>& words) {
  std::string control = control_socket_path();
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] == "--control") control = words[i + 1];
  }
  const auto ask = [&](std::string_view method, const Json& params) -> std::optional<Json> {
    auto opened = RpcClientSocket::open(control);
    auto* daemon = std::get_if<RpcClientSocket>(&opened);
    if (daemon == nullptr) return std::nullopt;
    auto answer = daemon->call(method, params, kCompletionTimeout);
    auto* result = std::get_if<Json>(&answer);
    return result == nullptr ? std::nullopt : std::optional<Json>(std::move(*result));
  };
  for (const std::string& word : complete(words, ask)) print_out(word + "\n");
  return ExitCode::ok;
}

}  // namespace lanyard

// SPDX-License-Identifier: MIT
//
// `lanyard plug`: standard input and output, or those of a command, as a cable. It stands in for
// vde_plug and speaks with it, on this machine and over ssh.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "backend/stream_endpoint.h"
#include "switch/base/text.h"
#include "switch/cli/tool.h"
#include "switch/cli/tool_wire.h"

namespace lanyard {
namespace {

constexpr std::array kOptions{
    ToolOption{'p', "port", true},
    ToolOption{'m', "mode", true},
    ToolOption{'g', "group", true},
    ToolOption{0, "frame-max", true},
};

struct Streams {
  UniqueFd input;
  UniqueFd output;
};

// What the command line asks of the switch at the other end, where vdeplug's programs write it.
Result<BackendOptions> address_of(const ToolArguments& arguments) {
  std::string text;
  if (arguments.words.empty() || arguments.words[0].empty()) {
    text = ::access("/var/run/vde.ctl", F_OK) == 0 ? "/var/run/vde.ctl" : "/tmp/vde.ctl";
  } else {
    text = arguments.words[0];
  }
  std::string brackets;
  for (const std::string_view name : {"port", "mode", "group"}) {
    if (const std::string* const value = arguments.find(name); value != nullptr) {
      append(brackets, "{}{}={}", brackets.empty() ? "" : "/", name, *value);
    }
  }
  if (!brackets.empty()) {
    if (text.ends_with(']')) {
      text.pop_back();
      append(text, "/{}]", brackets);
    } else {
      append(text, "[{}]", brackets);
    }
  }
  Result<BackendOptions> options = BackendOptions::parse(end_address(text));
  if (!options || options.value().kind() != "plug") return options;
  BackendOptions& plug = options.value();
  if (plug.find("reconnect") == nullptr) plug.set("reconnect", "off");
  const std::string* const frame_max = arguments.find("frame-max");
  if (plug.find("frame_max") == nullptr) {
    plug.set("frame_max", frame_max != nullptr ? *frame_max : "9234");
  }
  return options;
}

// Out of the way of what else uses the numbers 0 and 1.
Result<Streams> standard_streams() {
  if (::isatty(STDIN_FILENO) != 0 || ::isatty(STDOUT_FILENO) != 0) {
    return Error{ENOTTY, "frames are not for a terminal: dpipe lanyard plug A = vde_plug B"};
  }
  Streams streams{UniqueFd(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)),
                  UniqueFd(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3))};
  if (!streams.input || !streams.output) {
    return Error{errno, fmt::format("standard input and output: {}", std::strerror(errno))};
  }
  return streams;
}

// The command's standard input and output are one socket, as vde_plug gives it.
Result<Streams> start_command(const ToolWords& words, pid_t& child) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return Error{errno, fmt::format("socketpair: {}", std::strerror(errno))};
  }
  Streams streams{UniqueFd(ends[0]), UniqueFd(::fcntl(ends[0], F_DUPFD_CLOEXEC, 3))};
  const UniqueFd theirs(ends[1]);
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  child = ::fork();
  if (child < 0) return Error{errno, fmt::format("fork: {}", std::strerror(errno))};
  if (child == 0) {
    ::signal(SIGPIPE, SIG_DFL);
    ::dup2(theirs.get(), STDIN_FILENO);
    ::dup2(theirs.get(), STDOUT_FILENO);
    ::execvp(argv[0], argv.data());
    std::fputs(fmt::format("lanyard plug: {}: {}\n", words[0], std::strerror(errno)).c_str(),
               stderr);
    ::_exit(127);
  }
  return streams;
}

class PlugTool {
 public:
  explicit PlugTool(std::unique_ptr<EventLoop> loop)
      : loop_(std::move(loop)), wire_(*loop_, log_) {}
  ~PlugTool() {
    if (child_ <= 0) return;
    ::kill(child_, SIGTERM);
    ::waitpid(child_, nullptr, 0);
  }

  Result<void> run(const BackendOptions& address, const ToolWords& command) {
    // Before the signals are blocked, which a command would inherit.
    Result<Streams> streams = command.empty() ? standard_streams() : start_command(command, child_);
    if (!streams) return streams.error();
    if (Result<void> done = stop_at_signals(*loop_, signals_, signal_watch_); !done) return done;
    if (Result<void> done = wire_.open(address, ToolWire::kLeft); !done) return done;
    while (!loop_->stopped() && !wire_.carries(ToolWire::kLeft)) {
      if (wire_.has_ended(ToolWire::kLeft)) return Error{ENOTCONN, ""};
      wire_.lane().turn();
    }
    if (Result<void> done = plug_streams(streams.take()); !done) return done;
    while (!loop_->stopped() && wire_.carries(ToolWire::kLeft) && wire_.carries(ToolWire::kRight)) {
      wire_.lane().turn();
    }
    return {};
  }

 private:
  Result<void> plug_streams(Streams streams) {
    PlugRequest request;
    request.port = ToolWire::kRight;
    request.traits.module = "stream";
    Result<PortId> port = wire_.lane().reserve(request);
    if (!port) return port.error();
    StreamEndpoint::Settings settings;
    settings.label = "standard input and output";
    auto endpoint = std::make_unique<StreamEndpoint>(
        std::move(streams.input), std::move(streams.output), settings, *loop_, wire_.pool());
    Result<Plug*> plug =
        wire_.lane().plug(port.value(), std::move(endpoint), std::move(request.traits), nullptr);
    if (!plug) return plug.error();
    return {};
  }

  ToolLog log_{"plug", true};
  std::unique_ptr<EventLoop> loop_;
  UniqueFd signals_;
  EventLoop::Watch signal_watch_;
  ToolWire wire_;
  pid_t child_ = -1;
};

}  // namespace

ExitCode run_plug(const ToolWords& words) {
  const ToolArguments arguments = read_tool_arguments(kOptions, words);
  if (!arguments.complaint.empty()) return tool_usage("plug", arguments.complaint);
  ToolWords command;
  const auto equals = std::find(arguments.words.begin(), arguments.words.end(), "=");
  if (equals != arguments.words.end()) command.assign(equals + 1, arguments.words.end());
  const auto names = std::distance(arguments.words.begin(), equals);
  if (names > 1 || (equals != arguments.words.end() && command.empty())) {
    return tool_usage("plug", "it takes one address, and a command after a '='");
  }
  ToolArguments own = arguments;
  own.words.resize(static_cast<std::size_t>(names));
  const Result<BackendOptions> address = address_of(own);
  if (!address) return tool_usage("plug", address.error().text);
  Result<std::unique_ptr<EventLoop>> loop = EventLoop::create();
  const Result<void> done =
      loop ? PlugTool(loop.take()).run(address.value(), command) : Result<void>(loop.error());
  if (done) return ExitCode::ok;
  if (!done.error().text.empty()) {
    std::fputs(fmt::format("lanyard plug: {}\n", done.error().text).c_str(), stderr);
  }
  return done.error().code == EINVAL ? ExitCode::usage : ExitCode::failed;
}

}  // namespace lanyard

// SPDX-License-Identifier: MIT
//
// `lanyard console`: the management console of a VDE switch, at a terminal with history and
// completion, or for scripts with an exit status.
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>

#include "switch/base/fd.h"
#include "switch/base/text.h"
#include "switch/cli/console_session.h"
#include "switch/cli/line_editor.h"
#include "switch/cli/program.h"
#include "switch/cli/tool.h"

namespace lanyard {
namespace {

constexpr std::array kOptions{ToolOption{'c', "command", true}};
constexpr int kEndOfSession = 9999;

// Keys one by one and unechoed; as it was at the end.
class RawTerminal {
 public:
  RawTerminal() {
    ::tcgetattr(STDIN_FILENO, &before_);
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG | IEXTEN);
    raw.c_iflag &= ~static_cast<tcflag_t>(ICRNL | IXON);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    ::tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
  }
  ~RawTerminal() { ::tcsetattr(STDIN_FILENO, TCSADRAIN, &before_); }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  termios before_{};
};

Result<UniqueFd> connect_console(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error{ENAMETOOLONG, fmt::format("{}: too long for a socket", printable(path))};
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd ||
      ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Error{errno, fmt::format("{}: {}", printable(path), std::strerror(errno))};
  }
  return fd;
}

std::string usual_socket() {
  for (const char* path : {"/var/run/vde.mgmt", "/tmp/vde.mgmt"}) {
    if (::access(path, F_OK) == 0) return path;
  }
  return "/var/run/vde.mgmt";
}

std::string history_path() {
  const char* const state = std::getenv("XDG_STATE_HOME");
  const char* const home = std::getenv("HOME");
  if (state != nullptr && *state == '/') return std::string(state) + "/lanyard_console";
  return home != nullptr ? std::string(home) + "/.lanyard_console" : std::string();
}

// Lines of a terminal in raw mode begin where the last one ended.
std::string for_terminal(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') out += '\r';
    out += c;
  }
  return out;
}

class ConsoleTool {
 public:
  explicit ConsoleTool(UniqueFd fd) : fd_(std::move(fd)) {}

  // The greeting: banner and first prompt.
  std::optional<ConsoleReply> greeting() { return wait_reply(); }

  // The commands, one after the other; the status of the last one that failed.
  int run(const ToolWords& commands) {
    for (const std::string& command : commands) {
      if (!run_one(command)) return status_;
    }
    return status_;
  }
  int run_lines(std::istream& lines) {
    std::string line;
    while (std::getline(lines, line)) {
      if (!run_one(line)) return status_;
    }
    return status_;
  }

  int talk(const std::string& banner);

 private:
  // False at the end of the session.
  bool send(const std::string& line) {
    const std::string whole = line + '\n';
    return ::send(fd_.get(), whole.data(), whole.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(whole.size());
  }

  bool read_more() {
    std::array<char, 16384> bytes;
    const ssize_t count = ::read(fd_.get(), bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) return true;
    if (count <= 0) return false;
    reader_.add({bytes.data(), static_cast<std::size_t>(count)});
    return true;
  }

  std::optional<ConsoleReply> wait_reply() {
    for (;;) {
      if (auto reply = reader_.next()) return reply;
      if (!read_more()) return std::nullopt;
    }
  }

  bool run_one(const std::string& command) {
    if (!send(command)) return end_of_session();
    const auto reply = wait_reply();
    if (!reply) return end_of_session();
    print_out(reply->events + reply->data);
    if (reply->ok()) return true;
    std::fputs(fmt::format("{}: {}\n", command, reply->status).c_str(), stderr);
    status_ = reply->code - 1000;
    return true;
  }

  bool end_of_session() {
    const std::string rest = reader_.take_rest();
    if (rest.find(fmt::format("{} ", kEndOfSession)) == std::string::npos) {
      std::fputs("lanyard console: the switch has closed the connection\n", stderr);
      if (status_ == 0) status_ = static_cast<int>(ExitCode::unreachable);
    }
    return false;
  }

  void learn_commands();
  bool on_key();
  bool on_line();
  bool on_switch();
  void set_columns();
  void load_history();
  void save_history() const;
  void show(const std::string& screen) { print_out(screen); }

  UniqueFd fd_;
  ConsoleReader reader_;
  int status_ = 0;
  std::vector<std::string> commands_;
  LineEditor editor_{
      "vde$ ", [this](std::string_view so_far) { return complete_command(commands_, so_far); }};
  bool waits_ = false;  // for a reply
};

void ConsoleTool::learn_commands() {
  if (!send("help")) return;
  if (const auto reply = wait_reply()) commands_ = commands_in_help(reply->data);
}

void ConsoleTool::set_columns() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    editor_.set_columns(size.ws_col);
  }
}

void ConsoleTool::load_history() {
  std::ifstream file(history_path());
  std::string line;
  while (std::getline(file, line)) editor_.remember(line);
}

// Readable by its owner only: console lines may name users and hosts.
void ConsoleTool::save_history() const {
  const std::string path = history_path();
  if (path.empty()) return;
  const UniqueFd fd(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return;
  std::string text;
  for (const std::string& line : editor_.history()) append(text, "{}\n", line);
  if (::write(fd.get(), text.data(), text.size()) < 0) return;
}

int ConsoleTool::talk(const std::string& banner) {
  learn_commands();
  load_history();
  const RawTerminal raw;
  std::string screen = for_terminal(banner);
  if (!screen.ends_with('\n')) screen += "\r\n";
  editor_.show(screen);
  show(screen);
  bool goes_on = true;
  while (goes_on) {
    std::array<pollfd, 2> fds{{{fd_.get(), POLLIN, 0}, {waits_ ? -1 : STDIN_FILENO, POLLIN, 0}}};
    if (::poll(fds.data(), fds.size(), -1) < 0) continue;
    set_columns();
    if (fds[0].revents != 0) {
      goes_on = on_switch();
    } else if (fds[1].revents != 0) {
      goes_on = on_key();
    }
  }
  save_history();
  return status_;
}

bool ConsoleTool::on_key() {
  unsigned char byte = 0;
  if (::read(STDIN_FILENO, &byte, 1) != 1) return false;
  std::string screen;
  const LineEditor::Outcome outcome = editor_.key(byte, screen);
  show(screen);
  switch (outcome) {
    case LineEditor::Outcome::writing: return true;
    case LineEditor::Outcome::ended: return false;
    case LineEditor::Outcome::line: return on_line();
    case LineEditor::Outcome::interrupted: break;
  }
  editor_.take();
  screen.clear();
  editor_.show(screen);
  show(screen);
  return true;
}

bool ConsoleTool::on_line() {
  const std::string line = editor_.take();
  editor_.remember(line);
  waits_ = true;
  return send(line);
}

bool ConsoleTool::on_switch() {
  const bool open = read_more();
  std::string screen;
  std::optional<ConsoleReply> reply = waits_ ? reader_.next() : std::nullopt;
  std::string text;
  if (reply) {
    text = reply->text;
  } else if (!open) {
    text = reader_.take_rest();
  } else if (!waits_) {
    text = reader_.take_lines();
  }
  if (reply) waits_ = false;
  if (!waits_) LineEditor::hide(screen);
  screen += for_terminal(text);
  if (!text.empty() && !text.ends_with('\n')) screen += "\r\n";
  if (!waits_ && open) editor_.show(screen);
  show(screen);
  return open;
}

}  // namespace

ExitCode run_console(const ToolWords& words) {
  const ToolArguments arguments = read_tool_arguments(kOptions, words);
  if (!arguments.complaint.empty()) return tool_usage("console", arguments.complaint);
  if (arguments.words.size() > 1) return tool_usage("console", "it takes one socket");
  Result<UniqueFd> fd =
      connect_console(arguments.words.empty() ? usual_socket() : arguments.words[0]);
  if (!fd) {
    std::fputs(fmt::format("lanyard console: {}\n", fd.error().text).c_str(), stderr);
    return fd.error().code == EACCES ? ExitCode::not_permitted : ExitCode::unreachable;
  }
  ConsoleTool tool(fd.take());
  const auto banner = tool.greeting();
  if (!banner) {
    std::fputs("lanyard console: nobody greets: is this the console of a switch?\n", stderr);
    return ExitCode::unreachable;
  }
  ToolWords commands;
  for (const auto& [name, value] : arguments.options) commands.push_back(value);
  int status = 0;
  if (!commands.empty()) {
    status = tool.run(commands);
  } else if (::isatty(STDIN_FILENO) != 0 && ::isatty(STDOUT_FILENO) != 0) {
    status = tool.talk(banner->text);
  } else {
    status = tool.run_lines(std::cin);
  }
  return static_cast<ExitCode>(status);
}

}  // namespace lanyard

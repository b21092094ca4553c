// SPDX-License-Identifier: MIT
//
// The one table of what people can say: path, synopsis, help and function of each command. The VDE
// console, the rc file and `load` run its rows; help, the man page's tables and completion are
// printed from it. Lane thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "switch/base/result.h"
#include "switch/base/text.h"
#include "switch/control/debug_hub.h"
#include "switch/runtime/backend.h"
#include "switch/runtime/lane.h"

namespace lanyard {

class CommandTable;
class PluginHost;
class Script;

// What a reply says. Short replies are appended; long ones are produced piece by piece as the
// reader takes them, so that printing 65,536 addresses neither stalls the frames nor piles up in
// memory.
class Reply {
 public:
  // Appends some lines to the text; false when there is nothing more.
  using Producer = std::function<bool(std::string& text)>;

  template <typename... Args>
  void line(fmt::format_string<Args...> format, Args&&... args) {
    append(text_, format, std::forward<Args>(args)...);
    text_ += '\n';
  }
  std::string& text() { return text_; }
  // Not even a status line.
  void silence() { silent_ = true; }
  bool silent() const { return silent_; }
  void produce(Producer producer) { producer_ = std::move(producer); }
  Producer take_producer() { return std::exchange(producer_, nullptr); }
  // Everything at once, for callers without a reader to wait for.
  void finish() {
    while (producer_ && producer_(text_)) {
    }
    producer_ = nullptr;
  }

 private:
  std::string text_;
  Producer producer_;
  bool silent_ = false;
};

// The text behind a command's path. Numbers are decimal or 0x; what follows a number is ignored,
// and so is anything after the last argument (VDE's console is that lenient).
class Args {
 public:
  explicit Args(std::string_view text) : rest_(trim(text)) {}

  // The number the text starts with, 0 when there is none.
  std::int64_t number_or_zero() const { return leading_number(rest_).value_or(0); }
  // The next argument as a number; EINVAL when there is none. `name` is for the error.
  Result<std::int64_t> number(std::string_view name);
  Result<std::int64_t> number_in(std::string_view name, std::int64_t low, std::int64_t high);
  std::optional<std::string_view> word();
  std::string_view rest() const { return rest_; }
  bool empty() const { return rest_.empty(); }

 private:
  static std::optional<std::int64_t> leading_number(std::string_view text);

  std::string_view rest_;
};

using CommandDone = std::function<void(const Result<void>& result)>;

// What is shown of the process and cannot be had from the switch, and what is asked of it.
struct DaemonInfo {
  std::string control_directory;
  mode_t control_mode = 0600;
  std::string console_path;  // empty without a console socket
  mode_t console_mode = 0600;
  Time started{0};
  // Puts a process of the program as it is now on disk in this one's place.
  std::function<void(CommandDone done)> upgrade;
};

// What a command may do with the conversation it is said in.
class Conversation {
 public:
  virtual ~Conversation() = default;
  virtual DebugCategories& debug_categories() = 0;
  // After the reply; false when it does not end by a word (the terminal the switch runs in).
  virtual bool end() = 0;
  // The status comes later, and no other command runs before. To be called once, also when the
  // conversation has ended meanwhile.
  virtual CommandDone defer() = 0;
  // What it says, its status included, comes bit by bit, and no other command runs before its end,
  // which comes also when the conversation has ended meanwhile.
  virtual void run(std::unique_ptr<Script> script) = 0;
};

struct CommandContext {
  Switch& bridge;
  Lane& lane;
  const BackendRegistry& backends;
  const CommandTable& table;
  DaemonInfo& info;
  Log& log;
  DebugHub& hub;
  PluginHost* plugins = nullptr;         // null where none can be loaded
  Conversation* conversation = nullptr;  // null in an rc file
  Script* script = nullptr;              // whose line it is, if it is one's
};

struct Command {
  std::string_view path;      // "port/setvlan"
  std::string_view synopsis;  // "N VLAN"
  std::string_view help;
  bool has_data = false;  // its reply has a data block
  // Empty: the title of a menu.
  std::function<Result<void>(CommandContext&, Args&, Reply&)> run = nullptr;
};

class CommandTable {
 public:
  void add(const Command& command) { rows_.push_back(command); }
  void remove(std::string_view path) {
    std::erase_if(rows_, [&](const Command& row) { return row.path == path; });
  }
  const std::vector<Command>& rows() const { return rows_; }

  // The first row whose whole path the line starts with, as VDE matches; its arguments follow.
  const Command* match(std::string_view line) const;

  // Runs a line and returns what became of it; ENOSYS when there is no such command.
  struct Outcome {
    bool has_data = false;
    Result<void> result;
  };
  Outcome run(CommandContext& context, std::string_view line, Reply& reply) const;

 private:
  std::vector<Command> rows_;
};

// The rows, by subject, in the order in which VDE's help lists them.
void add_system_commands(CommandTable& table);
void add_plugin_commands(CommandTable& table);
void add_mac_commands(CommandTable& table);
void add_fstp_commands(CommandTable& table);
void add_port_commands(CommandTable& table);
void add_vlan_commands(CommandTable& table);
void add_lanyard_commands(CommandTable& table);  // what VDE does not have; last
void add_guard_commands(CommandTable& table);
void add_spanning_tree_commands(CommandTable& table);  // neither does it have these
void add_all_commands(CommandTable& table);

// "1000 Success" or "1NNN text", with a newline: NNN is the errno, the text its C locale sentence.
std::string status_line(const Result<void>& result);

// A data block as the console frames it, from its first line up to where its lines begin and end.
constexpr std::string_view kDataStart = "0000 DATA END WITH '.'\n";
constexpr std::string_view kDataEnd = ".\n";

}  // namespace lanyard

// SPDX-License-Identifier: MIT
//
// The management console, as VDE's clients know it: a banner, a prompt, a command a line, a reply
// with a status line, and asynchronous lines in between.
//
// What makes it hard: clients differ in how they write. Lines come in pieces, several in one write,
// with carriage returns, or without an end at all (then what is there runs after a short silence).
// And a reader may be slow or never read: a reply is produced only as fast as it is taken, input
// waits meanwhile, asynchronous lines are lost past a bound, and a reader that takes nothing for a
// minute is cut off. Lane thread only; nothing here blocks.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "switch/base/fd.h"
#include "switch/base/line_reader.h"
#include "switch/base/unix_socket.h"
#include "switch/control/command.h"
#include "switch/control/debug_hub.h"

namespace lanyard {

class Console;

class ConsoleSession final : public Conversation, public DebugListener {
 public:
  enum class Kind : std::uint8_t { socket, terminal };

  // `input` and `output` are the same descriptor for a socket. A terminal session (standard input
  // and output) has no banner, owns no descriptor, and ends the process with its input.
  ConsoleSession(Console& console, Kind kind, int input, int output);
  ~ConsoleSession() override;

  Result<void> start(bool greets = true);

  DebugCategories& debug_categories() override { return categories_; }
  bool end() override;
  CommandDone defer() override;
  void run(std::unique_ptr<Script> script) override;
  const DebugCategories& wanted() const override { return categories_; }
  void forget(std::size_t category) override { categories_.reset(category); }
  void notify(std::string_view line) override;

  bool finished() const { return finished_; }
  // Cuts off a reader that has taken nothing since the last call but one.
  void check_progress();
  // For a successor process that goes on with it; nullopt for one that cannot.
  std::optional<HandoverPart> handover();
  void go_on_from(const HandoverPart& part);
  // What can be written at once, for the last words before the process ends.
  void flush_now() { flush(); }

 private:
  void tell_plugins(bool began);
  void on_input();
  void on_output() { pump(); }
  bool read_some();
  void run_lines();
  void run_line(std::string_view line);
  void run_script();
  void on_slice();
  bool takes_input() const;
  bool has_room() const;
  void log_change(std::string_view line) const;
  void pump();
  void flush();
  void update_interest();
  void finish();
  template <typename Work>
  bool attempt(Work&& work);
  bool busy() const;

  Console& console_;
  Kind kind_;
  int input_;
  int output_;
  bool prompts_;
  EventLoop::Watch input_watch_;
  EventLoop::Watch output_watch_;
  EventLoop::Timer silence_;
  EventLoop::Timer next_slice_;
  LineReader reader_;
  DebugCategories categories_;
  std::string out_;
  Reply::Producer producer_;    // the rest of the reply that is being sent
  std::string after_producer_;  // its status and prompt
  std::unique_ptr<Script> script_;
  std::string held_;  // asynchronous lines that came during it
  std::size_t stalled_checks_ = 0;
  Time since_ = monotonic_now();
  std::shared_ptr<ConsoleSession*> deferred_;  // while a command's status is to come
  bool progressed_ = false;
  bool input_ended_ = false;
  bool reader_gone_ = false;
  bool ending_ = false;
  bool finished_ = false;
};

class Console {
 public:
  struct Context {
    Switch& bridge;
    Lane& lane;
    const BackendRegistry& backends;
    const CommandTable& table;
    DaemonInfo& info;
    DebugHub& hub;
    Log& log;
    PluginHost* plugins = nullptr;
  };

  explicit Console(Context context);
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  // Serves a socket; the text of an error is fit for the log. `given` listens there already, and
  // stays its giver's.
  Result<void> listen(const std::string& path, const SocketAccess& access, UniqueFd given = {});
  // Serves a connected socket.
  void adopt(UniqueFd fd);
  // The socket and, if asked for the last time, its sessions. After a crash they end: nobody knows
  // which command has had its reply.
  std::optional<HandoverPart> handover(HandoverReason why) const;
  Result<void> adopt(const HandoverPart& part);
  const std::string& path() const { return path_; }
  // Serves standard input and output; `ended` is called at the end of input.
  Result<void> open_terminal(std::function<void()> ended);
  // Runs a file of commands, silently but for the log. False when it cannot be read.
  bool run_file(const std::string& path);
  // The last words of all sessions.
  void flush();

 private:
  friend class ConsoleSession;

  CommandContext command_context(Conversation* conversation);
  Result<void> serve(UniqueFd listening, std::string path);
  void adopt_session(const HandoverPart& part);
  void accept_clients();
  void sweep();

  Context context_;
  UniqueFd listening_;
  bool given_ = false;  // its name is not ours to remove
  Time since_{0};
  std::string path_;
  EventLoop::Watch watch_;
  EventLoop::Timer resume_timer_;
  EventLoop::Timer sweep_timer_;
  EventLoop::Timer progress_timer_;
  std::function<void()> terminal_ended_;
  std::vector<std::unique_ptr<ConsoleSession>> sessions_;
  RateLimit complaints_{5, std::chrono::seconds(10)};
};

}  // namespace lanyard

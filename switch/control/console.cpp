// SPDX-License-Identifier: MIT
#include "switch/control/console.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <fstream>

#include "switch/base/poll_one.h"
#include "switch/base/transient_error.h"
#include "switch/base/write_bytes.h"
#include "switch/control/banner.h"
#include "switch/control/plugin_host.h"
#include "switch/control/script.h"

namespace lanyard {
namespace {

constexpr int kBacklog = 128;
constexpr std::size_t kOutputEnough = 65536;  // produce no more until the reader has taken some
constexpr std::size_t kHeldMax = 65536;
constexpr std::size_t kScriptOutputMax = std::size_t{1} << 20;  // a script waits for its reader
constexpr std::size_t kFinishedOutputMax = std::size_t{16} << 20;
constexpr Duration kScriptSlice = std::chrono::microseconds(200);
constexpr Duration kSilence = std::chrono::milliseconds(100);
constexpr Duration kAcceptPause = std::chrono::milliseconds(100);
constexpr Duration kProgressPeriod = std::chrono::seconds(30);

// Writes what fits without waiting. Standard output is shared with others, so its descriptor is
// left blocking: a pipe that polls writable takes PIPE_BUF bytes at once (pipe(7)).
ssize_t write_now(int fd, bool is_socket, std::string_view text) {
  if (is_socket) return ::send(fd, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (poll_one(fd, POLLOUT, Duration{0}) == 0) {
    errno = EAGAIN;
    return -1;
  }
  return write_bytes(fd, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
}

}  // namespace

ConsoleSession::ConsoleSession(Console& console, Kind kind, int input, int output)
    : console_(console),
      kind_(kind),
      input_(input),
      output_(output),
      prompts_(kind == Kind::socket || ::isatty(input) != 0) {
  console_.context_.hub.add(*this);
}

// VDE's plugins may follow who comes and goes.
void ConsoleSession::tell_plugins(bool began) {
  PluginHost* const plugins = console_.context_.plugins;
  if (plugins != nullptr && kind_ == Kind::socket) plugins->on_console(began, input_);
}

ConsoleSession::~ConsoleSession() {
  if (deferred_ != nullptr) *deferred_ = nullptr;
  console_.context_.lane.loop().run([this] { tell_plugins(false); });
  console_.context_.hub.remove(*this);
  input_watch_.reset();
  output_watch_.reset();
  if (kind_ == Kind::socket) ::close(input_);
}

Result<void> ConsoleSession::start(bool greets) {
  tell_plugins(true);
  EventLoop& loop = console_.context_.lane.loop();
  Result<EventLoop::Watch> watch = loop.watch(input_, EPOLLIN, [this](std::uint32_t events) {
    attempt([&] {
      if ((events & EPOLLOUT) != 0) on_output();
      if ((events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) on_input();
    });
  });
  if (!watch) return watch.error();
  input_watch_ = watch.take();
  if (output_ != input_) {
    Result<EventLoop::Watch> writable =
        loop.watch(output_, 0, [this](std::uint32_t) { attempt([this] { on_output(); }); });
    if (writable) output_watch_ = writable.take();
  }
  if (kind_ == Kind::socket && greets) {
    out_ += kBanner;
    out_ += kPrompt;
    pump();
  }
  return {};
}

bool ConsoleSession::busy() const {
  return producer_ != nullptr || deferred_ != nullptr || script_ != nullptr ||
         out_.size() >= kOutputEnough;
}

void ConsoleSession::on_input() {
  if (finished_ || !read_some()) return;
  run_lines();
  update_interest();
}

// False when there was nothing.
bool ConsoleSession::read_some() {
  std::array<char, 16384> chunk{};
  const ssize_t count = ::read(input_, chunk.data(), chunk.size());
  if (count < 0 && is_transient(errno)) return false;
  if (count > 0) {
    reader_.add({chunk.data(), static_cast<std::size_t>(count)});
  } else {
    input_ended_ = true;
  }
  return true;
}

void ConsoleSession::run_lines() {
  silence_.reset();
  while (!finished_ && !ending_ && !busy()) {
    std::optional<LineReader::Line> line = reader_.next();
    if (!line && input_ended_) line = reader_.rest();
    if (!line) break;
    if (line->too_long) {
      out_ += status_line(Error{E2BIG, "line too long"});
      if (prompts_) out_ += kPrompt;
    } else {
      run_line(line->text);
    }
    pump();
  }
  if (finished_ || ending_ || busy()) return;
  if (input_ended_) {
    ending_ = true;
    pump();
  } else if (reader_.has_rest() && !reader_.skipping()) {
    // Some clients send no newline; what is there runs when nothing follows.
    silence_ = console_.context_.lane.loop().after(kSilence, [this] {
      silence_.reset();
      attempt([this] {
        if (std::optional<LineReader::Line> line = reader_.rest(); line && !finished_) {
          run_line(line->text);
          pump();
        }
      });
    });
  }
}

void ConsoleSession::run_line(std::string_view line) {
  line = trim(line);
  if (line.empty() || line.front() == '#') {
    if (prompts_) out_ += kPrompt;
    return;
  }
  CommandContext context = console_.command_context(this);
  Reply reply;
  const CommandTable::Outcome outcome = context.table.run(context, line, reply);
  console_.context_.hub.refresh();
  if (outcome.result && !outcome.has_data) log_change(line);
  console_.context_.lane.commit();
  if (ending_) {
    out_ += "9999 END OF SESSION";
    return;
  }
  if (reply.silent()) {
    if (prompts_) out_ += kPrompt;
    return;
  }
  if (deferred_ != nullptr) {
    out_ += reply.text();
    return;
  }
  if (script_ != nullptr) return run_script(kScriptSlice, kScriptOutputMax);
  if (outcome.has_data) out_ += kDataStart;
  out_ += reply.text();
  producer_ = reply.take_producer();
  after_producer_ = outcome.has_data ? kDataEnd : "";
  after_producer_ += status_line(outcome.result);
  if (prompts_) after_producer_ += kPrompt;
  if (producer_ == nullptr) out_ += std::exchange(after_producer_, {});
}

void ConsoleSession::run(std::unique_ptr<Script> script) {
  script_ = std::move(script);
}

// Those of a reader that is gone go on, and are heard by nobody.
bool ConsoleSession::has_room() const {
  return reader_gone_ || out_.size() < kScriptOutputMax;
}

void ConsoleSession::run_script(Duration slice, std::size_t enough) {
  const bool goes_on = script_->run(out_, slice, enough);
  console_.context_.hub.refresh();
  console_.context_.lane.commit();
  if (!goes_on) {
    script_.reset();
    if (prompts_) out_ += kPrompt;
    out_ += std::exchange(held_, {});
  }
  if (reader_gone_) out_.clear();
}

void ConsoleSession::finish_script() {
  attempt([this] {
    while (script_ != nullptr && !finished_) {
      run_script(Duration::max() / 2, kFinishedOutputMax);
      if (script_ == nullptr || out_.size() < kFinishedOutputMax) continue;
      // More than a successor should be given for a reader that does not keep up.
      reader_gone_ = true;
      out_.clear();
    }
    if (reader_gone_) finish();
  });
}

// What has no data to show has done something. Who sits at the switch's own terminal knows.
void ConsoleSession::log_change(std::string_view line) const {
  if (kind_ != Kind::socket || ending_) return;
  const Identity who = peer_identity(input_);
  console_.context_.log.notice("user {} (pid {}): {}", who.uid, who.pid, printable(line));
}

bool ConsoleSession::end() {
  // The terminal the switch was started in stays its console.
  if (kind_ == Kind::socket) ending_ = true;
  return ending_;
}

CommandDone ConsoleSession::defer() {
  deferred_ = std::make_shared<ConsoleSession*>(this);
  return [waiting = deferred_](const Result<void>& result) {
    ConsoleSession* const self = std::exchange(*waiting, nullptr);
    if (self == nullptr) return;
    self->deferred_.reset();
    if (!result) append(self->out_, "{}\n", result.error().text);
    self->out_ += status_line(result);
    if (self->prompts_) self->out_ += kPrompt;
    self->pump();
  };
}

std::optional<HandoverPart> ConsoleSession::handover() const {
  if (kind_ != Kind::socket || finished_ || ending_ || producer_ != nullptr) return std::nullopt;
  HandoverPart part;
  part.kind = "session";
  part.descriptors.push_back({input_, since_, false, false});
  // Those of plugins have other numbers in another process.
  constexpr std::size_t kOwnMax = 32;
  const std::size_t own = std::min(lanyard::debug_categories().size(), kOwnMax);
  part.set("debug", categories_.to_ullong() & ((std::uint64_t{1} << own) - 1));
  part.set("output", out_);
  return part;
}

void ConsoleSession::go_on_from(const HandoverPart& part) {
  since_ = part.descriptors[0].since;
  categories_ = part.number("debug", 0xffffffff).value_or(0);
  out_ = part.text("output");
  console_.context_.hub.refresh();
  pump();
}

// Produces and writes as much as the reader takes.
void ConsoleSession::pump() {
  do {
    while (producer_ != nullptr && out_.size() < kOutputEnough) {
      if (producer_(out_)) continue;
      producer_ = nullptr;
      out_ += std::exchange(after_producer_, {});
      out_ += std::exchange(held_, {});
    }
    flush();
  } while (!finished_ && producer_ != nullptr && out_.empty());
  if (finished_) return;
  if (ending_ && out_.empty()) return finish();
  update_interest();
  if (script_ != nullptr && has_room() && !next_slice_) {
    next_slice_ = console_.context_.lane.loop().after(Duration{0}, [this] {
      next_slice_.reset();
      attempt([this] {
        if (script_ != nullptr) run_script(kScriptSlice, kScriptOutputMax);
        pump();
      });
    });
  }
  // Lines that waited for the reader may run now; not from here, where the caller may be one.
  if (!busy() && !ending_ && (reader_.buffered() != 0 || input_ended_) && !silence_) {
    silence_ = console_.context_.lane.loop().after(Duration{0},
                                                   [this] { attempt([this] { run_lines(); }); });
  }
}

void ConsoleSession::flush() {
  while (!out_.empty()) {
    const ssize_t count = write_now(output_, kind_ == Kind::socket, out_);
    if (count > 0) {
      out_.erase(0, static_cast<std::size_t>(count));
      progressed_ = true;
      continue;
    }
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && !is_transient(errno)) {
      out_.clear();
      // Nobody reads any more, but what was written counts: not every sender waits for a reply.
      reader_gone_ = true;
      producer_ = nullptr;
      after_producer_.clear();
    }
    return;
  }
}

void ConsoleSession::update_interest() {
  if (finished_) return;
  const std::uint32_t want_input = input_ended_ || busy() ? 0U : EPOLLIN;
  const std::uint32_t want_output = out_.empty() ? 0U : EPOLLOUT;
  if (output_ == input_) {
    input_watch_.set_events(want_input | want_output);
  } else {
    input_watch_.set_events(want_input);
    output_watch_.set_events(want_output);
  }
}

void ConsoleSession::notify(std::string_view line) {
  if (finished_ || ending_) return;
  if (producer_ != nullptr || script_ != nullptr) {
    if (held_.size() + line.size() <= kHeldMax) held_ += line;
    return;
  }
  if (out_.size() + line.size() > kOutputEnough) return;
  out_ += line;
  update_interest();
}

void ConsoleSession::check_progress() {
  stalled_checks_ = out_.empty() || progressed_ ? 0 : stalled_checks_ + 1;
  progressed_ = false;
  if (stalled_checks_ >= 2 && kind_ == Kind::socket) finish();
}

// A command that was given up for want of memory is answered by nobody. Who sits at a terminal sees
// that it stands still, and types on.
template <typename Work>
void ConsoleSession::attempt(Work&& work) {
  EventLoop& loop = console_.context_.lane.loop();
  if (loop.run(work) || kind_ != Kind::socket) return;
  loop.run([this] { finish(); });
}

// The session object ends later, where none of its callbacks runs; the peer sees the end at once.
void ConsoleSession::finish() {
  if (finished_) return;
  finished_ = true;
  if (script_ != nullptr) {
    console_.context_.log.warning("console: the rest of {} is not run: its reader takes nothing",
                                  printable(script_->path()));
  }
  if (kind_ == Kind::socket) ::shutdown(input_, SHUT_RDWR);
  input_watch_.reset();
  output_watch_.reset();
  silence_.reset();
  next_slice_.reset();
  console_.sweep_timer_.hurry();
  if (kind_ == Kind::terminal && input_ended_ && console_.terminal_ended_) {
    console_.terminal_ended_();
  }
}

// ---- the console: its socket and its sessions ----

Console::Console(Context context) : context_(context) {
  progress_timer_ = context_.lane.loop().every(kProgressPeriod, [this] {
    for (const auto& session : sessions_) session->check_progress();
  });
  sweep_timer_ = context_.lane.loop().prepare([this] { sweep(); });
}

Console::~Console() {
  watch_.reset();
  sessions_.clear();
  if (listening_ && !given_) {
    ::shutdown(listening_.get(), SHUT_RDWR);
    listening_.reset();
    if (!socket_answers(path_, SOCK_STREAM)) unlink_socket(path_);
  }
}

void Console::finish_scripts() {
  for (const auto& session : sessions_) session->finish_script();
}

CommandContext Console::command_context(Conversation* conversation) {
  return {context_.bridge, context_.lane, context_.backends, context_.table, context_.info,
          context_.log,    context_.hub,  context_.plugins,  conversation};
}

Result<void> Console::listen(const std::string& path, const SocketAccess& access, UniqueFd given) {
  since_ = monotonic_now();
  given_ = static_cast<bool>(given);
  if (given) return serve(std::move(given), path);
  Result<UniqueFd> fd = listen_unix(path, access, kBacklog);
  if (!fd) return fd.error();
  return serve(fd.take(), path);
}

std::optional<HandoverPart> Console::handover(HandoverReason why) const {
  if (!listening_) return std::nullopt;
  HandoverPart part;
  part.kind = "console";
  part.set("path", path_);
  part.set("given", given_ ? 1U : 0U);
  part.descriptors.push_back({listening_.get(), since_, false, false});
  if (why != HandoverReason::upgrade) return part;
  for (const auto& session : sessions_) {
    if (std::optional<HandoverPart> one = session->handover())
      part.parts.push_back(std::move(*one));
  }
  return part;
}

Result<void> Console::adopt(const HandoverPart& part) {
  if (part.descriptors.size() != 1) return Error{EBADMSG, "the console has lost its socket"};
  since_ = part.descriptors[0].since;
  given_ = part.number("given", 1) == 1;
  for (const HandoverPart& session : part.parts) adopt_session(session);
  return serve(UniqueFd(part.descriptors[0].number), part.text("path"));
}

void Console::adopt_session(const HandoverPart& part) {
  if (part.descriptors.size() != 1) return;
  const int fd = part.descriptors[0].number;
  auto session = std::make_unique<ConsoleSession>(*this, ConsoleSession::Kind::socket, fd, fd);
  if (!session->start(false)) return;
  sessions_.push_back(std::move(session));
  sessions_.back()->go_on_from(part);
}

Result<void> Console::serve(UniqueFd listening, std::string path) {
  listening_ = std::move(listening);
  path_ = std::move(path);
  Result<EventLoop::Watch> watch = context_.lane.loop().watch(
      listening_.get(), EPOLLIN, [this](std::uint32_t) { accept_clients(); });
  if (!watch) return watch.error();
  watch_ = watch.take();
  return {};
}

void Console::accept_clients() {
  for (;;) {
    const int fd = ::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EAGAIN) return;
      if (complaints_.allow(context_.lane.loop().now())) {
        context_.log.warning("console: cannot accept a client: {}", std::strerror(errno));
      }
      resume_timer_ =
          context_.lane.loop().after(kAcceptPause, [this] { watch_.set_events(EPOLLIN); });
      watch_.set_events(0);
      return;
    }
    adopt(UniqueFd(fd));
  }
}

void Console::adopt(UniqueFd given) {
  auto session = std::make_unique<ConsoleSession>(*this, ConsoleSession::Kind::socket, given.get(),
                                                  given.get());
  (void)given.release();  // it is the session's
  if (session->start()) sessions_.push_back(std::move(session));
}

Result<void> Console::open_terminal(std::function<void()> ended) {
  terminal_ended_ = std::move(ended);
  auto session = std::make_unique<ConsoleSession>(*this, ConsoleSession::Kind::terminal,
                                                  STDIN_FILENO, STDOUT_FILENO);
  Result<void> started = session->start();
  if (started) sessions_.push_back(std::move(session));
  return started;
}

bool Console::run_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) return false;
  CommandContext context = command_context(nullptr);
  std::string text;
  for (int number = 1; std::getline(file, text); ++number) {
    std::string_view line = text;
    if (line.ends_with('\r')) line.remove_suffix(1);
    line = trim(line);
    if (line.empty() || line.front() == '#') continue;
    Reply reply;
    const CommandTable::Outcome outcome = context_.table.run(context, line, reply);
    reply.finish();
    if (!outcome.result) {
      context_.log.warning("{}:{}: {}: {}", path, number, printable(line),
                           outcome.result.error().text);
    }
  }
  return true;
}

void Console::flush() {
  for (const auto& session : sessions_) {
    if (!session->finished()) session->flush_now();
  }
}

void Console::sweep() {
  std::erase_if(sessions_, [](const auto& session) { return session->finished(); });
}

}  // namespace lanyard

// SPDX-License-Identifier: MIT
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

#include "switch/base/poll_one.h"
#include "switch/base/transient_error.h"
#include "switch/base/write_bytes.h"
#include "switch/control/banner.h"
#include "switch/control/console.h"
#include "switch/control/plugin_host.h"
#include "switch/control/script.h"

namespace lanyard {
namespace {

constexpr std::size_t kOutputEnough = 65536;  // produce no more until the reader has taken some
constexpr std::size_t kHeldMax = 65536;
constexpr std::size_t kScriptOutputMax = std::size_t{1} << 20;  // a script waits for its reader
// So long frames may wait for commands, and then it is their turn.
constexpr Duration kSlice = std::chrono::microseconds(200);
constexpr Duration kRetryPause = std::chrono::milliseconds(10);
constexpr Duration kSilence = std::chrono::milliseconds(100);

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
  next_slice_ = loop.prepare([this] { on_slice(); });
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

bool ConsoleSession::takes_input() const {
  return !finished_ && !input_ended_ && !busy() && reader_.buffered() <= LineReader::kLineMax;
}

// Also called where input is not asked for, once the peer is gone.
void ConsoleSession::on_input() {
  if (!takes_input() || !read_some()) return;
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
  const Time end = monotonic_now() + kSlice;
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
    pump();  // which lets the rest run in the next round
    if (reader_.buffered() != 0 && monotonic_now() >= end) return;
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
  if (script_ != nullptr) return run_script();
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

void ConsoleSession::run_script() {
  const bool goes_on = script_->run(out_, kSlice, kScriptOutputMax);
  console_.context_.hub.refresh();
  console_.context_.lane.commit();
  if (!goes_on) {
    script_.reset();
    if (prompts_) out_ += kPrompt;
    out_ += std::exchange(held_, {});
  }
  if (reader_gone_) out_.clear();
}

// Also at a terminal that found no memory: what is left of the script goes on once there is some.
void ConsoleSession::on_slice() {
  if (script_ == nullptr || finished_) return;
  const bool done = attempt([this] {
    run_script();
    pump();
  });
  if (!done) next_slice_.hurry(kRetryPause);
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

std::optional<HandoverPart> ConsoleSession::handover() {
  if (kind_ != Kind::socket || finished_ || ending_ || producer_ != nullptr) return std::nullopt;
  HandoverPart part;
  part.kind = "session";
  part.descriptors.push_back({input_, since_, false, false});
  // Those of plugins have other numbers in another process.
  constexpr std::size_t kOwnMax = 32;
  const std::size_t own = std::min(lanyard::debug_categories().size(), kOwnMax);
  part.set("debug", categories_.to_ullong() & ((std::uint64_t{1} << own) - 1));
  if (script_ != nullptr) part.parts.push_back(script_->handover(out_));
  part.set("output", out_);
  part.set("input", std::string(reader_.unread()));
  return part;
}

void ConsoleSession::go_on_from(const HandoverPart& part) {
  since_ = part.descriptors[0].since;
  categories_ = part.number("debug", 0xffffffff).value_or(0);
  out_ = part.text("output");
  reader_.add(part.text("input"));
  for (const HandoverPart& one : part.parts) {
    if (one.kind == "script") script_ = Script::resume(console_.command_context(this), one);
  }
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
  if (script_ != nullptr && has_room()) next_slice_.hurry();
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
  const std::uint32_t want_input = takes_input() ? EPOLLIN : 0U;
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
bool ConsoleSession::attempt(Work&& work) {
  EventLoop& loop = console_.context_.lane.loop();
  if (loop.run(work)) return true;
  if (kind_ == Kind::socket) loop.run([this] { finish(); });
  return false;
}

// The session object ends later, where none of its callbacks runs; the peer sees the end at once.
void ConsoleSession::finish() {
  if (finished_) return;
  finished_ = true;
  if (kind_ == Kind::socket) ::shutdown(input_, SHUT_RDWR);
  input_watch_.reset();
  output_watch_.reset();
  silence_.reset();
  next_slice_.reset();
  console_.sweep_timer_.hurry();
  if (kind_ == Kind::terminal && input_ended_ && console_.terminal_ended_) {
    console_.terminal_ended_();
  }
  if (script_ != nullptr) {
    console_.context_.log.warning("console: the rest of {} is not run", printable(script_->path()));
  }
}

}  // namespace lanyard

// SPDX-License-Identifier: MIT
#include "switch/control/console.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "switch/control/script.h"

namespace lanyard {
namespace {

constexpr int kBacklog = 128;
constexpr Duration kAcceptPause = std::chrono::milliseconds(100);
constexpr Duration kProgressPeriod = std::chrono::seconds(30);

}  // namespace

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

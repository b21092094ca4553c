// SPDX-License-Identifier: MIT
#include "switch/daemon/keeper_child.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "switch/base/text.h"
#include "switch/daemon/kept_process.h"

namespace lanyard {
namespace {

constexpr int kLinkNumber = 3;  // in the child, at its start
constexpr Duration kRetryPause = std::chrono::milliseconds(1);

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (std::string& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

}  // namespace

std::string how_it_ended(int status) {
  if (WIFSIGNALED(status)) return fmt::format("was killed by signal {}", WTERMSIG(status));
  return fmt::format("ended with code {}", WEXITSTATUS(status));
}

Result<std::unique_ptr<KeeperChild>> KeeperChild::start(EventLoop& loop, const std::string& path,
                                                        const std::vector<std::string>& arguments,
                                                        Callbacks callbacks) {
  Result<KeeperLink::Pair> pair = KeeperLink::make_pair();
  if (!pair) return pair.error();
  std::unique_ptr<KeeperChild> child(new KeeperChild(loop, std::move(callbacks)));
  child->link_ = std::move(pair.value().ours);
  Result<void> spawned = child->spawn(path, arguments, pair.value().theirs.get());
  if (spawned) spawned = child->watch();
  if (!spawned) return spawned.error();
  return child;
}

// Signals that are passed on stay blocked in it: none is lost before it listens.
Result<void> KeeperChild::spawn(const std::string& path, const std::vector<std::string>& arguments,
                                int theirs) {
  std::vector<std::string> words = arguments;
  std::vector<std::string> environment;
  for (char** at = environ; *at != nullptr; ++at) environment.emplace_back(*at);
  environment.push_back(fmt::format("{}={}", KeptProcess::kLinkVariable, kLinkNumber));
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, theirs, kLinkNumber);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGPIPE);
  ::posix_spawnattr_setsigdefault(&attributes, &signals);
  ::sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&signals, number);
  ::posix_spawnattr_setsigmask(&attributes, &signals);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  const int code = ::posix_spawn(&pid_, path.c_str(), &actions, &attributes, pointers(words).data(),
                                 pointers(environment).data());
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (code == 0) return {};
  pid_ = 0;
  return Error{code, fmt::format("cannot start {}: {}", path, std::strerror(code))};
}

Result<void> KeeperChild::watch() {
  pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (!pidfd_) return Error{errno, fmt::format("pidfd_open: {}", std::strerror(errno))};
  Result<EventLoop::Watch> exit =
      loop_.watch(pidfd_.get(), EPOLLIN, [this](std::uint32_t) { on_exit(); });
  if (!exit) return exit.error();
  exit_watch_ = exit.take();
  Result<EventLoop::Watch> link = loop_.watch(link_.fd(), EPOLLIN, [this](std::uint32_t) {
    if (!read_messages()) link_watch_.reset();
  });
  if (!link) return link.error();
  link_watch_ = link.take();
  return {};
}

KeeperChild::~KeeperChild() {
  if (pid_ == 0 || ended_) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void KeeperChild::signal(int number) const {
  if (pid_ != 0 && !ended_) ::kill(pid_, number);
}

// False at the end of the link.
bool KeeperChild::read_messages() {
  for (;;) {
    Result<std::optional<KeeperLink::Received>> received = link_.receive();
    if (!received && received.error().code == EBADMSG) continue;
    if (!received) return false;
    if (!received.value()) return true;
    callbacks_.message(*this, *received.value());
  }
}

void KeeperChild::send(KeeperMessage message, int descriptor) {
  if (waiting_.empty() && link_.send(message, descriptor) != KeeperLink::Sent::no_room) return;
  UniqueFd copy(descriptor < 0 ? -1 : ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
  waiting_.push_back({std::move(message), std::move(copy)});
  if (!retry_timer_) retry_timer_ = loop_.after(kRetryPause, [this] { send_waiting(); });
}

void KeeperChild::send_waiting() {
  retry_timer_.reset();
  while (!waiting_.empty()) {
    const Waiting& first = waiting_.front();
    if (link_.send(first.message, first.descriptor.get()) == KeeperLink::Sent::no_room) {
      retry_timer_ = loop_.after(kRetryPause, [this] { send_waiting(); });
      return;
    }
    waiting_.pop_front();
  }
}

void KeeperChild::on_exit() {
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) != pid_) return;
  // Its last words: what it had told counts.
  read_messages();
  ended_ = true;
  link_watch_.reset();
  exit_watch_.reset();
  callbacks_.ended(*this, status);
}

}  // namespace lanyard

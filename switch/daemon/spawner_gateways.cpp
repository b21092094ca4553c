// SPDX-License-Identifier: MIT
#include "switch/daemon/spawner_gateways.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "switch/base/poll_one.h"
#include "switch/base/text.h"

extern char** environ;

namespace lanyard {
namespace {

constexpr int kFramesFd = 3;
constexpr int kControlFd = 4;
constexpr int kListenersFd = 5;
constexpr int kFirstOwnFd = 10;

struct Pair {
  UniqueFd ours;
  UniqueFd theirs;
};

Result<Pair> socket_pair(int type) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0) {
    return Error{errno, fmt::format("socketpair: {}", std::strerror(errno))};
  }
  Pair pair{UniqueFd(ends[0]), UniqueFd(ends[1])};
  // Out of the way of the numbers it shall have in the child.
  UniqueFd high(::fcntl(pair.theirs.get(), F_DUPFD_CLOEXEC, kFirstOwnFd));
  if (!high) return Error{errno, fmt::format("fcntl: {}", std::strerror(errno))};
  pair.theirs = std::move(high);
  return pair;
}

Error no_such(pid_t pid) {
  return {ESRCH, fmt::format("process {} is no gateway of ours", pid)};
}

}  // namespace

Result<pid_t> SpawnerGateways::execute(const std::string& network, int frames, int control,
                                       int listeners) const {
  std::string name = "lanyard-gateway";
  std::string argument = network;
  std::string busy_poll = fmt::format("--busy-poll={}", program_.busy_poll_us);
  std::array<char*, 4> arguments{name.data(), argument.data(), busy_poll.data(), nullptr};
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  int code = ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  for (const auto& [end, number] :
       {std::pair{frames, kFramesFd}, {control, kControlFd}, {listeners, kListenersFd}}) {
    if (code == 0) code = ::posix_spawn_file_actions_adddup2(&actions, end, number);
  }
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t signals;
  ::sigemptyset(&signals);
  ::posix_spawnattr_setsigmask(&attributes, &signals);
  ::sigfillset(&signals);
  ::posix_spawnattr_setsigdefault(&attributes, &signals);
  // A group of its own: Control-C at our terminal is ours, and it is we who end it.
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(
      &attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  pid_t pid = 0;
  if (code == 0) {
    code = ::posix_spawnp(&pid, program_.path.c_str(), &actions, &attributes, arguments.data(),
                          environ);
  }
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (code != 0) {
    return Error{code, fmt::format("cannot start {}, which serves network {}: {}", program_.path,
                                   network, std::strerror(code))};
  }
  return pid;
}

Result<SpawnerAnswer> SpawnerGateways::start(const std::string& network) {
  forget_ended(network);
  if (running_.size() >= kRunningMax) {
    return Error{EAGAIN, fmt::format("{} gateways run already", running_.size())};
  }
  Result<Pair> frames = socket_pair(SOCK_SEQPACKET);
  if (!frames) return frames.error();
  Result<Pair> control = socket_pair(SOCK_STREAM);
  if (!control) return control.error();
  Result<Pair> listeners = socket_pair(SOCK_SEQPACKET);
  if (!listeners) return listeners.error();
  // All the memory beforehand: a process that runs must be known.
  Entry entry = make_entry(network);
  SpawnerAnswer started;
  started.descriptors.reserve(4);
  const Result<pid_t> pid = execute(network, frames.value().theirs.get(),
                                    control.value().theirs.get(), listeners.value().theirs.get());
  if (!pid) return pid.error();
  const UniqueFd* const process = watch(pid.value(), std::move(entry));
  if (process == nullptr) {
    const Error error{errno, fmt::format("pidfd_open: {}", std::strerror(errno))};
    ::kill(pid.value(), SIGKILL);
    ::waitpid(pid.value(), nullptr, 0);
    return error;
  }
  started.value = pid.value();
  started.descriptors.emplace_back(::fcntl(process->get(), F_DUPFD_CLOEXEC, 0));
  for (Result<Pair>* const pair : {&frames, &control, &listeners}) {
    started.descriptors.push_back(std::move(pair->value().ours));
  }
  return started;
}

// One that the daemon has had no memory to hear of, or to see to the end of, has lost its control
// connection and ends by itself.
void SpawnerGateways::forget_ended(const std::string& network) {
  const bool all = running_.size() >= kRunningMax;
  std::erase_if(running_, [&](const auto& one) {
    const auto& [pid, running] = one;
    if (!all && running.network != network) return false;
    if (poll_one(running.process.get(), POLLIN, Duration{0}) == 0) return false;
    const pid_t ended = ::waitpid(pid, nullptr, WNOHANG);
    return ended == pid || (ended < 0 && errno == ECHILD);
  });
}

SpawnerGateways::Entry SpawnerGateways::make_entry(const std::string& network) {
  std::map<pid_t, Running> made;
  made[0].network = network;
  return made.extract(made.begin());
}

// Null, with errno, when there is no descriptor for it.
const UniqueFd* SpawnerGateways::watch(pid_t pid, Entry entry) {
  UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!process) return nullptr;
  entry.key() = pid;
  entry.mapped().process = std::move(process);
  // Its number may have been that of one which has ended since.
  running_.erase(pid);
  return &running_.insert(std::move(entry)).position->second.process;
}

Result<void> SpawnerGateways::adopt(pid_t pid) {
  if (watch(pid, make_entry({})) != nullptr) return {};
  return Error{errno, fmt::format("pidfd_open: {}", std::strerror(errno))};
}

Result<void> SpawnerGateways::signal(pid_t pid, int signal) const {
  const auto found = running_.find(pid);
  if (found == running_.end()) return no_such(pid);
  send_signal(found->second.process, signal);
  return {};
}

Result<void> SpawnerGateways::end(pid_t pid, int signal) {
  const auto found = running_.find(pid);
  if (found == running_.end()) return no_such(pid);
  reaper_.end(pid, std::move(found->second.process), signal);
  running_.erase(found);
  return {};
}

Result<int> SpawnerGateways::status(pid_t pid) {
  const auto found = running_.find(pid);
  if (found == running_.end()) return no_such(pid);
  int status = 0;
  const pid_t ended = ::waitpid(pid, &status, WNOHANG);
  // The child of a predecessor is the keeper's to wait for.
  const Error foreign{ECHILD, "somebody else waits for it"};
  const bool is_foreign = ended < 0 && errno == ECHILD;
  if (ended == 0) return Error{EAGAIN, fmt::format("process {} has not ended", pid)};
  running_.erase(found);
  if (is_foreign) return foreign;
  return status;
}

}  // namespace lanyard

// SPDX-License-Identifier: MIT
#include "switch/daemon/spawner.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "switch/base/poll_one.h"
#include "switch/base/text.h"
#include "switch/base/unix_socket.h"
#include "switch/daemon/keeper_message.h"
#include "switch/network/config_words.h"

extern char** environ;

namespace lanyard {
namespace {

using Kind = SpawnerRequest::Kind;

constexpr int kLinkNumber = 3;
constexpr Duration kAnswerPatience = std::chrono::seconds(30);
constexpr Duration kFinishPatience = std::chrono::seconds(10);

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> found;
  for (std::string& word : words) found.push_back(word.data());
  found.push_back(nullptr);
  return found;
}

// A request names places from the root on, and no step upwards.
std::string normal(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::absolute(path, ignored).lexically_normal().string();
}

// False when nothing came for so long.
bool wait_until_readable(int fd, Time end) {
  const Duration left = end - monotonic_now();
  return left > Duration{0} && poll_one(fd, POLLIN, left) != 0;
}

// A group of its own, so that a terminal's Control-C is the daemon's to hear.
Result<pid_t> execute(const SpawnerSettings& settings, bool silent, int link) {
  std::vector<std::string> words = settings.arguments();
  std::vector<std::string> environment;
  for (char** at = environ; *at != nullptr; ++at) environment.emplace_back(*at);
  environment.push_back(fmt::format("{}={}", kSpawnerLinkVariable, kLinkNumber));
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, link, kLinkNumber);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  if (silent) {
    ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  }
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t signals;
  ::sigemptyset(&signals);
  ::posix_spawnattr_setsigmask(&attributes, &signals);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  pid_t pid = 0;
  const int code = ::posix_spawn(&pid, "/proc/self/exe", &actions, &attributes,
                                 pointers(words).data(), pointers(environment).data());
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (code == 0) return pid;
  return Error{code, fmt::format("cannot start the spawner, which starts gateways: {}",
                                 std::strerror(code))};
}

// Not as {.kind = ..., .path = ...}: when one of the members that are not named there has no
// memory, g++ 12 destroys those that are twice.
SpawnerRequest about(Kind kind) {
  SpawnerRequest request;
  request.kind = kind;
  return request;
}

SpawnerRequest about_path(Kind kind, std::string path) {
  SpawnerRequest request = about(kind);
  request.path = std::move(path);
  return request;
}

SpawnerRequest about_process(Kind kind, pid_t pid, int signal = 0) {
  SpawnerRequest request = about(kind);
  request.pid = pid;
  request.signal = signal;
  return request;
}

SpawnerRequest about_network(Kind kind, NetworkConfig network) {
  SpawnerRequest request = about(kind);
  request.network = std::move(network);
  return request;
}

}  // namespace

Result<std::unique_ptr<Spawner>> Spawner::start(EventLoop& loop, Log& log,
                                                const SpawnerSettings& settings, bool silent) {
  Result<SpawnerLink::Pair> pair = SpawnerLink::make_pair();
  if (!pair) return pair.error();
  // Out of the way of the number it shall have in the child, and not closed by its own dup2(2).
  const UniqueFd theirs(::fcntl(pair.value().theirs.get(), F_DUPFD_CLOEXEC, kLinkNumber + 1));
  const Result<pid_t> pid = execute(settings, silent, theirs.get());
  if (!pid) return pid.error();
  auto spawner = std::make_unique<Spawner>(loop, log, std::move(pair.value().ours));
  spawner->pid_ = pid.value();
  spawner->pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid.value(), 0)));
  if (Result<void> watched = spawner->watch(); !watched) return watched.error();
  return spawner;
}

Spawner::~Spawner() {
  lost = nullptr;
  watch_.reset();
  if (!link_) return;
  SpawnerRequest request = about(Kind::finish);
  request.id = ++last_id_;
  if (!link_.ask(request)) return;
  const Time end = monotonic_now() + kFinishPatience;
  while (const Result<std::optional<SpawnerLink::Received>> message = wait_for_message(end)) {
    if (!message.value()) return;
  }
  if (pidfd_) wait_until_readable(pidfd_.get(), end);
}

Result<void> Spawner::watch() {
  Result<EventLoop::Watch> watch =
      loop_.watch(link_.fd(), EPOLLIN, [this](std::uint32_t) { on_readable(); });
  if (!watch) return watch.error();
  watch_ = watch.take();
  return {};
}

// ---- what it says ----

void Spawner::write_line(const SpawnerMessage& message) {
  const auto level = std::clamp(message.code, 0, static_cast<int>(LogLevel::debug));
  log_.write(static_cast<LogLevel>(level), message.text);
}

// To what nobody has waited for, or no longer waits for.
void Spawner::note_answer(const SpawnerMessage& message) {
  if (unanswered_ > 0) --unanswered_;
  if (message.code != 0) log_.warning("spawner: {}", message.text);
}

void Spawner::on_readable() {
  while (link_) {
    const Result<std::optional<SpawnerLink::Received>> received = link_.receive();
    if (!received) return on_lost();
    if (!received.value()) return;
    const SpawnerMessage& message = received.value()->message;
    if (message.kind == SpawnerMessage::Kind::log) write_line(message);
    if (message.kind == SpawnerMessage::Kind::answer) note_answer(message);
  }
}

void Spawner::on_lost() {
  watch_.reset();
  link_.close();
  log_.error("the spawner (pid {}) is gone: no gateway can be started from now on", pid_);
  if (lost) lost();
}

// An answer, or a part of one; nullopt when none came in time.
Result<std::optional<SpawnerLink::Received>> Spawner::wait_for_message(Time end) {
  while (wait_until_readable(link_.fd(), end)) {
    Result<std::optional<SpawnerLink::Received>> received = link_.receive();
    if (!received || !received.value()) {
      if (!received) return received;
      continue;
    }
    const SpawnerMessage& message = received.value()->message;
    if (message.kind == SpawnerMessage::Kind::answer) return received;
    write_line(message);
  }
  return std::optional<SpawnerLink::Received>();
}

Result<SpawnerAnswer> Spawner::call(SpawnerRequest request) {
  const Error gone{EPIPE, "the spawner, which would do it, is gone"};
  if (!link_) return gone;
  request.id = ++last_id_;
  const Time end = monotonic_now() + kAnswerPatience;
  if (!link_.ask(request)) {
    on_lost();
    return gone;
  }
  SpawnerAnswer answer;
  for (;;) {
    Result<std::optional<SpawnerLink::Received>> received = wait_for_message(end);
    if (!received) {
      on_lost();
      return gone;
    }
    if (!received.value()) return Error{ETIMEDOUT, "the spawner does not answer"};
    SpawnerLink::Received& one = *received.value();
    const SpawnerMessage& message = one.message;
    if (message.id != request.id) {
      note_answer(message);
      continue;
    }
    if (message.code != 0) return Error{message.code, message.text};
    if (one.descriptor) answer.descriptors.push_back(std::move(one.descriptor));
    if (message.following != 0) continue;
    answer.value = message.value;
    answer.text = message.text;
    return answer;
  }
}

// ---- what it is asked for ----

Result<void> Spawner::ask_for(Kind kind, const NetworkConfig& network) {
  NetworkConfig part;
  part.name = network.name;
  part.kind = network.kind;
  part.subnet = network.subnet;
  part.subnet6 = network.subnet6;
  part.host = network.host;
  part.uplink = network.uplink;
  const Result<SpawnerAnswer> done = call(about_network(kind, std::move(part)));
  return done ? Result<void>() : done.error();
}

// What fails leaves something behind, and that is worth a line.
void Spawner::tell(const SpawnerRequest& request) {
  const Result<SpawnerAnswer> done = call(request);
  if (!done && done.error().code != EPIPE) log_.warning("spawner: {}", done.error().text);
}

// Neither side may come to wait for room that only the other could make.
void Spawner::post(SpawnerRequest request) {
  if (unanswered_ >= kUnansweredMax) return tell(request);
  ++unanswered_;
  request.id = ++last_id_;
  if (link_ && !link_.ask(request)) on_lost();
}

Result<void> Spawner::clean_up() {
  return ask_for(Kind::clean_up, {});
}

Result<void> Spawner::check_host(const NetworkConfig& network) {
  return ask_for(Kind::check_host, network);
}

Result<void> Spawner::claim_host(const NetworkConfig& network) {
  return ask_for(Kind::claim_host, network);
}

Result<void> Spawner::set_up_host(const NetworkConfig& network) {
  return ask_for(Kind::set_up_host, network);
}

Result<void> Spawner::resume_host(const NetworkConfig& network) {
  return ask_for(Kind::resume_host, network);
}

void Spawner::close_host(const std::string& interface) {
  SpawnerRequest request = about(Kind::close_host);
  request.interface = interface;
  tell(request);
}

Result<AttachedTap> Spawner::attach_tap(const std::string& name, bool offload) {
  if (name.empty() || name.size() > kInterfaceNameMax) {
    return Error{EINVAL, fmt::format("'{}': an interface name has 1 to {} characters",
                                     printable(name), kInterfaceNameMax)};
  }
  SpawnerRequest request = about(Kind::attach_tap);
  request.interface = name;
  request.offload = offload;
  Result<SpawnerAnswer> answer = call(std::move(request));
  if (!answer) return answer.error();
  SpawnerAnswer& attached = answer.value();
  if (attached.descriptors.size() != 1) {
    return Error{EMFILE, fmt::format("{}: no descriptor is free for it", printable(name))};
  }
  const std::int64_t flags = attached.value;
  return AttachedTap{std::move(attached.descriptors[0]),
                     attached.text,
                     {(flags & 1) != 0, (flags & 2) != 0, (flags & 4) != 0}};
}

Result<StartedGateway> Spawner::start_gateway(const std::string& network) {
  NetworkConfig named;
  named.name = network;
  Result<SpawnerAnswer> answer = call(about_network(Kind::start_gateway, std::move(named)));
  if (!answer) return answer.error();
  std::vector<UniqueFd>& ends = answer.value().descriptors;
  const auto pid = static_cast<pid_t>(answer.value().value);
  if (ends.size() != 4) {
    end_gateway(pid, SIGKILL);
    return Error{EMFILE, fmt::format("no descriptors are free for the gateway of {}", network)};
  }
  return StartedGateway{pid, std::move(ends[0]), std::move(ends[1]), std::move(ends[2]),
                        std::move(ends[3])};
}

void Spawner::adopt_gateway(pid_t pid) {
  post(about_process(Kind::adopt_gateway, pid));
}

void Spawner::signal_gateway(pid_t pid, int signal) {
  post(about_process(Kind::signal_gateway, pid, signal));
}

void Spawner::end_gateway(pid_t pid, int signal) {
  post(about_process(Kind::end_gateway, pid, signal));
}

Result<int> Spawner::gateway_status(pid_t pid) {
  const Result<SpawnerAnswer> answer = call(about_process(Kind::gateway_status, pid));
  if (!answer) return answer.error();
  return static_cast<int>(answer.value().value);
}

Result<std::string> Spawner::read_configuration(const std::string& path) {
  Result<SpawnerAnswer> answer = call(about_path(Kind::read_configuration, normal(path)));
  if (!answer) return answer.error();
  if (answer.value().descriptors.size() != 1) return Error{EMFILE, "no descriptor is free for it"};
  return read_sealed(answer.value().descriptors[0].get());
}

void Spawner::settle() {
  post(about(Kind::settle));
}

Result<UniqueFd> Spawner::listen_at(const std::string& path) {
  if (path.size() > kSocketPathMax) {
    return Error{ENAMETOOLONG, fmt::format("{}: a socket name can have {} bytes at most",
                                           printable(path), kSocketPathMax)};
  }
  Result<SpawnerAnswer> answer = call(about_path(Kind::listen, normal(path)));
  if (!answer) return answer.error();
  if (answer.value().descriptors.size() != 1) {
    return Error{EMFILE, fmt::format("{}: no descriptor is free for it", printable(path))};
  }
  return std::move(answer.value().descriptors[0]);
}

// Destructors want it, too.
void Spawner::remove_name(const std::string& path) {
  loop_.run([&] { tell(about_path(Kind::remove_name, normal(path))); });
}

void Spawner::adopt_name(const std::string& path) {
  post(about_path(Kind::adopt_name, normal(path)));
}

Result<ClaimedDirectory> Spawner::claim_directory(const std::string& path) {
  Result<SpawnerAnswer> answer = call(about_path(Kind::claim_directory, normal(path)));
  if (!answer) return answer.error();
  SpawnerAnswer& claimed = answer.value();
  UniqueFd claim;
  if (!claimed.descriptors.empty()) claim = std::move(claimed.descriptors[0]);
  return ClaimedDirectory{std::move(claimed.text), std::move(claim), claimed.value != 0};
}

void Spawner::adopt_directory(const std::string& path) {
  post(about_path(Kind::adopt_directory, path));
}

Result<UniqueFd> Spawner::listen_in_directory(const std::string& path,
                                              const DirectorySocket& socket) {
  SpawnerRequest request = about_path(Kind::listen_in_directory, path + "/" + socket.name);
  request.access = {socket.access.mode, socket.directory_mode, socket.access.group};
  Result<SpawnerAnswer> answer = call(std::move(request));
  if (!answer) return answer.error();
  if (answer.value().descriptors.size() != 1) {
    return Error{EMFILE, fmt::format("{}: no descriptor is free for it", printable(path))};
  }
  return std::move(answer.value().descriptors[0]);
}

Result<void> Spawner::clean_directory(const std::string& path, bool all) {
  SpawnerRequest request = about_path(Kind::clean_directory, path);
  request.remove = all;
  const Result<SpawnerAnswer> answer = call(std::move(request));
  return answer ? Result<void>() : answer.error();
}

void Spawner::allow_directories(const std::string& path) {
  post(about_path(Kind::allow_directories, path));
}

Result<void> Spawner::may_claim_directory(const std::string& path) {
  const Result<SpawnerAnswer> answer = call(about_path(Kind::may_claim_directory, normal(path)));
  return answer ? Result<void>() : answer.error();
}

}  // namespace lanyard

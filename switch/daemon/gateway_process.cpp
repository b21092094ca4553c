// SPDX-License-Identifier: MIT
#include "switch/daemon/gateway_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "switch/base/text.h"

extern char** environ;

namespace lanyard {
namespace {

constexpr int kFramesFd = 3;
constexpr int kControlFd = 4;
constexpr int kListenersFd = 5;
constexpr int kFirstOwnFd = 10;
// Some hundred large frames.
constexpr int kFrameBufferBytes = 4 << 20;
constexpr Duration kShortLife = std::chrono::seconds(1);
constexpr Duration kFirstPause = std::chrono::milliseconds(50);
constexpr std::size_t kLineMax = std::size_t{4} << 20;
constexpr std::size_t kOutputMax = std::size_t{4} << 20;

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

// As much as the system allows: beyond the administrator's limit where we may.
void raise_buffers(int fd) {
  for (const auto& [forced, plain] :
       {std::pair{SO_SNDBUFFORCE, SO_SNDBUF}, {SO_RCVBUFFORCE, SO_RCVBUF}}) {
    if (::setsockopt(fd, SOL_SOCKET, forced, &kFrameBufferBytes, sizeof kFrameBufferBytes) != 0) {
      ::setsockopt(fd, SOL_SOCKET, plain, &kFrameBufferBytes, sizeof kFrameBufferBytes);
    }
  }
}

std::string how_it_ended(int status) {
  if (WIFSIGNALED(status)) return fmt::format("was killed by signal {}", WTERMSIG(status));
  return fmt::format("ended with code {}", WEXITSTATUS(status));
}

}  // namespace

GatewayProcess::GatewayProcess(EventLoop& loop, Log& log, ProcessReaper& reaper,
                               GatewayProgram program, std::string network, bool silent,
                               Callbacks callbacks)
    : loop_(loop),
      log_(log),
      reaper_(reaper),
      program_(std::move(program)),
      network_(std::move(network)),
      silent_(silent),
      callbacks_(std::move(callbacks)) {}

GatewayProcess::~GatewayProcess() {
  callbacks_.changed = nullptr;
  fail_pending("its network is being taken down");
  end_process(SIGTERM);
}

std::string GatewayProcess::find_program() {
  constexpr std::string_view kName = "lanyard-gateway";
  std::array<char, PATH_MAX> self{};
  const ssize_t size = ::readlink("/proc/self/exe", self.data(), self.size());
  if (size > 0) {
    std::string_view path(self.data(), static_cast<std::size_t>(size));
    const std::string beside = fmt::format("{}/{}", path.substr(0, path.rfind('/')), kName);
    if (::access(beside.c_str(), X_OK) == 0) return beside;
  }
  return std::string(kName);
}

Duration GatewayProcess::next_pause(Duration last, Duration lived) {
  if (lived >= kShortLife) return Duration{0};
  return std::clamp<Duration>(last * 2, kFirstPause, kPauseMax);
}

void GatewayProcess::start(Started started) {
  started_ = std::move(started);
  if (Result<void> spawned = spawn(); !spawned) give_up(spawned.error().text);
}

Result<pid_t> GatewayProcess::execute(int frames, int control, int listeners) const {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, frames, kFramesFd);
  ::posix_spawn_file_actions_adddup2(&actions, control, kControlFd);
  ::posix_spawn_file_actions_adddup2(&actions, listeners, kListenersFd);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  if (silent_) {
    ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
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
  std::string name = "lanyard-gateway";
  std::string network = network_;
  std::string busy_poll = fmt::format("--busy-poll={}", program_.busy_poll_us);
  std::array<char*, 4> arguments{name.data(), network.data(), busy_poll.data(), nullptr};
  pid_t pid = 0;
  const int code =
      ::posix_spawnp(&pid, program_.path.c_str(), &actions, &attributes, arguments.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (code != 0) {
    return Error{code, fmt::format("cannot start {}, which serves network {}: {}", program_.path,
                                   network_, std::strerror(code))};
  }
  return pid;
}

Result<void> GatewayProcess::spawn() {
  Result<Pair> frames = socket_pair(SOCK_SEQPACKET);
  if (!frames) return frames.error();
  Result<Pair> control = socket_pair(SOCK_STREAM);
  if (!control) return control.error();
  Result<Pair> listeners = socket_pair(SOCK_SEQPACKET);
  if (!listeners) return listeners.error();
  raise_buffers(frames.value().ours.get());
  raise_buffers(frames.value().theirs.get());
  const Result<pid_t> pid = execute(frames.value().theirs.get(), control.value().theirs.get(),
                                    listeners.value().theirs.get());
  if (!pid) return pid.error();
  pid_ = pid.value();
  born_ = loop_.now();
  pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (!pidfd_) return Error{errno, fmt::format("pidfd_open: {}", std::strerror(errno))};
  Result<EventLoop::Watch> watch =
      loop_.watch(pidfd_.get(), EPOLLIN, [this](std::uint32_t) { on_exit(); });
  if (!watch) return watch.error();
  exit_watch_ = watch.take();
  if (Result<void> talking =
          talk(std::move(control.value().ours), std::move(listeners.value().ours));
      !talking)
    return talking;
  // In the next round: the plug of its predecessor leaves at the end of this one.
  plug_timer_ = loop_.after(
      Duration{0}, [this, fd = std::make_shared<UniqueFd>(std::move(frames.value().ours))] {
        plug_timer_.reset();
        if (Result<void> plugged = callbacks_.plug(std::move(*fd)); !plugged) {
          return restart_after_failure(plugged.error().text);
        }
        send_configuration();
      });
  return {};
}

Result<void> GatewayProcess::talk(UniqueFd control, UniqueFd listeners) {
  LineChannel::Callbacks callbacks;
  callbacks.line = [this](std::string_view line) { on_line(line); };
  // A gateway without its control connection is no use; its end starts another.
  callbacks.closed = [this, pid = pid_] {
    if (pid_ == pid) send_signal(pidfd_, SIGKILL);
  };
  Result<std::unique_ptr<LineChannel>> channel = LineChannel::open(
      loop_, std::move(control), LineChannel::Limits{kLineMax, kOutputMax}, std::move(callbacks));
  if (!channel) return channel.error();
  control_ = channel.take();
  Result<std::unique_ptr<GatewayListeners>> opened =
      GatewayListeners::open(loop_, log_, network_, std::move(listeners));
  if (!opened) return opened.error();
  listeners_ = opened.take();
  return {};
}

// ---- a successor goes on ----

std::optional<HandoverPart> GatewayProcess::handover() const {
  if (!serving_ || control_ == nullptr || control_->is_closed()) return std::nullopt;
  HandoverPart part;
  part.kind = "gateway";
  part.set("pid", static_cast<std::uint64_t>(pid_));
  part.set("restarts", restarts_);
  part.set("listening", listeners_->names());
  for (const int fd : {control_->fd(), pidfd_.get(), listeners_->fd()}) {
    part.descriptors.push_back({fd, born_, false, false});
  }
  return part;
}

void GatewayProcess::resume(const HandoverPart* part) {
  if (part != nullptr) {
    if (const Result<void> gone_on = go_on_with(*part); !gone_on) {
      return restart_after_failure(gone_on.error().text);
    }
    serving_ = true;
    if (callbacks_.changed) callbacks_.changed(true, {});
    return;
  }
  if (const Result<void> spawned = spawn(); !spawned) {
    restart_after_failure(spawned.error().text);
  }
}

// Its parts: control connection, process, the sockets it listens at, frames.
Result<void> GatewayProcess::go_on_with(const HandoverPart& part) {
  constexpr std::uint64_t kPidMax = 1 << 22;
  constexpr std::uint64_t kRestartsMax = 0xffffffff;
  std::vector<UniqueFd> descriptors;
  for (const HeldDescriptor& held : part.descriptors) descriptors.emplace_back(held.number);
  if (descriptors.size() != 4) return Error{EBADMSG, "the gateway's descriptors are not there"};
  pid_ = static_cast<pid_t>(part.number("pid", kPidMax).value_or(0));
  restarts_ = static_cast<std::uint32_t>(part.number("restarts", kRestartsMax).value_or(0));
  born_ = part.descriptors[0].since;
  pidfd_ = std::move(descriptors[1]);
  Result<EventLoop::Watch> watch =
      loop_.watch(pidfd_.get(), EPOLLIN, [this](std::uint32_t) { on_exit(); });
  if (!watch) return watch.error();
  exit_watch_ = watch.take();
  if (Result<void> talking = talk(std::move(descriptors[0]), std::move(descriptors[2])); !talking) {
    return talking;
  }
  listeners_->resume(part.text("listening"), callbacks_.configuration());
  return callbacks_.plug(std::move(descriptors[3]));
}

void GatewayProcess::send_configuration() {
  const Json params = callbacks_.configuration();
  request("configure", params, kConfigureDeadline,
          [this, params](const RpcError* error, const Json&) { configured(params, error); });
}

void GatewayProcess::configured(const Json& sent, const RpcError* error) {
  if (pid_ == 0) return;  // its end has told already
  if (error != nullptr) {
    return restart_after_failure(fmt::format("network {}: {}", network_, error->message));
  }
  // Changed while it was on its way.
  if (callbacks_.configuration() != sent) return send_configuration();
  serving_ = true;
  trouble_.clear();
  if (callbacks_.changed) callbacks_.changed(true, {});
  if (const Started started = std::exchange(started_, nullptr)) started({});
}

void GatewayProcess::request(std::string_view method, const Json& params, Duration deadline,
                             GatewayReply reply) {
  const auto unreachable = [&](std::string_view why) {
    const RpcError error{RpcCode::unreachable,
                         fmt::format("the gateway of {} does not answer: {}", network_, why)};
    reply(&error, nullptr);
  };
  if (control_ == nullptr || control_->is_closed()) return unreachable("it is being restarted");
  if (pending_.size() >= kPendingMax) return unreachable("too many requests wait for it");
  const std::uint64_t id = next_id_++;
  Pending& pending = pending_[id];
  pending.reply = std::move(reply);
  pending.deadline = loop_.after(deadline, [this, id, deadline] {
    const auto found = pending_.find(id);
    if (found == pending_.end()) return;
    const GatewayReply late = std::move(found->second.reply);
    pending_.erase(found);
    if (listeners_ != nullptr) listeners_->answered(id, false);
    const RpcError error{
        RpcCode::unreachable,
        fmt::format("the gateway of {} (pid {}) has not answered for {} s", network_, pid_,
                    std::chrono::duration_cast<std::chrono::seconds>(deadline).count())};
    late(&error, nullptr);
  });
  listeners_->asked(id, method, params);
  control_->send(rpc_request_line(id, method, params));
}

void GatewayProcess::ask(std::string_view method, const Json& params, GatewayReply reply) {
  if (!serving_) {
    const RpcError error{RpcCode::unreachable,
                         fmt::format("the gateway of {} is not serving{}{}", network_,
                                     trouble_.empty() ? "" : ": ", trouble_)};
    return reply(&error, nullptr);
  }
  request(method, params, kAnswerDeadline, std::move(reply));
}

void GatewayProcess::configure(const Json& params, GatewayReply reply) {
  if (!serving_) return reply(nullptr, Json::object());
  request("configure", params, kConfigureDeadline, std::move(reply));
}

void GatewayProcess::on_line(std::string_view line) {
  if (pid_ == 0) return;  // of one that has ended
  RpcMessage message = parse_rpc(line);
  if (const auto* const response = std::get_if<RpcResponse>(&message)) {
    on_response(*response);
  } else if (const auto* const request = std::get_if<RpcRequest>(&message)) {
    on_notification(*request);
  } else if (lines_.allow(loop_.now())) {
    log_.warning("the gateway of {} says what is no message: {}", network_,
                 std::get<RpcGarbage>(message).error.message);
  }
}

void GatewayProcess::on_response(const RpcResponse& response) {
  if (!response.id.is_number_unsigned()) return;
  // One that comes after its deadline finds nobody.
  const auto found = pending_.find(response.id.get<std::uint64_t>());
  if (found == pending_.end()) return;
  const GatewayReply reply = std::move(found->second.reply);
  const std::uint64_t id = found->first;
  pending_.erase(found);
  if (listeners_ != nullptr) listeners_->answered(id, !response.error);
  reply(response.error ? &*response.error : nullptr, response.result);
}

void GatewayProcess::on_notification(const RpcRequest& request) {
  if (request.method == "event") return callbacks_.event(request.params);
  if (request.method != "log" || !lines_.allow(loop_.now())) return;
  const Json text = request.params.value("text", Json());
  const Json name = request.params.value("level", Json());
  const std::optional<LogLevel> level =
      name.is_string() ? parse_log_level(name.get<std::string>()) : std::nullopt;
  if (!text.is_string()) return;
  log_.write(level.value_or(LogLevel::notice),
             fmt::format("{}: {}", network_, printable(text.get<std::string>())));
}

void GatewayProcess::fail_pending(std::string_view why) {
  const RpcError error{RpcCode::unreachable,
                       fmt::format("the gateway of {} does not answer: {}", network_, why)};
  const std::map<std::uint64_t, Pending> pending = std::exchange(pending_, {});
  for (const auto& [id, waiting] : pending) waiting.reply(&error, nullptr);
}

void GatewayProcess::on_exit() {
  int status = 0;
  const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
  // The child of a predecessor is the keeper's to wait for.
  const bool foreign = ended < 0 && errno == ECHILD;
  if (ended != pid_ && !foreign) return;
  const std::string how = foreign ? "has ended" : how_it_ended(status);
  log_.warning("the gateway of {} (pid {}) {}", network_, pid_, how);
  pid_ = 0;
  restart_after_failure(fmt::format("the gateway of {} {}", network_, how));
}

// Ends what is left of it and starts another, or tells who waits for the first one.
void GatewayProcess::restart_after_failure(std::string why) {
  const bool served = std::exchange(serving_, false);
  const Duration lived = loop_.now() - born_;
  end_process(SIGKILL);
  trouble_ = why;
  callbacks_.unplug();
  fail_pending(why);
  if (served && callbacks_.changed) callbacks_.changed(false, why);
  if (started_) return give_up(std::move(why));
  const bool at_once = served && pause_ == Duration{0} && prompt_.allow(loop_.now());
  if (!at_once) pause_ = next_pause(pause_, lived);
  restart_timer_ = loop_.after(pause_, [this] {
    restart_timer_.reset();
    ++restarts_;
    if (Result<void> spawned = spawn(); !spawned) {
      log_.error("{}", spawned.error().text);
      restart_after_failure(spawned.error().text);
    }
  });
}

void GatewayProcess::give_up(std::string why) {
  end_process(SIGKILL);
  trouble_ = std::move(why);
  if (const Started started = std::exchange(started_, nullptr)) started(Error{EIO, trouble_});
}

void GatewayProcess::end_process(int signal) {
  plug_timer_.reset();
  restart_timer_.reset();
  exit_watch_.reset();
  listeners_.reset();
  if (control_ != nullptr) {
    // Its callback may be the one that brought us here.
    buried_ = std::move(control_);
    bury_timer_ = loop_.after(Duration{0}, [this] {
      bury_timer_.reset();
      buried_.reset();
    });
  }
  if (pid_ != 0 && pidfd_) reaper_.end(pid_, std::move(pidfd_), signal);
  pid_ = 0;
  pidfd_.reset();
}

GatewayState GatewayProcess::state() const {
  return {true, serving_, pid_, restarts_, trouble_};
}

}  // namespace lanyard

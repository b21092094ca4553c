// SPDX-License-Identifier: MIT
#include "switch/daemon/gateway_process.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <new>
#include <utility>

#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr Duration kShortLife = std::chrono::seconds(1);
constexpr Duration kFirstPause = std::chrono::milliseconds(50);
constexpr std::size_t kLineMax = std::size_t{4} << 20;
constexpr std::size_t kOutputMax = std::size_t{4} << 20;
// How frames go (frame_rings.h); a gateway of another version does not know it.
constexpr std::string_view kFramesBy = "rings-1";
// Short enough for a string without memory of its own.
constexpr const char* kNoMemory = "no memory";

std::string how_it_ended(int status) {
  if (WIFSIGNALED(status)) return fmt::format("was killed by signal {}", WTERMSIG(status));
  return fmt::format("ended with code {}", WEXITSTATUS(status));
}

}  // namespace

GatewayProcess::GatewayProcess(EventLoop& loop, Log& log, Spawner& spawner, std::string network,
                               Callbacks callbacks)
    : loop_(loop),
      log_(log),
      spawner_(spawner),
      network_(std::move(network)),
      callbacks_(std::move(callbacks)) {
  bury_timer_ = loop_.prepare([this] { buried_.reset(); });
  plug_timer_ = loop_.prepare([this] { plug(); });
  restart_timer_ = loop_.prepare([this] { start_again(); });
}

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

// What finds no memory has failed as by anything else, and is tried again.
template <typename Work>
void GatewayProcess::attempt(Work&& work) {
  if (!loop_.run(std::forward<Work>(work))) restart_after_failure(kNoMemory);
}

void GatewayProcess::start(Started started) {
  started_ = std::move(started);
  attempt([this] {
    if (Result<void> spawned = spawn(); !spawned) restart_after_failure(spawned.error().text);
  });
}

Result<void> GatewayProcess::spawn() {
  // Of one that could not be started, too: it has not lived long.
  born_ = loop_.now();
  Result<StartedGateway> started = spawner_.start_gateway(network_);
  if (!started) return started.error();
  StartedGateway& gateway = started.value();
  pid_ = gateway.pid;
  pidfd_ = std::move(gateway.process);
  Result<EventLoop::Watch> watch =
      loop_.watch(pidfd_.get(), EPOLLIN, [this](std::uint32_t) { on_exit(); });
  if (!watch) return watch.error();
  exit_watch_ = watch.take();
  Result<void> talking = talk(std::move(gateway.control), std::move(gateway.listeners));
  if (!talking) return talking;
  // In the next round: the plug of its predecessor leaves at the end of this one.
  frames_ = std::move(gateway.frames);
  plug_timer_.hurry();
  return {};
}

void GatewayProcess::plug() {
  if (!frames_) return;
  attempt([this] {
    if (Result<void> plugged = callbacks_.plug(std::move(frames_)); !plugged) {
      return restart_after_failure(plugged.error().text);
    }
    send_configuration();
  });
}

Result<void> GatewayProcess::talk(UniqueFd control, UniqueFd listeners) {
  LineChannel::Callbacks callbacks;
  callbacks.line = [this](std::string_view line) { on_line(line); };
  // A gateway without its control connection is no use; its end starts another.
  callbacks.closed = [this, pid = pid_] {
    if (pid_ == pid) spawner_.signal_gateway(pid, SIGKILL);
  };
  Result<std::unique_ptr<LineChannel>> channel = LineChannel::open(
      loop_, std::move(control), LineChannel::Limits{kLineMax, kOutputMax}, std::move(callbacks));
  if (!channel) return channel.error();
  control_ = channel.take();
  Result<std::unique_ptr<GatewayListeners>> opened =
      GatewayListeners::open(loop_, log_, spawner_, network_, std::move(listeners));
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
  part.set("frames", std::string(kFramesBy));
  part.set("listening", listeners_->names());
  for (const int fd : {control_->fd(), pidfd_.get(), listeners_->fd()}) {
    part.descriptors.push_back({fd, born_, false, false});
  }
  return part;
}

void GatewayProcess::resume(const HandoverPart* part) {
  attempt([&] {
    const Result<void> gone_on = part != nullptr ? go_on_with(*part) : spawn();
    if (!gone_on) return restart_after_failure(gone_on.error().text);
    if (part == nullptr) return;
    serving_ = true;
    if (callbacks_.changed) callbacks_.changed(true, {});
  });
}

// Its parts: control connection, process, the sockets it listens at, frames.
Result<void> GatewayProcess::go_on_with(const HandoverPart& part) {
  constexpr std::uint64_t kPidMax = 1 << 22;
  constexpr std::uint64_t kRestartsMax = 0xffffffff;
  std::vector<UniqueFd> descriptors;
  for (const HeldDescriptor& held : part.descriptors) descriptors.emplace_back(held.number);
  if (descriptors.size() != 4) return Error{EBADMSG, "the gateway's descriptors are not there"};
  if (part.text("frames") != kFramesBy) {
    return Error{EPROTO, fmt::format("the gateway of {} is of another version", network_)};
  }
  pid_ = static_cast<pid_t>(part.number("pid", kPidMax).value_or(0));
  restarts_ = static_cast<std::uint32_t>(part.number("restarts", kRestartsMax).value_or(0));
  born_ = part.descriptors[0].since;
  pidfd_ = std::move(descriptors[1]);
  spawner_.adopt_gateway(pid_);
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
          [this, params](const RpcError* error, const Json&) {
            attempt([&] { configured(params, error); });
          });
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
  const std::string line = rpc_request_line(id, method, params);
  Pending pending{std::move(reply),
                  loop_.after(deadline, [this, id, deadline] { too_late(id, deadline); })};
  pending_.emplace(id, std::move(pending));
  const bool sent = loop_.run([&] {
    listeners_->asked(id, method, params);
    control_->send(line);
  });
  if (sent) return;
  // Whoever asks hears it from this, and not a second time at the deadline.
  pending_.erase(id);
  if (listeners_ != nullptr) listeners_->answered(id, false);
  throw std::bad_alloc();
}

void GatewayProcess::too_late(std::uint64_t id, Duration deadline) {
  auto found = pending_.extract(id);
  if (found.empty()) return;
  if (listeners_ != nullptr) listeners_->answered(id, false);
  RpcError error{RpcCode::unreachable, kNoMemory};
  loop_.run([&] {
    error.message =
        fmt::format("the gateway of {} (pid {}) has not answered for {} s", network_, pid_,
                    std::chrono::duration_cast<std::chrono::seconds>(deadline).count());
  });
  found.mapped().reply(&error, nullptr);
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
  RpcError error{RpcCode::unreachable, kNoMemory};
  loop_.run(
      [&] { error.message = fmt::format("the gateway of {} does not answer: {}", network_, why); });
  const std::map<std::uint64_t, Pending> pending = std::exchange(pending_, {});
  for (const auto& [id, waiting] : pending) {
    loop_.run([&, &one = waiting] { one.reply(&error, nullptr); });
  }
}

void GatewayProcess::on_exit() {
  attempt([this] {
    const Result<int> status = spawner_.gateway_status(pid_);
    if (!status && status.error().code == EAGAIN) return;
    const std::string how = status ? how_it_ended(status.value()) : "has ended";
    log_.warning("the gateway of {} (pid {}) {}", network_, pid_, how);
    std::string why = fmt::format("the gateway of {} {}", network_, how);
    pid_ = 0;
    restart_after_failure(std::move(why));
  });
}

// Ends what is left of it and starts another, or tells who waits for the first one. Needs no
// memory: it is called for lack of it, and nobody would call again.
void GatewayProcess::restart_after_failure(std::string why) {
  const bool served = std::exchange(serving_, false);
  const Duration lived = loop_.now() - born_;
  end_process(SIGKILL);
  trouble_ = std::move(why);
  if (started_ == nullptr) {
    const bool at_once = served && pause_ == Duration{0} && prompt_.allow(loop_.now());
    if (!at_once) pause_ = next_pause(pause_, lived);
    is_restart_due_ = true;
    restart_timer_.hurry(pause_);
  }
  loop_.run([this] { callbacks_.unplug(); });
  fail_pending(trouble_);
  if (served && callbacks_.changed) loop_.run([this] { callbacks_.changed(false, trouble_); });
  if (const Started started = std::exchange(started_, nullptr)) {
    Result<void> failed = Error{EIO, kNoMemory};
    loop_.run([&] { failed = Error{EIO, trouble_}; });
    loop_.run([&] { started(failed); });
  }
}

void GatewayProcess::start_again() {
  if (!std::exchange(is_restart_due_, false)) return;
  ++restarts_;
  attempt([this] {
    const Result<void> spawned = spawn();
    if (spawned) return;
    log_.error("{}", spawned.error().text);
    restart_after_failure(spawned.error().text);
  });
}

void GatewayProcess::end_process(int signal) {
  frames_.reset();
  is_restart_due_ = false;
  exit_watch_.reset();
  listeners_.reset();
  if (control_ != nullptr) {
    // Its callback may be the one that brought us here.
    buried_ = std::move(control_);
    bury_timer_.hurry();
  }
  // One that is not told ends with its control connection, and the spawner sees to the rest.
  if (pid_ != 0) loop_.run([&] { spawner_.end_gateway(pid_, signal); });
  pid_ = 0;
  pidfd_.reset();
}

GatewayState GatewayProcess::state() const {
  return {true, serving_, pid_, restarts_, trouble_};
}

}  // namespace lanyard

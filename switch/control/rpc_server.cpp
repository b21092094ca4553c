// SPDX-License-Identifier: MIT
#include "switch/control/rpc_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace lanyard {
namespace {

constexpr int kAcceptsPerRound = 32;
constexpr Duration kAcceptPause = std::chrono::milliseconds(100);
constexpr Duration kRoundBudget = std::chrono::microseconds(700);

// One line, if there is room for it, and the end.
void refuse(UniqueFd client, const RpcError& why) {
  const std::string line = rpc_error_line(nullptr, why) + '\n';
  [[maybe_unused]] const ssize_t sent =
      ::send(client.get(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace

std::optional<RpcRole> RpcRoles::of(const Identity& who) const {
  if (who.uid == 0 || (owner != kNoUser && who.uid == owner)) return RpcRole::admin;
  if (who.uid == kNoUser) return std::nullopt;
  if (control_group != kNoGroup && who.in_group(control_group)) return RpcRole::admin;
  if (viewer_group != kNoGroup && who.in_group(viewer_group)) return RpcRole::viewer;
  return std::nullopt;
}

RpcServer::RpcServer(RpcHost& host) : host_(host) {
  bury_timer_ = host_.loop().prepare([this] {
    // The end of one may be that of another, which waits for the next round.
    burying_.swap(ended_);
    for (const auto& gone : burying_) gone->close();
    burying_.clear();
  });
}

RpcServer::~RpcServer() {
  watch_.reset();
  if (listening_ && !given_) unlink_socket(path_);
  // A callback of theirs may look at the list.
  const std::vector<std::shared_ptr<RpcSession>> sessions = std::exchange(sessions_, {});
  for (const auto& session : sessions) session->close();
}

Result<void> RpcServer::listen(const std::string& path, UniqueFd given) {
  since_ = monotonic_now();
  given_ = static_cast<bool>(given);
  if (given) return serve(std::move(given), path);
  Result<UniqueFd> fd = listen_unix(path, SocketAccess{0666, kNoUser, kNoGroup}, kBacklog);
  if (!fd) {
    if (fd.error().code != EADDRINUSE) return fd.error();
    return Error{EADDRINUSE,
                 fmt::format("another daemon answers at {}; end it with: lanyard down", path)};
  }
  return serve(fd.take(), path);
}

Result<void> RpcServer::serve(UniqueFd listening, std::string path) {
  Result<EventLoop::Watch> watch =
      host_.loop().watch(listening.get(), EPOLLIN, [this](std::uint32_t) { accept_clients(); });
  if (!watch) return watch.error();
  path_ = std::move(path);
  listening_ = std::move(listening);
  watch_ = watch.take();
  return {};
}

std::optional<HandoverPart> RpcServer::handover(HandoverReason why) const {
  if (!listening_) return std::nullopt;
  HandoverPart part;
  part.kind = "control";
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

Result<void> RpcServer::adopt(const HandoverPart& part) {
  if (part.descriptors.size() != 1) return Error{EBADMSG, "the control socket is not there"};
  since_ = part.descriptors[0].since;
  given_ = part.number("given", 1) == 1;
  for (const HandoverPart& one : part.parts) {
    if (one.descriptors.size() != 1) continue;
    UniqueFd client(one.descriptors[0].number);
    const Identity who = peer_identity(client.get());
    if (RpcSession* const session = adopt(std::move(client), who)) session->go_on_from(one);
  }
  return serve(UniqueFd(part.descriptors[0].number), part.text("path"));
}

void RpcServer::accept_clients() {
  for (int i = 0; i < kAcceptsPerRound; ++i) {
    UniqueFd client(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (client) {
      const Identity who = peer_identity(client.get());
      adopt(std::move(client), who);
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EAGAIN) return;
    // Out of descriptors: who waits goes on waiting.
    if (complaints_.allow(host_.loop().now())) {
      host_.log().warning("control socket: {}", std::strerror(errno));
    }
    resume_timer_ = host_.loop().after(kAcceptPause, [this] {
      resume_timer_.reset();
      watch_.set_events(EPOLLIN);
    });
    watch_.set_events(0);
    return;
  }
}

RpcSession* RpcServer::adopt(UniqueFd client, const Identity& who) {
  const std::optional<RpcRole> role = roles_.of(who);
  if (!role) {
    if (complaints_.allow(host_.loop().now())) {
      host_.log().warning("user {} (pid {}) may not use the control socket", who.uid, who.pid);
    }
    refuse(std::move(client),
           {RpcCode::not_permitted,
            fmt::format("user {} may not control this daemon: be a member of the group "
                        "that its configuration names as control_group or viewer_group",
                        who.uid)});
    return nullptr;
  }
  if (sessions_.size() >= kSessionsMax) {
    refuse(std::move(client),
           {RpcCode::failed,
            fmt::format("{} clients are connected; that is all there is room for", kSessionsMax)});
    return nullptr;
  }
  // An end must not fail for want of memory.
  for (auto* list : {&ended_, &burying_}) {
    if (list->capacity() <= sessions_.size()) list->reserve(2 * sessions_.size() + 2);
  }
  auto session = std::make_shared<RpcSession>(*this, who, *role);
  if (Result<void> opened = session->open(std::move(client)); !opened) {
    host_.log().warning("control socket: {}", opened.error().text);
    return nullptr;
  }
  sessions_.push_back(std::move(session));
  return sessions_.back().get();
}

// A session ends in the midst of one of its own callbacks, so it is kept until the next round.
void RpcServer::ended(RpcSession& session) {
  const auto at = std::find_if(sessions_.begin(), sessions_.end(),
                               [&](const auto& kept) { return kept.get() == &session; });
  if (at == sessions_.end()) return;
  ended_.push_back(std::move(*at));
  sessions_.erase(at);
  bury_timer_.hurry();
}

void RpcServer::publish(std::string_view kind, Json params) {
  std::string line;
  // By value: one that is cut off leaves the list.
  for (const std::shared_ptr<RpcSession>& session : std::vector(sessions_)) {
    if (!session->wants(kind)) continue;
    if (line.empty()) {
      params["kind"] = std::string(kind);
      line = rpc_notification_line("event", params);
    }
    session->notify(line);
  }
}

void RpcServer::flush() {
  // What can be written at once was; LineChannel writes as it is told.
  watch_.reset();
}

bool RpcServer::has_time() const {
  return host_.loop().now() != round_ || spent_ < kRoundBudget;
}

void RpcServer::spend(Duration time) {
  if (host_.loop().now() != round_) {
    round_ = host_.loop().now();
    spent_ = Duration{0};
  }
  spent_ += time;
}

}  // namespace lanyard
